// Package readiness says whether a server lives, and whether it can work. Make a Probe of checks, and serve its Health
// and Ready:
//
//	GET /healthz   204 while the process answers
//	GET /readyz    200 if all checks passed, else 503; a Report
//
// Anyone may ask, so the answers have the names of the checks and nothing else; what is wrong is logged. Checks may
// write to the disk, so however often it is asked, they run once in Every, and a check that does not end is not started
// a second time.
package readiness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Every is how long the result of the checks is used again, and Patience how long they may take together. A check that
// takes longer counts as failed.
const (
	Every    = 5 * time.Second
	Patience = 10 * time.Second
)

// Check is one thing that the server needs.
type Check struct {
	Name string // a word, which everyone may read
	Do   func(context.Context) error
}

// State is how a check ended.
type State string

// The values of State.
const (
	OK     State = "ok"
	Failed State = "failed"
)

// Report is the answer to whether the server can work.
type Report struct {
	Ready  bool             `json:"ready"`
	Checks map[string]State `json:"checks"` // by name
}

// errSlow is how a check fails that takes too long.
var errSlow = errors.New("it does not end")

// Probe runs checks. Several goroutines may use it.
type Probe struct {
	checks []Check
	log    *slog.Logger
	gate   chan struct{} // who runs the checks has what is in it

	// of those who have gate
	last  Report
	until time.Time
	under map[string]chan error // checks that did not end in time
	said  map[string]string     // what was logged of each that fails
}

// New makes a Probe. A nil log logs nothing.
func New(log *slog.Logger, checks ...Check) *Probe {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Probe{checks: checks, log: log, gate: make(chan struct{}, 1), under: map[string]chan error{},
		said: map[string]string{}}
}

// Report runs the checks, or returns their result of less than Every ago. Its error is that of ctx.
func (p *Probe) Report(ctx context.Context) (Report, error) {
	select {
	case p.gate <- struct{}{}:
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	defer func() { <-p.gate }()
	if time.Now().Before(p.until) {
		return p.last, nil
	}
	// Who asks may leave: the result is for the next ones too.
	p.last, p.until = p.run(context.WithoutCancel(ctx)), time.Now().Add(Every)
	return p.last, nil
}

// run runs all checks at the same time.
func (p *Probe) run(ctx context.Context) Report {
	ctx, stop := context.WithTimeout(ctx, Patience)
	defer stop()
	for _, c := range p.checks {
		if p.under[c.Name] == nil {
			done := make(chan error, 1)
			p.under[c.Name] = done
			go func() { done <- guarded(ctx, c.Do) }()
		}
	}
	out := Report{Ready: true, Checks: map[string]State{}}
	for _, c := range p.checks {
		err := p.wait(ctx, c.Name)
		out.Checks[c.Name] = OK
		if err != nil {
			out.Ready, out.Checks[c.Name] = false, Failed
		}
		p.say(c.Name, err)
	}
	return out
}

// wait returns the result of the check called name, which runs. One that ended is forgotten.
func (p *Probe) wait(ctx context.Context, name string) error {
	select {
	case err := <-p.under[name]:
		delete(p.under, name)
		return err
	case <-ctx.Done():
	}
	select { // both were there
	case err := <-p.under[name]:
		delete(p.under, name)
		return err
	default:
		return fmt.Errorf("%w after %s", errSlow, Patience)
	}
}

// guarded is do, and an error where it panics: nothing else would contain that.
func guarded(ctx context.Context, do func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the check crashed: %v", p)
		}
	}()
	return do(ctx)
}

// say logs what changed.
func (p *Probe) say(name string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if was := p.said[name]; was != text {
		p.said[name] = text
		if err != nil {
			p.log.Error("the server is not ready", "check", name, "error", err)
		} else {
			p.log.Info("the check passes again", "check", name)
		}
	}
}

// Health answers that the process lives.
func (p *Probe) Health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// Ready answers with a Report.
func (p *Probe) Ready(w http.ResponseWriter, r *http.Request) {
	report, err := p.Report(r.Context())
	if err != nil {
		return // no one reads the answer
	}
	b, err := json.Marshal(report)
	if err != nil {
		http.Error(w, "the server could not do it", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !report.Ready {
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	w.Write(append(b, '\n'))
}
