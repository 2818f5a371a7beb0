package order

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
	"griddle/initramfs/pool/history"

	"golang.org/x/sys/unix"
)

const (
	one = "11111111-1111-4111-8111-111111111111"
	two = "22222222-2222-4222-8222-222222222222"
)

func orderOf(id, ref string) Order {
	return Order{Spec: job.Spec{ID: id, Kind: job.Update, Image: job.Image{Ref: ref}},
		Given: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
}

// What one side leaves the other side reads, and an order that ended is none.
func TestFiles(t *testing.T) {
	f := Open(t.TempDir(), filepath.Join(t.TempDir(), "griddle"))
	if o, err := f.Waiting(); o != nil || err != nil || f.Result() != nil || f.Progress() != nil || f.Roots() != nil ||
		f.Reported() != (Reported{}) {
		t.Errorf("empty folders have %+v, %v", o, err)
	}
	want, before := orderOf(one, "web:2@amd64"), f.Changed()
	if err := f.Give(want); err != nil || f.Changed() == before {
		t.Errorf("Give = %v, and a change is seen: %t", err, f.Changed() != before)
	}
	if got, err := f.Waiting(); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("Waiting() = %+v, %v, want %+v", got, err, want)
	}
	before = f.Changed()
	f.Tell(Progress{Job: one, Phase: job.PhaseReceive, Message: "a\nb", Progress: &job.Progress{Done: 1, Total: 2}})
	if p := f.Progress(); p == nil || p.Message != "a b" || p.Progress.Percent() != 50 || f.Changed() == before {
		t.Errorf("Progress() = %+v", p)
	}
	roots := []job.Root{{Name: "web-2@amd64", Runs: true}}
	if err := f.TellRoots(roots); err != nil || !reflect.DeepEqual(f.Roots(), roots) {
		t.Errorf("TellRoots = %v, Roots() = %+v", err, f.Roots())
	}
	if err := f.End(Result{Job: one, State: Failed, Message: "no\nspace"}); err != nil {
		t.Fatal(err)
	}
	if o, err := f.Waiting(); o != nil || err != nil || f.Result().Message != "no space" || f.Progress() != nil {
		t.Errorf("after End: %+v, %v, result %+v, progress %+v", o, err, f.Result(), f.Progress())
	}
	if _, err := os.Stat(filepath.Join(f.dir, orderFile)); err == nil {
		t.Error("the order is still there")
	}
	// Another order took the place of the one that ends.
	if err := errors.Join(f.Give(orderOf(two, "web:3@amd64")), f.End(Result{Job: one, State: Switched})); err != nil {
		t.Fatal(err)
	}
	if o, err := f.Waiting(); err != nil || o == nil || o.Spec.ID != two {
		t.Errorf("the next order is %+v, %v", o, err)
	}
	// Only the order that is meant is taken back.
	if err := f.Withdraw(one); err != nil {
		t.Error(err)
	}
	if o, err := f.Waiting(); err != nil || o == nil || o.Spec.ID != two {
		t.Errorf("after another one was withdrawn the order is %+v, %v", o, err)
	}
	if err := errors.Join(f.Withdraw(two), f.Withdraw(two)); err != nil {
		t.Error(err)
	}
	if o, err := f.Waiting(); err != nil || o != nil {
		t.Errorf("after Withdraw the order is %+v, %v", o, err)
	}
}

// TestNextComes gives an order at the moment when the one before ends, is cleaned away or withdrawn. It is not lost.
func TestNextComes(t *testing.T) {
	f := Open(t.TempDir(), t.TempDir())
	for i := range 200 {
		first, next := orderOf(fmt.Sprint("first", i), "web:2@amd64"), orderOf(fmt.Sprint("next", i), "web:3@amd64")
		if err := f.Give(first); err != nil {
			t.Fatal(err)
		}
		over := make(chan error)
		go func() {
			if i%2 == 0 {
				over <- f.Withdraw(first.Spec.ID)
			} else {
				over <- f.End(Result{Job: first.Spec.ID, State: Switched})
			}
		}()
		for r := f.Result(); i%2 == 1 && (r == nil || r.Job != first.Spec.ID); r = f.Result() {
			runtime.Gosched()
		}
		if err := errors.Join(f.Give(next), f.Clean(), <-over); err != nil {
			t.Fatal(err)
		}
		if o, err := f.Waiting(); err != nil || o == nil || o.Spec.ID != next.Spec.ID {
			t.Fatalf("turn %d: the order is %+v, %v, want %s", i, o, err, next.Spec.ID)
		}
	}
}

// An order whose result cannot be written, or that cannot be read for once, stays.
func TestDiskFails(t *testing.T) {
	dir := t.TempDir()
	if err := Open(dir, t.TempDir()).Give(orderOf(one, "web:2@amd64")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		disk durable.Disk
		do   func(f Files) error
	}{
		"a full disk": {durable.Disk{Before: func(*durable.Op) error { return unix.ENOSPC }},
			func(f Files) error { return f.End(Result{Job: one, State: Switched}) }},
		"a read that fails": {durable.Disk{Reading: func(path string) error {
			if filepath.Base(path) == orderFile {
				return unix.EIO
			}
			return nil
		}}, func(f Files) error { return f.Withdraw(one) }},
	} {
		err := c.do(OpenOn(c.disk, dir, t.TempDir()))
		if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v", name, err)
		}
		if o, err := Open(dir, t.TempDir()).Waiting(); err != nil || o == nil || o.Spec.ID != one {
			t.Errorf("%s: the order is %+v, %v", name, o, err)
		}
	}
}

