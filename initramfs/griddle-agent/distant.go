package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"griddle/appliance/job"
	"griddle/tui"
	"griddle/tui/frame"
	"griddle/tui/remote"

	tea "github.com/charmbracelet/bubbletea"
)

// Times of distant.
const (
	frameEvery = 250 * time.Millisecond // between two frames
	frameBeat  = 5 * time.Second        // a frame that says that nothing has changed
	giveUp     = 20 * time.Second       // after which an operator who cannot be reached does not watch any more
)

// viewers is the server, for distant.
type viewers interface {
	screen(ctx context.Context, f job.ScreenFrame) (job.ScreenWatch, error)
	screenKeys(ctx context.Context, after uint64) (job.ScreenKeys, error)
}

// distant is the screen for operators elsewhere: it sends frames while one watches, and gives their keys to the model.
// It never sends what is typed into masked fields, nor the code of an approval (tui.Model.Away).
type distant struct {
	log  *slog.Logger
	send func(tea.Msg) // to the program of the model

	mu            sync.Mutex
	model         tui.Model
	changed       chan struct{} // has an entry after a change
	running       bool
	columns, rows int
	number        uint64 // of the last frame of this boot
	page          any
	fresh         uint64 // the first frame with the present page, if it came by itself
}

func newDistant(log *slog.Logger, m tui.Model) *distant {
	return &distant{log: log, model: m, changed: make(chan struct{}, 1), columns: job.ScreenColumns,
		rows: job.ScreenRows}
}

// show takes the model as it is now. byKey says that a key made it so.
func (d *distant) show(m tui.Model, byKey bool) {
	d.mu.Lock()
	d.model = m
	if page := m.Page(); page != d.page {
		if d.page = page; !byKey {
			d.fresh = d.number + 1
		}
	}
	d.mu.Unlock()
	trySend(d.changed, struct{}{})
}

// at is the size for which keys are, and what it can draw.
func (d *distant) at() (frame.Theme, int, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return frame.NewTheme(frame.Look{Ink: frame.Colors, Lines: true}), d.columns, d.rows
}

// watched is called when the server says that an operator watches. It runs until no one does.
func (d *distant) watched(ctx context.Context, to viewers) {
	d.mu.Lock()
	was := d.running
	d.running = true
	d.mu.Unlock()
	if was {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	both.Go(func() { defer cancel(); d.draw(ctx, to) })
	both.Go(func() { defer cancel(); d.keys(ctx, to) })
	go func() {
		both.Wait()
		cancel()
		d.mu.Lock()
		d.running = false
		d.mu.Unlock()
	}()
}

// lines are what is shown elsewhere, and its size.
func (d *distant) lines() ([]job.ScreenLine, int, int) {
	theme, columns, rows := d.at()
	d.mu.Lock()
	m := d.model
	d.mu.Unlock()
	return remote.Lines(m.Away().On(theme, columns, rows).View()), columns, rows
}

// draw sends frames.
func (d *distant) draw(ctx context.Context, to viewers) {
	var before []job.ScreenLine
	var last job.ScreenFrame
	whole, failed := true, time.Time{}
	beat := time.NewTicker(frameBeat)
	defer beat.Stop()
	for ctx.Err() == nil {
		now, columns, rows := d.lines()
		f := job.ScreenFrame{Columns: columns, Rows: rows, Whole: whole || columns != last.Columns || rows != last.Rows}
		if f.Lines = now; !f.Whole {
			f.Lines = remote.Changed(before, now)
		}
		d.mu.Lock()
		if f.Whole || len(f.Lines) > 0 {
			d.number++
		}
		f.Number = d.number
		d.mu.Unlock()
		w, err := to.screen(ctx, f)
		switch {
		case err != nil:
			d.log.Info("the screen is not sent", "error", err)
			if failed.IsZero() {
				failed = time.Now()
			}
			if time.Since(failed) > giveUp {
				return
			}
			whole = true
			wait(ctx, time.Second)
			continue
		case !w.Watched:
			return
		}
		failed, before, last, whole = time.Time{}, now, f, w.Whole
		d.resize(w)
		wait(ctx, frameEvery)
		if whole {
			continue
		}
		select {
		case <-ctx.Done():
		case <-d.changed:
		case <-beat.C:
		}
	}
}

// resize takes the size of the operators' terminals.
func (d *distant) resize(w job.ScreenWatch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if columns, rows := w.Columns, w.Rows; columns >= job.LeastScreenColumns && columns <= job.MaxScreenColumns &&
		rows >= job.LeastScreenRows && rows <= job.MaxScreenRows && (columns != d.columns || rows != d.rows) {
		d.columns, d.rows = columns, rows
		trySend(d.changed, struct{}{})
	}
}

// keys gives keys of operators to the model.
func (d *distant) keys(ctx context.Context, to viewers) {
	after, failed := uint64(0), time.Time{}
	for ctx.Err() == nil {
		k, err := to.screenKeys(ctx, after)
		switch {
		case err != nil:
			if failed.IsZero() {
				failed = time.Now()
			}
			if time.Since(failed) > giveUp {
				return
			}
			wait(ctx, time.Second)
			continue
		case !k.Watched:
			return
		}
		failed, after = time.Time{}, k.Last
		for _, key := range k.Keys {
			d.press(key)
		}
	}
}

// press gives a key to the model, if the operator saw the present page. What the operator's own keys led to counts as
// seen.
func (d *distant) press(k job.ScreenKey) {
	d.mu.Lock()
	stale := k.Seen < d.fresh
	d.mu.Unlock()
	keys, ok := remote.KeyMsg(k)
	if !ok || stale {
		d.log.Info("a key of an operator was dropped", "kind", k.Kind(), "stale", stale)
		return
	}
	for _, key := range keys {
		d.send(tui.Elsewhere{Key: key})
	}
}

// watched shows the screen to an operator who watches it.
func (s *station) watched(ctx context.Context, is bool) {
	if is {
		s.screen.distant.watched(ctx, s.api)
	}
}

// report delivers events, and looks in the answers whether an operator watches; ctx is that of the boot.
func (s *station) report(boot context.Context) func(context.Context, job.Events) (job.Acknowledged, error) {
	return func(ctx context.Context, e job.Events) (job.Acknowledged, error) {
		a, err := s.api.events(ctx, e)
		s.watched(boot, err == nil && a.Screen)
		return a, err
	}
}

var errNotIntroduced = errors.New("not introduced yet")

func (a *client) screen(ctx context.Context, f job.ScreenFrame) (job.ScreenWatch, error) {
	c := a.current()
	if c == nil {
		return job.ScreenWatch{}, errNotIntroduced
	}
	return c.Screen(ctx, f)
}

func (a *client) screenKeys(ctx context.Context, after uint64) (job.ScreenKeys, error) {
	c := a.current()
	if c == nil {
		return job.ScreenKeys{}, errNotIntroduced
	}
	return c.ScreenKeys(ctx, after)
}
