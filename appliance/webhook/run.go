package webhook

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/durable"
)

// Options are what Run needs. Waits may be left out.
type Options struct {
	Hooks []Hook
	Dir   string // of the files that keep what each hook got last; made if it does not exist
	// Next returns events after a number, in order, and the number of the last one that it looked at.
	Next  func(ctx context.Context, after int64) (events []Event, last int64, err error)
	Last  func(context.Context) (int64, error) // the number of the newest event
	Grown func() <-chan struct{}               // closed when there may be more events
	Log   *slog.Logger
	Now   func() time.Time

	Waits []time.Duration // between attempts; the last one counts again and again
}

// giveUp is the age from which an event is not sent again.
const giveUp = 24 * time.Hour

// maxKept bounds what is remembered of things that events were about.
const maxKept = 1000

func defaultWaits() []time.Duration {
	return []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour}
}

// kept is the file of a hook. A new hook begins with what happens from now on.
type kept struct {
	After int64             `json:"after"` // the number of the last event that was sent, or is not for it
	Mark  string            `json:"mark"`  // random; a part of the IDs
	Sent  map[string]string `json:"sent"`  // the state that was sent last, by what it is the state of
	Order []string          `json:"order"` // the keys of Sent, the oldest first
}

// Run sends events until ctx ends, which is not an error.
func Run(ctx context.Context, o Options) error {
	if o.Waits == nil {
		o.Waits = defaultWaits()
	}
	if len(o.Hooks) == 0 {
		return nil
	}
	if err := (durable.Disk{}).MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of webhooks: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range o.Hooks {
		w := &worker{Options: o, post: newPoster(h), file: filepath.Join(o.Dir, name(h)),
			log: o.Log.With("webhook", place(h.URL))}
		if err := w.open(ctx); err != nil {
			return err
		}
		g.Go(func() error {
			w.run(ctx)
			return nil
		})
	}
	return g.Wait()
}

// name is that of the file of a hook. It does not show the URL.
func name(h Hook) string { return fmt.Sprintf("%x.json", sha256.Sum256([]byte(h.URL))) }

// worker serves one hook.
type worker struct {
	Options
	post *poster
	file string
	log  *slog.Logger
	kept kept
}

func (w *worker) open(ctx context.Context) error {
	b, err := os.ReadFile(w.file)
	if err == nil {
		err = json.Unmarshal(b, &w.kept)
	}
	if err == nil && w.kept.Sent == nil {
		w.kept.Sent = map[string]string{}
	}
	if errors.Is(err, fs.ErrNotExist) {
		w.kept = kept{Mark: rand.Text()[:16], Sent: map[string]string{}}
		if w.kept.After, err = w.Last(ctx); err == nil {
			err = w.save()
		}
	}
	if err != nil {
		return fmt.Errorf("reading what a webhook got last: %w; to begin with what happens from now on, remove %s", err,
			w.file)
	}
	return nil
}

// save makes durable what the hook got.
func (w *worker) save() error {
	b, err := json.Marshal(w.kept)
	if err != nil {
		return err
	}
	return durable.Disk{}.Replace(w.file, b, 0o600)
}

// run sends until ctx ends.
func (w *worker) run(ctx context.Context) {
	saved := w.kept.After
	for ctx.Err() == nil {
		grown, before := w.Grown(), w.kept.After
		events, last, err := w.Next(ctx, w.kept.After)
		if err != nil {
			w.log.Warn("reading events for a webhook failed", "error", err)
			if !sleep(ctx, w.Waits[0]) {
				return
			}
			continue
		}
		for _, e := range events {
			if w.kept.Sent[e.Of] == e.State || !w.post.hook.wants(e.Type) {
				continue
			}
			if !w.deliver(ctx, e) {
				return
			}
			w.note(e)
			if err := w.save(); err != nil {
				w.log.Warn("what a webhook got could not be saved; after a restart it gets it again", "error", err)
			}
			saved = e.ID
		}
		w.kept.After = max(w.kept.After, last)
		if w.kept.After-saved > maxKept { // so that a restart does not read all of it again
			if err := w.save(); err == nil {
				saved = w.kept.After
			}
		}
		if w.kept.After > before {
			continue
		}
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
}

// note remembers that e was sent.
func (w *worker) note(e Event) {
	if _, ok := w.kept.Sent[e.Of]; !ok {
		w.kept.Order = append(w.kept.Order, e.Of)
	}
	w.kept.Sent[e.Of], w.kept.After = e.State, e.ID
	for len(w.kept.Order) > maxKept {
		delete(w.kept.Sent, w.kept.Order[0])
		w.kept.Order = w.kept.Order[1:]
	}
}

// deliver sends e until the hook has it, or it is given up. It is false if ctx ended first.
func (w *worker) deliver(ctx context.Context, e Event) bool {
	body, err := e.body()
	if err != nil {
		w.log.Error("an event could not be written for a webhook", "error", err)
		return true
	}
	id := fmt.Sprintf("msg_%s_%d", w.kept.Mark, e.ID)
	for n := 0; ; n++ {
		err := w.post.post(ctx, id, w.Now(), body)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			w.log.Debug("sent to a webhook", "event", e.Type, "id", id)
			return true
		}
		if errors.Is(err, errGone) || w.Now().Sub(e.Time) > giveUp {
			w.log.Error("an event for a webhook is given up", "event", e.Type, "id", id, "error", err)
			return true
		}
		if n == 0 {
			w.log.Warn("a webhook did not take an event; it gets it again later", "event", e.Type, "id", id,
				"error", err)
		}
		if !sleep(ctx, w.Waits[min(n, len(w.Waits)-1)]) {
			return false
		}
	}
}

// sleep is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
