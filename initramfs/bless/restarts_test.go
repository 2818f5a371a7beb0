package bless_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/bless"
	"griddle/initramfs/pool/history"
)

// The deadline begins the trial, and says how the system is when it was not blessed in time.
func TestDeadlineBegins(t *testing.T) {
	p := newPool(t, "two")
	ctx, blessed := context.WithCancel(t.Context())
	o := p.options(t, true)
	opened := 0
	o.Open = func() (bless.Pool, error) {
		if opened++; opened == 1 {
			return nil, errors.New("no pool yet")
		}
		return p, nil
	}
	o.Wait = func(ctx context.Context, d time.Duration) {
		if d > time.Minute { // the deadline
			for ctx.Err() == nil && p.trial(t) == "" {
				time.Sleep(time.Millisecond)
			}
			blessed()
		}
	}
	if err := bless.Deadline(ctx, o, time.Hour); err != nil {
		t.Fatal(err)
	}
	same(t, p.events(t), []history.Event{{Kind: history.Started, Root: "two", Image: "image-2"}})
	var got bless.Trial
	if err := json.Unmarshal([]byte(p.trial(t)), &got); err != nil || got.Root != "two" || got.Boot != "boot-1" ||
		got.Fault.Reason != "" {
		t.Errorf("the trial is %+v, %v", got, err)
	}
}

// A pool that does not answer does not stop the clock of the trial.
func TestDeadlineWithoutPool(t *testing.T) {
	o := newPool(t, "two").options(t, true)
	ctx, blessed := context.WithCancel(t.Context())
	answer := make(chan struct{})
	o.Open = func() (bless.Pool, error) {
		<-answer
		return nil, errors.New("no pool")
	}
	waited := time.Duration(0)
	o.Wait = func(_ context.Context, d time.Duration) {
		if d > time.Minute {
			waited = d
			blessed()
			close(answer)
		}
	}
	stuck := time.AfterFunc(time.Minute, func() { panic("the deadline waits for the pool") })
	defer stuck.Stop()
	if err := bless.Deadline(ctx, o, time.Hour); err != nil || waited > time.Hour {
		t.Errorf("Deadline = %v after a limit of %v", err, waited)
	}
}

// A system that did not pass gets time to stop, unless its process 1 is dead.
func TestDeadlineRestarts(t *testing.T) {
	for _, c := range []struct {
		name, systemctl, reason string
		waits                   int
	}{
		{"systemd is well", "echo running", "it is up, but it was not blessed", 2},
		{"systemd restarts already", "case $1 in is-system-running) echo stopping;; *) exit 1;; esac",
			"systemd says stopping", 2},
		{"process 1 is dead", "echo 'Failed to connect to bus' >&2; exit 1", "systemd does not answer", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			tools(t, c.systemctl, "")
			p := newPool(t, "two")
			o := p.options(t, true)
			waits, resets := 0, 0
			o.Wait = func(context.Context, time.Duration) {
				for waits++; p.trial(t) == ""; {
					time.Sleep(time.Millisecond)
				}
			}
			o.Reset = func() error { resets++; return nil }
			if err := bless.Deadline(t.Context(), o, time.Hour); err != nil || waits != c.waits || resets != 1 {
				t.Errorf("Deadline = %v after %d waits and %d restarts by force, want %d and one", err, waits, resets,
					c.waits)
			}
			if !strings.Contains(p.trial(t), "within 1h0m0s: "+c.reason) {
				t.Errorf("the trial is %s, want %q", p.trial(t), c.reason)
			}
		})
	}
}
