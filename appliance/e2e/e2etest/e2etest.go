// Package e2etest is what the tests of package e2e's rooms have in common: opening a room, asking an installed system
// who it is, and comparing screens. Start with Open.
package e2etest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/job"
)

// Open makes a room for the test, from what `make build boot` left at the top of the repository. Its logs are
// kept where the test fails.
func Open(t *testing.T) *e2e.Room {
	t.Helper()
	top := Top(t)
	o := e2e.Options{Binary: filepath.Join(top, "bin/griddle"), BootDir: filepath.Join(top, "build/boot"),
		Log: &testLog{t: t, begun: time.Now()}}
	for _, needed := range []string{o.Binary, filepath.Join(o.BootDir, "vmlinuz")} {
		if _, err := os.Stat(needed); err != nil {
			t.Fatalf("%v; run make build boot", err)
		}
	}
	r, err := e2e.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("closing the room: %v", err)
		}
		if t.Failed() {
			t.Logf("logs, disks and store are kept in %s", r.Dir)
		} else if err := r.Remove(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Passes says in the log that t passed, as soon as it has, so that a suite that is interrupted later does not run it
// again. Call it before all else.
func Passes(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			t.Logf("passed: %s", t.Name())
		}
	})
}

// Top is the repository's top directory.
func Top(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the test runs outside of the repository")
		}
		dir = filepath.Dir(dir)
	}
}

// testLog writes the room's lines into the test's log, with the time since its begin.
type testLog struct {
	t     *testing.T
	begun time.Time
}

func (l *testLog) Write(p []byte) (int, error) {
	l.t.Logf("%6.1fs %s", time.Since(l.begun).Seconds(), strings.TrimSpace(string(p)))
	return len(p), nil
}

// OtherDisk makes a disk that is full of data that no install may change; check fails the test if one did.
func OtherDisk(t *testing.T, r *e2e.Room, name string) (d e2e.Disk, check func()) {
	t.Helper()
	const size = 64 << 20
	file, err := r.MakeDisk(name, size)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := []byte(strings.Repeat("someone's only copy of their thesis\n", 1<<20/36+1))[:1<<20]
	for range size / len(block) {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	before := Hash(t, file)
	return e2e.Disk{File: file, Serial: name}, func() {
		t.Helper()
		if after := Hash(t, file); after != before {
			t.Errorf("disk %s, which is not the install's disk, was changed", name)
		}
	}
}

// Hash is the SHA-256 of a file, in hex.
func Hash(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// CheckJournal fails the test where the journal of m does not have every phase of an install, in order, and its states.
func CheckJournal(t *testing.T, s *e2e.Site, m *e2e.Machine) {
	t.Helper()
	all, err := s.Journal(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	var phases []job.Phase
	var states []job.State
	var seq uint64
	for _, e := range all {
		if e.Event.Seq > 0 {
			if e.Event.Seq < seq {
				t.Errorf("event %d of %s comes after event %d", e.Event.Seq, m.Name, seq)
			}
			seq = e.Event.Seq
		}
		if p := e.Event.Phase; e.Boot != "" && p != "" && (len(phases) == 0 || phases[len(phases)-1] != p) {
			phases = append(phases, p)
		}
		if e.Event.State != "" && e.Event.Seq > 0 {
			states = append(states, e.Event.State)
		}
	}
	if got, want := fmt.Sprint(phases), fmt.Sprint(job.Phases); got != want {
		t.Errorf("the journal of %s has the phases %s, want %s", m.Name, got, want)
	}
	if got, want := fmt.Sprint(states), fmt.Sprint([]job.State{job.Started, job.Done}); got != want {
		t.Errorf("the journal of %s has the states %s, want %s", m.Name, got, want)
	}
	t.Logf("%s, phase by phase: %s", m.Name, e2e.PhaseLine(e2e.Phases(all)))
}
