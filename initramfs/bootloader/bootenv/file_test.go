package bootenv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
)

func TestRead(t *testing.T) {
	one, two := Env{Good: "one"}, Env{Good: "two"}
	file := func(e Env) []byte {
		b, err := e.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		copies [2][]byte
		want   Env
		err    error
	}{
		"both":             {[2][]byte{file(one), file(two)}, one, nil},
		"first missing":    {[2][]byte{nil, file(two)}, two, nil},
		"first zeros":      {[2][]byte{make([]byte, Size), file(two)}, two, nil},
		"first empty":      {[2][]byte{{}, file(two)}, two, nil},
		"first very large": {[2][]byte{make([]byte, 1<<20), file(two)}, two, nil},
		"second missing":   {[2][]byte{file(one), nil}, one, nil},
		"both missing":     {[2][]byte{nil, nil}, Env{}, ErrDamaged},
		"both damaged":     {[2][]byte{{}, text()}, Env{}, ErrDamaged},
	} {
		esp := t.TempDir()
		if err := os.Mkdir(filepath.Join(esp, Folder), 0o755); err != nil {
			t.Fatal(err)
		}
		for i, b := range c.copies {
			if b == nil {
				continue
			}
			if err := os.WriteFile(filepath.Join(esp, Folder, Names[i]), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := Read(esp); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: Read = %+v, %v, want %+v, %v", name, got, err, c.want, c.err)
		}
		// Whatever was there, Write makes both copies.
		want := Env{Good: "three", Candidate: "four", Tries: 3}
		if err := Write(esp, want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range Names {
			b, err := os.ReadFile(filepath.Join(esp, Folder, Names[i]))
			if e, bad := Parse(b); err != nil || bad != nil || e != want {
				t.Errorf("%s: %s is %+v, %v, %v", name, Names[i], e, bad, err)
			}
		}
	}
}

// What is not a file is not followed, and does not keep the reader waiting.
func TestReadOfOtherThings(t *testing.T) {
	esp := t.TempDir()
	dir := filepath.Join(esp, Folder)
	if err := errors.Join(os.Mkdir(dir, 0o755), syscall.Mkfifo(filepath.Join(dir, Names[0]), 0o600),
		os.Symlink("/dev/zero", filepath.Join(dir, Names[1]))); err != nil {
		t.Fatal(err)
	}
	if e, err := Read(esp); err == nil {
		t.Errorf("Read = %+v", e)
	}
	if err := Write(esp, Env{Good: "one"}); err != nil {
		t.Error(err)
	}
	if e, err := Read(esp); err != nil || e.Good != "one" {
		t.Errorf("Read = %+v, %v", e, err)
	}
}

// A switch goes to the sectors that the files have.
func TestWriteKeepsThePlace(t *testing.T) {
	esp := t.TempDir()
	inodes := func() (out [2]uint64) {
		for i, name := range Names {
			st, err := os.Stat(filepath.Join(esp, Folder, name))
			if err != nil {
				t.Fatal(err)
			}
			out[i] = st.Sys().(*syscall.Stat_t).Ino
		}
		return out
	}
	if err := Write(esp, Env{Good: "one"}); err != nil {
		t.Fatal(err)
	}
	before := inodes()
	tape := &durabletest.Tape{Root: esp}
	if err := write(tape.Disk(), esp, Env{Good: "one", Candidate: "two", Tries: 1}); err != nil {
		t.Fatal(err)
	}
	if inodes() != before {
		t.Error("the files are other ones")
	}
	want := "fsyncdir .\nwrite griddle/grubenv2\nfsync griddle/grubenv2\n" +
		"write griddle/grubenv\nfsync griddle/grubenv\n"
	if got := durabletest.Text(tape.Ops()); got != want {
		t.Errorf("Write did\n%swant\n%s", got, want)
	}
}

// Whatever was on the partition before, a power cut at any operation leaves the old state or the new one, and so does
// an operation that fails.
func TestWriteIsCut(t *testing.T) {
	old, new := Env{Good: "one"}, Env{Good: "one", Candidate: "two", Tries: 1}
	const cuts = 10 // at each operation
	r := rand.New(rand.NewPCG(1, 2))
	for name, prepare := range map[string]func(dir string) error{
		"both whole":      func(string) error { return nil },
		"second missing":  func(dir string) error { return os.Remove(filepath.Join(dir, Names[1])) },
		"first missing":   func(dir string) error { return os.Remove(filepath.Join(dir, Names[0])) },
		"second too long": func(dir string) error { return os.Truncate(filepath.Join(dir, Names[1]), 4096) },
		"first empty":     func(dir string) error { return os.Truncate(filepath.Join(dir, Names[0]), 0) },
		"with others": func(dir string) error {
			b, err := old.block("saved_entry=kernels\n")
			return errors.Join(err, os.WriteFile(filepath.Join(dir, Names[0]), b, 0o644))
		},
	} {
		start := t.TempDir()
		if err := Write(start, old); err != nil {
			t.Fatal(err)
		}
		if err := prepare(filepath.Join(start, Folder)); err != nil {
			t.Fatal(err)
		}
		whole := durabletest.Copy(t, start)
		tape := &durabletest.Tape{Root: whole}
		if err := write(tape.Disk(), whole, new); err != nil {
			t.Fatal(err)
		}
		seen := map[Env]int{}
		for n := range len(tape.Ops()) + 1 {
			for i := range cuts {
				disk, err := durabletest.Load(start)
				if err != nil {
					t.Fatal(err)
				}
				disk.Apply(tape.Ops()[:n]...)
				left := t.TempDir()
				if err := disk.PowerCut(left, r, float64(i)/(cuts-1)); err != nil {
					t.Fatal(err)
				}
				e, err := Read(left)
				if err != nil || e != old && e != new {
					t.Fatalf("%s: after a cut at %d: %+v, %v", name, n, e, err)
				}
				seen[e]++
				if i != cuts/2 {
					continue
				}
				if err := Write(left, new); err != nil {
					t.Fatalf("%s: after a cut at %d: %v", name, n, err)
				}
			}
		}
		if seen[old] == 0 || seen[new] == 0 {
			t.Errorf("%s: the cuts left %v", name, seen)
		}
		for n := range tape.Len() {
			esp := durabletest.Copy(t, start)
			bad := &durabletest.Tape{Root: esp, Fault: func(i int, o *durable.Op) error {
				if i != n {
					return nil
				}
				if o.Kind == durable.Write {
					o.Data = o.Data[:sector/2]
				}
				return fmt.Errorf("operation %d: %w", n, syscall.EIO)
			}}
			if err := write(bad.Disk(), esp, new); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: failing at %d: %v", name, n, err)
			}
			if e, err := Read(esp); err != nil || e != old && e != new {
				t.Errorf("%s: after a failure at %d: %+v, %v", name, n, e, err)
			}
		}
	}
}
