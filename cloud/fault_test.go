package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"griddle/cloud/plan/plantest"
	"griddle/cloud/provider"
	"griddle/cloud/provider/providertest"
	"griddle/cloud/provider/retry"
	"griddle/cloud/state"
)

func on(text string) func(providertest.Call) bool {
	return func(c providertest.Call) bool { return c.String() == text }
}

// TestFaults has the provider misbehave, and compares what is said with a golden. Where Up fails, it must work
// once the cause is gone.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*bench)
		mend func(*bench)
		want error // of the first Up; nil where it works all the same
	}{
		{name: "answers 409, 429 and 500", do: func(b *bench) {
			codes := []int{409, 429, 500}
			n := 0
			b.m.Before = func(_ context.Context, c providertest.Call) error {
				if n++; n%2 == 0 {
					return providertest.Status(codes[n%3])
				}
				return nil
			}
		}},
		{name: "answers are lost", do: func(b *bench) {
			n := 0
			b.m.After = func(_ context.Context, c providertest.Call) error {
				if n++; n%3 == 0 {
					return providertest.Status(504)
				}
				return nil
			}
		}},
		{name: "asks to wait", do: func(b *bench) {
			b.m.Before = providertest.FailOn(on("ensure network demo/net"), 2,
				&provider.Retry{After: 20 * time.Second, Err: errors.New("429 Too Many Requests")})
		}},
		{name: "asks to wait too long", do: func(b *bench) {
			b.m.Before = providertest.FailOn(on("ensure network demo/net"), 1,
				&provider.Retry{After: 20 * time.Minute, Err: errors.New("429 Too Many Requests")})
		}, want: provider.ErrTemporary},
		{name: "does not answer",
			do:   func(b *bench) { b.m.Before = providertest.Hang(on("ensure server demo/head-1")) },
			mend: func(b *bench) { b.m.Before = nil }, want: retry.ErrLate},
		{name: "credentials expire", do: func(b *bench) {
			b.m.Before = providertest.FailOn(func(c providertest.Call) bool {
				return strings.HasPrefix(c.String(),
					"ensure server demo/worker")
			}, 9, fmt.Errorf("401 Unauthorized: %w", provider.ErrCredentials))
		}, mend: func(b *bench) { b.m.Before = nil }, want: provider.ErrCredentials},
		{name: "quota", do: func(b *bench) { b.m.Quota = map[provider.Kind]int{provider.KindServer: 2} },
			mend: func(b *bench) { b.m.Quota = nil }, want: provider.ErrQuota},
		{name: "name taken", do: func(b *bench) { b.m.Foreign(provider.KindServer, "demo", "worker-1") },
			mend: func(b *bench) { b.m.Delete(provider.KindServer, "demo", "worker-1") }, want: provider.ErrTaken},
		{name: "server fails once", do: func(b *bench) { b.m.After = failServer(b.m, "worker-1", 1) }},
		{name: "server fails always", do: func(b *bench) { b.m.After = failServer(b.m, "worker-1", 99) },
			mend: func(b *bench) { b.m.After = nil }, want: errAny},
		{name: "first boot fails", do: func(b *bench) { b.sh.exits["worker-1"] = 1 },
			mend: func(b *bench) { b.sh.exits["worker-1"] = 0 }, want: ErrFirstBoot},
		{name: "ssh never answers", do: func(b *bench) { b.sh.boot["worker-1"] = 1000 },
			mend: func(b *bench) { b.sh.boot["worker-1"] = 0 }, want: retry.ErrLate},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				s := plantest.Demo()
				s.Settings.Parallel = 1 // for the order of lines
				c.do(b)
				_, err := b.Up(t.Context(), s, Options{})
				if (err == nil) != (c.want == nil) || c.want != errAny && !errors.Is(err, c.want) {
					t.Fatalf("Up = %v, want %v\n%s", err, c.want, b.said)
				}
				golden(t, "fault-"+strings.Map(func(c rune) rune {
					if c == ' ' || c == ',' {
						return '-'
					}
					return c
				}, c.name)+".txt", b.output())
				if c.mend != nil {
					c.mend(b)
				}
				b.up(t, s)
				if p := b.up(t, s); !p.Empty() {
					t.Errorf("then is planned\n%s", printed(t, p, false))
				}
				for _, r := range b.m.All() {
					if n := b.m.Made(r.Kind, r.Stack, r.Name); n != 1 && r.Name != "worker-1" {
						t.Errorf("%s %s was made %d times", r.Kind, r.Name, n)
					}
				}
			})
		})
	}
}

