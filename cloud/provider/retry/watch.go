package retry

import (
	"context"
	"fmt"
	"time"

	"griddle/cloud/provider"
)

// Pauses between two looks at something that takes its time.
const (
	firstLook = 250 * time.Millisecond
	lastLook  = 5 * time.Second
)

// Watch lists a stack's resources for all goroutines that wait for one of them: one request answers all.
type Watch struct {
	p      provider.Provider
	stack  string
	Policy Policy
	turn   chan struct{} // holds one value: whose turn it is to look
	at     time.Time     // when the last look began
	seen   map[provider.KindName]provider.Resource
}

// NewWatch returns a Watch of a stack; of the images for the empty name.
func NewWatch(p provider.Provider, stack string, r Policy) *Watch {
	w := &Watch{p: p, stack: stack, Policy: r, turn: make(chan struct{}, 1)}
	w.turn <- struct{}{}
	return w
}

// Look returns what the provider has, as of now or later.
func (w *Watch) Look(ctx context.Context) (map[provider.KindName]provider.Resource, error) {
	now := time.Now()
	select {
	case <-w.turn:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { w.turn <- struct{}{} }()
	if w.seen != nil && w.at.After(now) {
		return w.seen, nil
	}
	begin := time.Now()
	var all []provider.Resource
	what := "looking at stack " + w.stack
	if w.stack == "" {
		what = "looking at the images"
	}
	err := w.Policy.Do(ctx, what, func(ctx context.Context) (err error) {
		all, err = w.p.List(ctx, w.stack)
		return err
	})
	if err != nil {
		return nil, err
	}
	w.at, w.seen = begin, make(map[provider.KindName]provider.Resource, len(all))
	for _, r := range all {
		w.seen[r.KindName()] = r
	}
	return w.seen, nil
}

// Until lists until done says so. done gets the resource of that name, and whether there is one.
func (w *Watch) Until(ctx context.Context, t provider.KindName,
	done func(r provider.Resource, there bool) (bool, error)) error {
	for wait := firstLook; ; wait = min(wait*3/2, lastLook) {
		all, err := w.Look(ctx)
		if err != nil {
			return err
		}
		r, there := all[t]
		if end, err := done(r, there); end || err != nil {
			return err
		}
		if err := Sleep(ctx, wait); err != nil {
			return fmt.Errorf("waiting for %s %s, which is %s: %w", t.Kind, t.Name, says(r, there), err)
		}
	}
}

func says(r provider.Resource, there bool) string {
	if !there {
		return "not there"
	}
	return string(r.State)
}

// Gone waits until the resource is there no more. Another one of its name does not count.
func (w *Watch) Gone(ctx context.Context, old provider.Resource) error {
	return w.Until(ctx, old.KindName(), func(r provider.Resource, there bool) (bool, error) {
		return !there || r.ID != old.ID, nil
	})
}
