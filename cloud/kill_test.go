package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/cloud/state"
	"griddle/imagestore/durable"
)

// doom ends a run as a kill does: from then on it does nothing any more, neither at the provider nor on disk.
type doom struct {
	dead atomic.Bool
	kill context.CancelFunc
	n    atomic.Int64 // operations on disk so far
}

var errKilled = errors.New("killed")

func (d *doom) die() error {
	d.dead.Store(true)
	d.kill()
	return errKilled
}

// run calls work with b's provider and disk failing for good from call number call (before it does its work, or after),
// or from disk operation number op; negative ones never come. It says whether it was killed.
func (b *bench) killed(t *testing.T, call, op int, after bool, work func(context.Context, *Cloud) error) bool {
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	d := &doom{kill: kill}
	from := len(b.m.Calls())
	hook := func(mine bool) func(context.Context, providertest.Call) error {
		return func(_ context.Context, c providertest.Call) error {
			if d.dead.Load() && !after {
				return errKilled
			}
			if mine && c.N == from+call {
				return d.die()
			}
			return nil
		}
	}
	b.m.Before, b.m.After = hook(!after), hook(after)
	c := *b.Cloud
	c.State.Disk = durable.Disk{Before: func(o *durable.Op) error {
		if d.dead.Load() {
			return errKilled
		}
		if o.Kind == durable.Remove && filepath.Base(o.Path) == "holder.json" {
			// the very last, when all is done and nobody is told of its error: the lock itself says who holds it
			return nil
		}
		if d.n.Add(1)-1 == int64(op) {
			return d.die()
		}
		return nil
	}}
	err := work(ctx, &c)
	b.m.Before, b.m.After = nil, nil
	if d.dead.Load() != (err != nil) {
		calls := b.m.Calls()
		t.Fatalf("killed at call %d (after: %v) or operation %d: %v, and the result is %v; the last calls were %v",
			call, after, op, d.dead.Load(), err, calls[max(0, len(calls)-4):])
	}
	return d.dead.Load()
}

// TestKilledAnywhere ends Up and what follows at every call of the provider, before and after its work, and at every
// operation on disk. The same again must end as if nothing had been, with nothing made twice.
func TestKilledAnywhere(t *testing.T) {
	up := func(ctx context.Context, c *Cloud) error {
		_, err := c.Up(ctx, plantest.Demo(), Options{})
		return err
	}
	for _, s := range []struct {
		name   string
		before func(*testing.T, *bench)
		work   func(context.Context, *Cloud) error
		made   map[string]int // servers that are made more than once
		stride int            // every so many operations on disk are tried
	}{
		{"up", nil, up, nil, 7},
		{"upgrade", func(t *testing.T, b *bench) { b.up(t, plantest.Demo()); b.cat.stable = "web:2" },
			func(ctx context.Context, c *Cloud) error {
				_, err := c.Upgrade(ctx, plantest.Demo(), nil, Options{})
				return err
			}, map[string]int{"server head-1": 2, "server worker-1": 2, "server worker-2": 2}, 11},
		{"scale", func(t *testing.T, b *bench) { b.up(t, plantest.Demo()) }, func(ctx context.Context, c *Cloud) error {
			_, err := c.Scale(ctx, plantest.Demo(), "worker", 3, Options{})
			return err
		}, nil, 11},
		{"network", func(t *testing.T, b *bench) { b.up(t, plantest.Demo()) },
			func(ctx context.Context, c *Cloud) error {
				s := plantest.Demo()
				s.Network.Prefix = netip.MustParsePrefix("10.78.0.0/24")
				_, err := c.Up(ctx, s, Options{})
				return err
			}, map[string]int{"server head-1": 2, "server worker-1": 2, "server worker-2": 2, "network net": 2,
				"firewall role.head": 2, "firewall role.worker": 2}, 11},
		{"delete", func(t *testing.T, b *bench) { b.up(t, plantest.Demo()) },
			func(ctx context.Context, c *Cloud) error {
				err := c.Delete(ctx, "demo", DeleteOptions{})
				if errors.Is(err, provider.ErrNotFound) {
					return nil // the run that was killed had come to the end
				}
				return err
			}, nil, 3},
	} {
		t.Run(s.name, func(t *testing.T) {
			want := ""
			try := func(call, op int, after bool) (done bool) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t)
					if s.before != nil {
						s.before(t, b)
					}
					done = !b.killed(t, call, op, after, s.work)
					if done && want == "" {
						want = standing(b.m)
						return
					}
					if err := s.work(t.Context(), b.Cloud); err != nil {
						t.Fatalf("killed at call %d (after: %v) or operation %d, the same again = %v\n%s", call,
							after, op, err, b.said)
					}
					if got := standing(b.m); got != want {
						t.Fatalf("killed at call %d (after: %v) or operation %d, the same again leaves\n%s, want\n%s",
							call, after, op, got, want)
					}
					for _, r := range b.m.All() {
						most := max(s.made[string(r.Kind)+" "+r.Name], 1)
						if n := b.m.Made(r.Kind, r.Stack, r.Name); n != most {
							t.Errorf("killed at call %d (after: %v) or operation %d: %s %s was made %d times, want %d",
								call, after, op, r.Kind, r.Name, n, most)
						}
					}
					if s.name == "delete" {
						if names, err := b.State.Names(); err != nil || len(names) > 0 {
							t.Errorf("after the deletion the stacks are %q, %v", names, err)
						}
					}
				})
				return done || t.Failed()
			}
			try(-1, -1, false)
			calls := 0
			for _, after := range []bool{false, true} {
				for call := 0; !try(call, -1, after); call++ {
					calls++
				}
			}
			ops := 0
			for op := 0; !try(-1, op, false); op += s.stride {
				ops++
			}
			t.Logf("killed at %d calls and %d operations on disk", calls, ops)
		})
	}
}

func TestHeld(t *testing.T) {
	b := newBench(t)
	d, err := b.State.Directory("demo")
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := d.Lock(b.Command)
	if err != nil {
		t.Fatal(err)
	}
	second := *b.Cloud
	_, err = second.Up(t.Context(), plantest.Demo(), Options{})
	var held *state.HeldError
	if !errors.As(err, &held) || held.Holder.PID != os.Getpid() || held.Holder.Command != "griddle cloud test" ||
		held.Holder.User == "" {
		t.Errorf("a second run = %v, want one that names this process", err)
	}
	if want := fmt.Sprintf("process %d of", os.Getpid()); !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("the error is %q, want %q in it", err, want)
	}
	if h, is := d.Holder(); !is || h.PID != os.Getpid() {
		t.Errorf("held = %v, %v", h, is)
	}
	unlock()
	if _, is := d.Holder(); is {
		t.Error("the stack is held after it was unlocked")
	}
	if _, err := os.Stat(b.files + "/holder.json"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("holder.json is still there: %v", err)
	}
}