// TestUnreachable has the provider not be there. Where it never was, that is said within a minute; where it
// was, it is waited for.
func TestUnreachable(t *testing.T) {
	gone := func(ctx context.Context, _ providertest.Call) error {
		time.Sleep(provider.DialTimeout)
		return fmt.Errorf("dial tcp 192.0.2.1:443: i/o timeout: %w: %w", provider.ErrUnreachable, provider.ErrTemporary)
	}
	for name, do := range map[string]func(context.Context, *bench) error{
		"Up": func(ctx context.Context, b *bench) error {
			_, err := b.Up(ctx, plantest.Demo(), Options{})
			return err
		},
		"Adopt":  func(ctx context.Context, b *bench) error { _, err := b.Adopt(ctx, plantest.Demo()); return err },
		"Plan":   func(ctx context.Context, b *bench) error { _, err := b.Plan(ctx, plantest.Demo()); return err },
		"Status": func(ctx context.Context, b *bench) error { _, err := b.Status(ctx, "demo"); return err },
		"Upload": func(ctx context.Context, b *bench) error {
			_, err := Upload(ctx, b.m, providertest.Blank(provider.Raw, 1))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.m.Before = gone
				begin := time.Now()
				err := do(t.Context(), b)
				if took := time.Since(begin); !errors.Is(err, provider.ErrUnreachable) || took > time.Minute {
					t.Errorf("%v after %v", err, took)
				}
				if name != "Upload" && !strings.Contains(b.said.String(), "192.0.2.1:443: i/o timeout") {
					t.Errorf("said was\n%s", b.said)
				}
				if !strings.Contains(Advice(err), "look at the network") {
					t.Errorf("Advice = %s", Advice(err))
				}
			})
		})
	}
	t.Run("later", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			s := plantest.Demo()
			s.Settings.Call = 5 * time.Minute
			n := 0
			b.m.Before = func(ctx context.Context, c providertest.Call) error {
				if n++; c.Kind == provider.KindNetwork && c.Op == "ensure" && n < 12 {
					return gone(ctx, c)
				}
				return nil
			}
			b.up(t, s)
			if !strings.Contains(b.said.String(), "it is tried again") {
				t.Errorf("said was\n%s", b.said)
			}
		})
	})
}

// errAny stands for any error.
var errAny = errors.New("any")

// failServer is a hook that has the provider give a server up after it was made, so many times.
func failServer(m *providertest.Memory, name string, times int) func(context.Context, providertest.Call) error {
	return func(_ context.Context, c providertest.Call) error {
		if c.String() == "ensure server demo/"+name && times > 0 {
			times--
			m.Print("demo", name, "No bootable device.\n")
			m.Fail(provider.KindServer, "demo", name, "no host has room")
		}
		return nil
	}
}

// TestInterrupted cancels a run; the state is there, and nobody waits.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, stop := context.WithCancelCause(t.Context())
		b.sh.hook = func(Target, string) (bool, error) {
			stop(context.Canceled)
			return true, errors.New("connection refused")
		}
		begin := time.Now()
		_, err := b.Up(ctx, plantest.Demo(), Options{})
		if !errors.Is(err, context.Canceled) || time.Since(begin) > 30*time.Second {
			t.Errorf("Up = %v after %v", err, time.Since(begin))
		}
		s, err := b.State.Load("demo")
		if err != nil || s.Servers["head-1"].Phase != state.Creating {
			t.Errorf("the state has %+v, %v", s, err)
		}
	})
}
