package bless_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/initramfs/bless"
	"griddle/initramfs/kexec/attempt"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/history"
)

// fakePool is a pool whose root "one" was good first.
type fakePool struct {
	dir    string
	all    pool.Contents
	failed string   // the candidate that failed
	calls  []string // what changed it
	broken error    // of all changes
}

func (p *fakePool) Read() (pool.Contents, error) { return p.all, nil }
func (p *fakePool) Dir() string                  { return p.dir }
func (p *fakePool) Failed() (string, error)      { return p.failed, nil }
func (p *fakePool) Close() error                 { return nil }

func (p *fakePool) Bless(name string) error {
	if p.broken != nil {
		return p.broken
	}
	p.calls = append(p.calls, "bless "+name)
	p.all.Good = name
	if p.all.Candidate == name {
		p.all.Candidate = ""
	}
	for i := range p.all.Roots {
		p.all.Roots[i].Good = p.all.Roots[i].Good || p.all.Roots[i].Name == name
	}
	return nil
}

func (p *fakePool) Forget(name string) error {
	if p.broken != nil {
		return p.broken
	}
	p.calls, p.failed = append(p.calls, "forget "+name), ""
	return nil
}

// newPool has the roots one, which is good, and two. One of them runs.
func newPool(t *testing.T, runs string) *fakePool {
	t.Helper()
	p := &fakePool{dir: t.TempDir(), all: pool.Contents{Good: "one", Boots: "one", Roots: []pool.Root{
		{Name: "one", Image: "image-1", Kernel: true, Good: true}, {Name: "two", Image: "image-2", Kernel: true}}}}
	for i := range p.all.Roots {
		p.all.Roots[i].Runs = p.all.Roots[i].Name == runs
	}
	if err := os.MkdirAll(p.record(), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *fakePool) record() string { return filepath.Join(p.dir, "@persistent/griddle") }

// options are for the root that runs. One that is on trial is the candidate.
func (p *fakePool) options(t *testing.T, onTrial bool) bless.Options {
	if i := slices.IndexFunc(p.all.Roots, func(r pool.Root) bool { return r.Runs }); onTrial && i >= 0 {
		p.all.Candidate = p.all.Roots[i].Name
	}
	return bless.Options{Open: func() (bless.Pool, error) { return p, nil }, Root: t.TempDir(), OnTrial: onTrial,
		Started: attempt.Start{Boot: "boot-1"}, Wait: func(context.Context, time.Duration) {},
		Server: func(context.Context) error { return errors.New("the server was asked") }}
}

// events are the history without times.
func (p *fakePool) events(t *testing.T) []history.Event {
	t.Helper()
	all := readHistory(t, p.record())
	for i := range all {
		all[i].Time = time.Time{}
	}
	return all
}

func (p *fakePool) trial(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.record(), bless.TrialFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

var blessed = func(n string) history.Event {
	return history.Event{Kind: history.Blessed, Root: map[string]string{"1": "one", "2": "two"}[n], Image: "image-" + n}
}

// What is blessed depends on which root runs and whether it is on trial.
func TestBless(t *testing.T) {
	for _, c := range []struct {
		name, runs string
		onTrial    bool
		change     func(p *fakePool)
		calls      string
		events     []history.Event
	}{
		{"a candidate", "two", true, nil, "bless two", []history.Event{blessed("2")}},
		{"the good root", "one", false, nil, "", []history.Event{blessed("1")}},
		{"the good root after an install", "one", false, func(p *fakePool) { p.all.Roots[0].Good = false }, "bless one",
			[]history.Event{blessed("1")}},
		{"a root that was good before, and is again", "two", true, func(p *fakePool) { p.all.Roots[1].Good = true },
			"bless two", []history.Event{blessed("2")}},
		{"a candidate while the good root has no kernel", "two", true,
			func(p *fakePool) { p.all.Boots, p.all.NoBoots = "", pool.ErrNoneStarts }, "bless two",
			[]history.Event{blessed("2")}},
		{"a root that was started by hand", "two", false, nil, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPool(t, c.runs)
			if c.change != nil {
				c.change(p)
			}
			o := p.options(t, c.onTrial)
			for range 2 { // the second one finds all done
				if err := bless.Bless(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Join(slices.Compact(p.calls), ", "); got != c.calls {
				t.Errorf("the pool was changed by %q, want %q", got, c.calls)
			}
			same(t, p.events(t), c.events)
			if s := p.trial(t); s != "" {
				t.Errorf("a trial is left: %s", s)
			}
		})
	}
}

// If grubenv is lost, or its good root is gone, the root that GRUB takes is the good one from then on.
func TestGoodIsLost(t *testing.T) {
	for _, good := range []string{"", "gone"} {
		p := newPool(t, "one")
		p.all.Good, p.all.Roots[0].Boots = good, true
		if err := bless.Bless(t.Context(), p.options(t, false)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.calls, []string{"bless one"}) || p.all.Good != "one" {
			t.Errorf("with the good root %q lost, Bless did %q", good, p.calls)
		}
		// A candidate that a person starts by the menu is not on trial.
		p = newPool(t, "two")
		p.all.Good, p.all.Candidate, p.all.Tries, p.all.Roots[1].Boots = good, "two", 1, true
		if err := bless.Bless(t.Context(), p.options(t, false)); err != nil || len(p.calls) > 0 {
			t.Errorf("for a candidate that is not on trial Bless did %q, %v", p.calls, err)
		}
	}
}

// The good root finds out why another one failed. One whose report is missing or damaged failed too.
func TestFailed(t *testing.T) {
	const began = `"root":"two","image":"image-2","boot":"b","began":"2026-11-29T10:00:00Z"`
	const none = "it did not start, and left no report: a power cut, or its kernel or first steps failed"
	for name, c := range map[string]struct {
		trial, reason string
		lines         []string
	}{
		"its report": {`{` + began + `,"fault":{"reason":"it is ill","lines":["a","b"]}}`, "it is ill",
			[]string{"a", "b"}},
		"only its begin": {`{` + began + `}`, "it started at 2026-11-29 10:00:00, and left no other report: " +
			"a power cut, a panic, a hang or a restart", nil},
		"nothing":               {"", none, nil},
		"another root's report": {`{"root":"zero","fault":{"reason":"it is ill"}}`, none, nil},
		"a damaged report":      {`{"root":"two`, none, nil},
		"a hostile report": {`{"root":"two","fault":{"reason":"\u001b[2J` + strings.Repeat("x", 500) + `"}}`,
			"[2J" + strings.Repeat("x", 397), nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, "one")
			p.failed = "two"
			if c.trial != "" {
				if err := os.WriteFile(filepath.Join(p.record(), bless.TrialFile), []byte(c.trial), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := bless.Bless(t.Context(), p.options(t, false)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.calls, ", "); got != "forget two" {
				t.Errorf("the pool was changed by %q", got)
			}
			same(t, p.events(t), []history.Event{
				{Kind: history.Failed, Root: "two", Image: "image-2", Reason: c.reason, Lines: c.lines}, blessed("1")})
			if s := p.trial(t); s != "" {
				t.Errorf("a trial is left: %s", s)
			}
		})
	}
}

// A failed root that was deleted since has a name in the history.
func TestFailedAndGone(t *testing.T) {
	p := newPool(t, "one")
	p.failed = "three"
	if err := bless.Bless(t.Context(), p.options(t, false)); err != nil {
		t.Fatal(err)
	}
	if got := p.events(t); len(got) != 2 || got[0].Root != "three" || got[0].Image != "" {
		t.Errorf("the history is %+v", got)
	}
}

// Until the EFI system partition can be written, Bless tries again; the history has each event once.
func TestBlessTriesAgain(t *testing.T) {
	p := newPool(t, "two")
	p.failed, p.broken = "one", errors.New("the partition is missing")
	o := p.options(t, true)
	opened, waits := 0, 0
	o.Open = func() (bless.Pool, error) {
		if opened++; opened == 1 {
			return nil, errors.New("no pool yet")
		}
		return p, nil
	}
	o.Wait = func(context.Context, time.Duration) {
		if waits++; waits == 3 {
			p.broken = nil
		}
	}
	if err := bless.Bless(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.calls, ", "); got != "forget one, bless two" || waits != 3 {
		t.Errorf("the pool was changed by %q after %d pauses", got, waits)
	}
	if got := p.events(t); len(got) != 2 || got[0].Kind != history.Failed || got[1].Kind != history.Blessed {
		t.Errorf("the history is %+v", got)
	}

	ctx, cancel := context.WithCancel(t.Context())
	p.broken = errors.New("the partition is missing")
	o.Wait = func(context.Context, time.Duration) { cancel() }
	if err := bless.Bless(ctx, o); !errors.Is(err, p.broken) {
		t.Errorf("Bless = %v, want %v", err, p.broken)
	}
}

// A system that is not of the pool, or whose boot is not known, is not blessed.
func TestBlessRefuses(t *testing.T) {
	for name, change := range map[string]func(p *fakePool){
		"is not a root": func(p *fakePool) { p.all.Roots[1].Runs = false },
		"no EFI there":  func(p *fakePool) { p.all.NoBoots = errors.New("no EFI there") },
	} {
		p := newPool(t, "two")
		change(p)
		o := p.options(t, true)
		ctx, cancel := context.WithCancel(t.Context())
		o.Wait = func(context.Context, time.Duration) { cancel() }
		if err := bless.Bless(ctx, o); err == nil || !strings.Contains(err.Error(), name) || len(p.calls) > 0 {
			t.Errorf("Bless = %v after %q, want %q", err, p.calls, name)
		}
	}
}

func TestOnTrial(t *testing.T) {
	for line, want := range map[string]bool{"root=x griddle.try quiet\n": true, "griddle.try": true,
		"root=griddle.try": false, "griddle.try=0": false, "": false} {
		if got := bless.OnTrial(line); got != want {
			t.Errorf("OnTrial(%q) = %t", line, got)
		}
	}
}
