package durable_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"griddle/imagestore/durable"
	"griddle/imagestore/durable/durabletest"
)

func TestReplaceAndCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var d durable.Disk
	left := filepath.Join(filepath.Dir(path), ".durable-left")
	for _, text := range []string{"one", "two", "two"} {
		if err := os.WriteFile(left, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		past := time.Now().Add(-25 * time.Hour)
		if err := os.Chtimes(left, past, past); err != nil {
			t.Fatal(err)
		}
		if err := d.Replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("after Replace(%q) the file has %q, %v", text, b, err)
		}
		if i, err := os.Stat(path); err != nil || i.Mode() != 0o640 {
			t.Errorf("its mode is %v, %v, want 0640", i.Mode(), err)
		}
	}
	if err := d.Create(path, []byte("three"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a file that is there = %v, want fs.ErrExist", err)
	}
	if err := d.Create(path+"2", []byte("three"), 0o600); err != nil {
		t.Error(err)
	}
	// The second Replace removed what was left by a process that died; the third wrote nothing.
	if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 2 {
		t.Errorf("the directory has %v, %v, want two files", all, err)
	}
}

// TestWholeFiles has every operation of Create, Replace and MkdirAll fail, and cuts power then.
func TestWholeFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(d durable.Disk, dir string) error
		file string
		old  string
	}{
		{"create", func(d durable.Disk, dir string) error {
			return d.Create(filepath.Join(dir, "f"), []byte("new"), 0o600)
		}, "f", ""},
		{"replace", func(d durable.Disk, dir string) error {
			return d.Replace(filepath.Join(dir, "old"), []byte("new"), 0o600)
		}, "old", "old"},
		{"below", func(d durable.Disk, dir string) error {
			if err := d.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
				return err
			}
			return d.Create(filepath.Join(dir, "a", "b", "f"), []byte("new"), 0o600)
		}, "a/b/f", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(what, dir string, reported bool) {
				t.Helper()
				b, err := os.ReadFile(filepath.Join(dir, c.file))
				switch got := string(b); {
				case err != nil && !errors.Is(err, fs.ErrNotExist):
					t.Errorf("%s: %v", what, err)
				case got != c.old && got != "new" || reported && got != "new":
					t.Errorf("%s: it has %q; reported: %v", what, got, reported)
				}
			}
			for n, hit := 0, true; hit; n++ {
				hit = false
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				disk, err := durabletest.Load(dir)
				if err != nil {
					t.Fatal(err)
				}
				tape := &durabletest.Tape{Root: dir, Fault: func(i int, o *durable.Op) error {
					if i != n {
						return nil
					}
					hit = true
					o.Data = o.Data[:len(o.Data)/2]
					return syscall.ENOSPC
				}}
				err = c.do(tape.Disk(), dir)
				if hit && !errors.Is(err, syscall.ENOSPC) || !hit && err != nil {
					t.Errorf("with operation %d failing: %v", n, err)
				}
				check(fmt.Sprintf("operation %d failed", n), dir, err == nil)
				disk.Apply(tape.Ops()...)
				for i := range 5 {
					after := t.TempDir()
					if err := disk.PowerCut(after, rand.New(rand.NewPCG(uint64(n), uint64(i))),
						float64(i)/4); err != nil {
						t.Fatal(err)
					}
					check(fmt.Sprintf("operation %d failed, power cut %d", n, i), after, err == nil)
				}
			}
		})
	}
}
