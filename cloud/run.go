package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/cloud/plan"
	"griddle/cloud/provider"
	"griddle/cloud/provider/retry"
	"griddle/cloud/stack"
	"griddle/cloud/state"
)

// run is one operation on a stack, by the process that holds its lock.
type run struct {
	c        *Cloud
	s        *stack.Stack // as declared, with the counts of the state
	settings stack.Settings
	dir      state.Directory
	rec      *state.Record
	v        *state.Vault
	rules    map[string][]provider.Rule // of each firewall
	firewall map[string]string          // name of that of each server
	watch    *retry.Watch
	plan     *plan.Plan
	steps    map[provider.KindName]plan.Step
	atOnce   int // how many servers may be away at once

	logs  string
	stage Event
	log   *slog.Logger // of the stage
	told  sync.Mutex

	mu     sync.Mutex
	found  map[provider.KindName]provider.Resource // what is there, as last seen
	images map[string]string                       // IDs, by reference@arch
}

// StageError is a failed stage.
type StageError struct {
	Stage, Of int
	Title     string
	Log       string // path
	Err       error
}

// Error gives the stage and the cause.
func (e *StageError) Error() string {
	return fmt.Sprintf("stage %d of %d, %s: %v", e.Stage, e.Of, e.Title, e.Err)
}

// Unwrap gives the cause.
func (e *StageError) Unwrap() error { return e.Err }

// begin takes the stack's lock, and reads its state, which is empty where there is none. settings are the state's where
// s is nil.
func (c *Cloud) begin(stackName, what string, s *stack.Stack) (r *run, end func(), err error) {
	d, err := c.State.Directory(stackName)
	if err != nil {
		return nil, nil, err
	}
	unlock, err := d.Lock(c.Command)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			unlock()
		}
	}()
	st, err := d.LoadOrNew()
	if err != nil {
		return nil, nil, fmt.Errorf("stack %s: %w", stackName, err)
	}
	if name := c.Provider.Features().Name; st.Provider != "" && st.Provider != name {
		return nil, nil, fmt.Errorf("stack %s is on %s and not on %s: delete it there first, "+
			"or give the new one another name", stackName, st.Provider, name)
	}
	v, err := d.OpenVault()
	if err != nil {
		return nil, nil, err
	}
	logs, err := d.NewLogs(time.Now(), what)
	if err != nil {
		return nil, nil, fmt.Errorf("stack %s: making its logs: %w", stackName, err)
	}
	settings := st.Settings()
	if s != nil {
		settings = s.Settings
	}
	r = &run{c: c, settings: withDefaults(settings), dir: d, rec: state.NewRecord(d, st), v: v,
		logs: logs, log: slog.New(slog.DiscardHandler), found: make(map[provider.KindName]provider.Resource),
		images: make(map[string]string)}
	r.watch = retry.NewWatch(c.Provider, stackName, r.call())
	return r, unlock, nil
}

// withDefaults gives settings that are not set their defaults.
func withDefaults(s stack.Settings) stack.Settings {
	if s.Parallel <= 0 {
		s.Parallel = 4
	}
	if s.Server <= 0 {
		s.Server = 15 * time.Minute
	}
	if s.Call <= 0 {
		s.Call = 5 * time.Minute
	}
	return s
}

// call repeats calls, and notes them in the stage's log.
func (r *run) call() retry.Policy {
	return retry.Policy{Limit: r.settings.Call, Jitter: r.c.Jitter, Log: slog.New(stageLog{r}), Tell: r.say}
}

// stageLog writes to the log of the stage that is running.
type stageLog struct{ r *run }

func (l stageLog) Enabled(context.Context, slog.Level) bool { return true }
func (l stageLog) Handle(ctx context.Context, rec slog.Record) error {
	return l.r.log.Handler().Handle(ctx, rec)
}
func (l stageLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l stageLog) WithGroup(string) slog.Handler      { return l }

// do carries out the next stage.
func (r *run) do(ctx context.Context, title string, work func(context.Context) error) error {
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return '-'
	}, strings.ReplaceAll(title, ",", ""))
	n := r.stage.Stage + 1
	path := filepath.Join(r.logs, fmt.Sprintf("%02d-%s.log", n, name))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("stage %d of %d, %s: %w", n, r.stage.Of, title, err)
	}
	defer f.Close()
	r.log = slog.New(slog.NewTextHandler(f, nil))
	r.stage = Event{Stage: n, Of: r.stage.Of, Title: title, Log: path}
	begin := time.Now()
	r.report(r.stage)
	err = work(ctx)
	if err == nil {
		err = ctx.Err()
	}
	e := r.stage
	e.Done, e.Took = true, time.Since(begin)
	if err != nil {
		r.log.Error("the stage failed", "err", err)
		err = &StageError{Stage: n, Of: e.Of, Title: title, Log: path, Err: err}
		e.Err = err
	}
	r.log.Info("the stage ended", "took", e.Took)
	r.report(e)
	r.log = slog.New(slog.DiscardHandler)
	return err
}

// say reports something within the stage.
func (r *run) say(format string, a ...any) {
	e := r.stage
	e.Text = fmt.Sprintf(format, a...)
	r.log.Info(e.Text)
	r.report(e)
}

func (r *run) report(e Event) {
	r.told.Lock()
	defer r.told.Unlock()
	if r.c.Report != nil {
		e.Time = time.Now()
		r.c.Report(e)
	}
}

// each does f for all of them, at most limit side by side. What is begun is not ended because another one fails; but no
// further one is begun where the credentials are refused or, with strict, after any failure.
func each[T any](ctx context.Context, limit int, strict bool, all []T, f func(context.Context, T) error) error {
	var g errgroup.Group
	g.SetLimit(limit)
	var mu sync.Mutex
	var failed error
	halted := func(err error) bool {
		mu.Lock()
		defer mu.Unlock()
		failed = errors.Join(failed, err)
		return failed != nil && (strict || errors.Is(failed, provider.ErrCredentials)) || ctx.Err() != nil
	}
	for _, v := range all {
		g.Go(func() error {
			if !halted(nil) {
				halted(f(ctx, v))
			}
			return nil
		})
	}
	g.Wait()
	if failed == nil {
		failed = context.Cause(ctx)
	}
	return failed
}

// resource is what is known to be there.
func (r *run) resource(kind provider.Kind, name string) (provider.Resource, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.found[kind.Named(name)]
	return v, ok
}

func (r *run) id(kind provider.Kind, name string) string {
	v, _ := r.resource(kind, name)
	return v.ID
}

func (r *run) know(v provider.Resource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found[v.KindName()] = v
}

func (r *run) forget(v provider.Resource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.found, v.KindName())
}
