package durabletest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"griddle/imagestore/durable"
)

// luck is how many power cuts follow each operation, from one that loses all that was not synced to one that loses
// nothing.
const luck = 5

// Everywhere runs a program on copies of the folder start, and calls check with the folders that it leaves if it is
// stopped: by a power cut before its first operation and after each one, several times; and by an EIO of each, which
// writes half of its data first. An EIO has to come back from do. at says in words where it was stopped.
//
// whole is what do leaves on a disk that does not fail. before, if not nil, is called with it first.
func Everywhere(t testing.TB, start string, do func(d durable.Disk, dir string) error, before func(whole string),
	check func(at, dir string)) {
	t.Helper()
	whole := Copy(t, start)
	tape := &Tape{Root: whole}
	if err := do(tape.Disk(), whole); err != nil {
		t.Fatal(err)
	}
	if before != nil {
		before(whole)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range len(tape.Ops()) + 1 {
		for i := range luck {
			disk, err := Load(start)
			if err != nil {
				t.Fatal(err)
			}
			disk.Apply(tape.Ops()[:n]...)
			left := t.TempDir()
			if err := disk.PowerCut(left, r, float64(i)/(luck-1)); err != nil {
				t.Fatal(err)
			}
			check(fmt.Sprintf("cut at %d", n), left)
		}
	}
	for n := range tape.Len() {
		dir := Copy(t, start)
		bad := &Tape{Root: dir, Fault: func(i int, o *durable.Op) error {
			if i != n {
				return nil
			}
			o.Data = o.Data[:len(o.Data)/2]
			return syscall.EIO
		}}
		if err := do(bad.Disk(), dir); !errors.Is(err, syscall.EIO) {
			t.Fatalf("failing at %d: %v", n, err)
		}
		check(fmt.Sprintf("failing at %d", n), dir)
	}
}

// Copy is a copy of a folder, with the times of its files.
func Copy(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	err := os.CopyFS(to, os.DirFS(dir))
	if err == nil {
		err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			st, err := e.Info()
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(dir, path)
			return errors.Join(err, os.Chtimes(filepath.Join(to, rel), st.ModTime(), st.ModTime()))
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}
