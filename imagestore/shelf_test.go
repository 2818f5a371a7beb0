package imagestore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
)

// treesOf is a store with two images of real trees, and what they are called.
func treesOf(t *testing.T) (f *fixture, one, two ref.Ref) {
	t.Helper()
	f = newFixture(t)
	f.plant(1)
	f.must(f.publishTree("1"))
	f.plant(2)
	f.must(f.publishTree("2"))
	return f, imagetest.Ref(t, "web:1@amd64"), imagetest.Ref(t, "web:2@amd64")
}

// TestShelfWaits has a tree locked for a moment by nobody who removes it, as the start of a program does.
func TestShelfWaits(t *testing.T) {
	f, one, _ := treesOf(t)
	held, err := f.s.HoldTree(t.Context(), one)
	f.must(err)
	held.Release()
	lock, err := imagestore.HoldTree(held.Dir, unix.LOCK_EX)
	f.must(err)
	done := make(chan error)
	go func() {
		tree, err := f.s.HoldTree(t.Context(), one)
		if err == nil {
			tree.Release()
		}
		done <- err
	}()
	atOnce, cancel := context.WithCancel(t.Context())
	cancel()
	for { // until the other one has come to wait
		unlock, err := held.LockShelf(atOnce)
		if errors.Is(err, context.Canceled) {
			break
		}
		f.must(err)
		unlock()
	}
	lock.Close()
	f.must(<-done)
}

// TestShelfIsCleared deletes an image whose tree is on the shelf, beside leftovers of a killed receive.
func TestShelfIsCleared(t *testing.T) {
	f, one, two := treesOf(t)
	f.s.Key = f.key
	_, err := f.s.Derive(t.Context(), imagestore.DeriveOptions{Ref: two})
	f.must(err)
	used, err := f.s.HoldTree(t.Context(), one)
	f.must(err)
	for _, name := range []string{imagestore.Unverified + "x", ".griddle-incoming-x"} {
		f.must(os.MkdirAll(filepath.Join(f.s.Dir(), "trees", name, "usr"), 0o700))
	}
	_, err = f.s.Delete(t.Context(), one)
	f.must(err)
	left := func(want int) {
		t.Helper()
		dirs, err := filepath.Glob(filepath.Join(f.s.Dir(), "trees", "*/"))
		f.must(err)
		n := 0
		for _, d := range dirs {
			if i, err := os.Stat(d); err == nil && i.IsDir() {
				n++
			}
		}
		hidden, err := filepath.Glob(filepath.Join(f.s.Dir(), "trees", ".*"))
		f.must(err)
		if n != want || len(hidden) > 0 {
			t.Errorf("on the shelf are %q and %q, want %d trees", dirs, hidden, want)
		}
	}
	left(2) // one of them is in use
	used.Release()
	_, err = f.s.Collect(t.Context())
	f.must(err)
	left(1)
}