// Files with rubbish count as missing, except an order: the unit has to remove it.
func TestRubbish(t *testing.T) {
	f := Open(t.TempDir(), t.TempDir())
	for _, text := range []string{"", "\x00\x00", "{", "[]", `{"spec":7}`, "{}", strings.Repeat(" ", maxFile+1)} {
		for _, name := range []string{orderFile, resultFile, reportedFile} {
			if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if o, err := f.Waiting(); o != nil || !errors.Is(err, ErrDamaged) {
			t.Errorf("%.10q: Waiting() = %+v, %v", text, o, err)
		}
		if r := f.Reported(); r != (Reported{}) {
			t.Errorf("%.10q: Reported() = %+v", text, r)
		}
		if err := f.End(Result{Job: one, State: Failed}); err != nil {
			t.Errorf("%.10q: End = %v", text, err)
		}
		if o, err := f.Waiting(); o != nil || err != nil {
			t.Errorf("%.10q: after End: %+v, %v", text, o, err)
		}
	}
}

// machine is one that is updated in a test: what happens to it beside the files.
type machine struct {
	root, candidate string
	boots           int
	history         []history.Event
	switches        int
	heard           *job.JobReport
}

// turn is one check-in of the service, what the unit does, and the restart that follows from it.
func (m *machine) turn(f Files, spec job.Spec) error {
	s := Situation{Root: m.root, Boot: fmt.Sprint(m.boots), History: m.history, Progress: f.Progress(),
		Result: f.Result(), Reported: f.Reported()}
	var err error
	if s.Waiting, err = f.Waiting(); err != nil {
		return err
	}
	if r := s.Job(); r != nil {
		m.heard = r
	}
	var out job.CheckedIn
	if m.heard == nil || m.heard.Phase != job.PhaseSwitch {
		out.Job = &spec
	}
	if err := f.Report(s.Heard()); err != nil {
		return err
	}
	if s.Next(out) == Take {
		if err := f.Give(Order{Spec: spec}); err != nil {
			return err
		}
	}
	o, err := f.Waiting()
	if err != nil {
		return err
	}
	if o == nil {
		return f.Clean()
	}
	r := Result{Job: spec.ID, Root: "web-2", State: Current, Phase: job.PhaseSwitch, Boot: fmt.Sprint(m.boots)}
	if m.root != r.Root {
		r.State, m.candidate = Switched, r.Root
		m.switches++
	}
	if err := f.End(r); err != nil {
		return err
	}
	m.restart()
	return nil
}

func (m *machine) restart() {
	m.boots++
	if m.candidate != "" {
		m.root, m.candidate = m.candidate, ""
		m.history = append(m.history, history.Event{Kind: history.Blessed, Root: m.root})
	}
}

// TestPowerCut cuts the power at each file operation of an update. Whatever is left, the update ends, the server hears
// that it is done, and no order is left.
func TestPowerCut(t *testing.T) {
	spec := orderOf(one, "web:2@amd64").Spec
	for n := 0; ; n++ {
		hit := false
		for i := range 4 {
			dir := t.TempDir()
			disk, err := durabletest.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			m := &machine{root: "web-1"}
			off := errors.New("the power is off")
			tape := &durabletest.Tape{Root: dir, Fault: func(i int, _ *durable.Op) error {
				if i < n {
					return nil
				}
				hit = true
				return off
			}}
			f := OpenOn(tape.Disk(), dir, t.TempDir())
			for range 4 {
				if err = m.turn(f, spec); err != nil {
					break
				}
			}
			if hit != errors.Is(err, off) {
				t.Fatalf("operation %d failed: %v", n, err)
			}
			disk.Apply(tape.Ops()...)
			after := t.TempDir()
			if err := disk.PowerCut(after, rand.New(rand.NewPCG(uint64(n), uint64(i))), float64(i)/3); err != nil {
				t.Fatal(err)
			}
			m.restart()
			f = Open(after, t.TempDir())
			for range 6 {
				if err := m.turn(f, spec); err != nil {
					t.Fatalf("after a power cut at operation %d: %v", n, err)
				}
			}
			left, err := f.Waiting()
			_, err2 := os.Stat(filepath.Join(after, orderFile))
			if m.heard == nil || m.heard.State != job.Done || left != nil || err != nil || err2 == nil ||
				m.root != "web-2" || m.switches != 1 {
				t.Errorf("after a power cut at operation %d the server heard %+v, %s runs, switched %d times, left is "+
					"%+v, %v", n, m.heard, m.root, m.switches, left, err)
			}
		}
		if !hit {
			if n < 20 {
				t.Errorf("an update has %d operations", n)
			}
			return
		}
	}
}
