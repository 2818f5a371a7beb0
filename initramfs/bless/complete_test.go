package bless_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"griddle/initramfs/bless"
	"griddle/initramfs/pool/history"
)

func (p *fakePool) tell(t *testing.T, events ...history.Event) {
	t.Helper()
	dir, err := os.OpenRoot(p.record())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, e := range events {
		if err := history.Append(dir, e); err != nil {
			t.Fatal(err)
		}
	}
}

// The power was cut after the switch and before the event about it: the trial adds the event.
func TestSwitchIsFoundLater(t *testing.T) {
	p := newPool(t, "two")
	made := history.Event{Kind: history.Made, Root: "two", Image: "image-2"}
	p.tell(t, made)
	if err := bless.Bless(t.Context(), p.options(t, true)); err != nil {
		t.Fatal(err)
	}
	got := p.events(t)
	if len(got) != 3 || got[1].Reason == "" {
		t.Fatalf("the history is %+v", got)
	}
	got[1].Reason = ""
	same(t, got, []history.Event{made, {Kind: history.Switched, Root: "two", Image: "image-2"}, blessed("2")})
}

// The power was cut after a failure was written down and before the boot loader forgot the candidate: the next start
// writes it down no second time.
func TestFailureIsWrittenOnce(t *testing.T) {
	p := newPool(t, "one")
	p.failed = "two"
	p.broken = errors.New("the power is cut")
	o := p.options(t, false)
	for range 2 { // starts
		ctx, cut := context.WithCancel(t.Context())
		o.Wait = func(context.Context, time.Duration) { cut() }
		if err := bless.Bless(ctx, o); !errors.Is(err, p.broken) {
			t.Fatalf("Bless = %v", err)
		}
	}
	p.broken = nil
	if err := bless.Bless(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var failed int
	for _, e := range p.events(t) {
		if e.Kind == history.Failed {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("the history is %+v, want the failure once", p.events(t))
	}
}
