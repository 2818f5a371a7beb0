// Package blobtest is the suite that every blob.Store passes.
//
// Call Run from the store's own test, with a function that makes an empty store.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"griddle/imagestore/blob"
)

// Run tests the stores that open makes. Each call of open must give a store without any blob.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, blob.Store)
	}{
		{"put and read", putAndRead},
		{"ranges", ranges},
		{"absent", absent},
		{"mismatch", mismatch},
		{"broken reader", brokenReader},
		{"put twice", putTwice},
		{"list and delete", listAndDelete},
		{"bad digest", badDigest},
		{"many at once", manyAtOnce},
		{"cancelled", cancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// data is n bytes that look random and are the same in every run.
func data(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func put(t *testing.T, s blob.Store, b []byte) blob.Digest {
	t.Helper()
	d, n, err := s.Put(t.Context(), bytes.NewReader(b), "")
	if err != nil {
		t.Fatal(err)
	}
	if d != blob.Sum(b) || n != int64(len(b)) {
		t.Fatalf("Put of %d bytes = %s, %d, want %s", len(b), d, n, blob.Sum(b))
	}
	return d
}

func putAndRead(t *testing.T, s blob.Store) {
	for _, n := range []int{0, 1, 4095, 1 << 20, 3<<20 + 17} {
		b := data(n)
		d := put(t, s, b)
		got, err := blob.ReadAll(t.Context(), s, d, int64(n))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("ReadAll of %d bytes = %d bytes, %v", n, len(got), err)
		}
		if size, err := s.Stat(t.Context(), d); err != nil || size != int64(n) {
			t.Errorf("Stat of %d bytes = %d, %v", n, size, err)
		}
		if n > 0 {
			if _, err := blob.ReadAll(t.Context(), s, d, int64(n)-1); err == nil {
				t.Errorf("ReadAll with a limit below %d bytes gave no error", n)
			}
		}
		if _, _, err := s.Put(t.Context(), bytes.NewReader(b), d); err != nil {
			t.Errorf("Put with the right digest: %v", err)
		}
	}
}

func ranges(t *testing.T, s blob.Store) {
	b := data(100_000)
	d := put(t, s, b)
	for _, c := range []struct{ off, n, want int64 }{
		{0, -1, 100_000}, {0, 0, 0}, {0, 10, 10}, {99_999, 1, 1}, {99_999, -1, 1}, {50_000, 1000, 1000},
		{50_000, -1, 50_000}, {99_990, 1000, 10}, {100_000, -1, 0}, {100_000, 5, 0}, {5, 0, 0},
	} {
		rc, err := s.Open(t.Context(), d, c.off, c.n)
		if err != nil {
			t.Errorf("Open(%d, %d): %v", c.off, c.n, err)
			continue
		}
		got, err := io.ReadAll(rc)
		rc.Close()
		if err != nil || !bytes.Equal(got, b[c.off:c.off+c.want]) {
			t.Errorf("Open(%d, %d) = %d bytes, %v, want %d", c.off, c.n, len(got), err, c.want)
		}
	}
	for _, off := range []int64{100_001, -1, 1 << 40} {
		if _, err := s.Open(t.Context(), d, off, -1); !errors.Is(err, blob.ErrRange) {
			t.Errorf("Open at %d of 100000 = %v, want %v", off, err, blob.ErrRange)
		}
	}
}

func absent(t *testing.T, s blob.Store) {
	d := blob.Sum([]byte("nowhere"))
	if _, err := s.Open(t.Context(), d, 0, -1); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Open = %v, want %v", err, blob.ErrNotExist)
	}
	if _, err := s.Open(t.Context(), d, 7, 3); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Open of a range = %v, want %v", err, blob.ErrNotExist)
	}
	if _, err := s.Stat(t.Context(), d); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Stat = %v, want %v", err, blob.ErrNotExist)
	}
	if err := s.Delete(t.Context(), d); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Delete = %v, want %v", err, blob.ErrNotExist)
	}
}

func list(t *testing.T, s blob.Store) (out []blob.Digest) {
	t.Helper()
	if err := s.List(t.Context(), func(i blob.Info) error { out = append(out, i.Digest); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func mismatch(t *testing.T, s blob.Store) {
	right, wrong := data(1000), data(1001)
	if _, _, err := s.Put(t.Context(), bytes.NewReader(wrong), blob.Sum(right)); !errors.Is(err, blob.ErrMismatch) {
		t.Errorf("Put of other bytes = %v, want %v", err, blob.ErrMismatch)
	}
	if got := list(t, s); len(got) != 0 {
		t.Errorf("a refused Put left %v", got)
	}
}

func brokenReader(t *testing.T, s blob.Store) {
	b := data(300_000)
	broken := errors.New("the source was interrupted")
	for _, want := range []blob.Digest{"", blob.Sum(b)} {
		r := io.MultiReader(bytes.NewReader(b[:200_000]), iotest.ErrReader(broken))
		if _, _, err := s.Put(t.Context(), r, want); !errors.Is(err, broken) {
			t.Errorf("Put = %v, want %v", err, broken)
		}
	}
	if got := list(t, s); len(got) != 0 {
		t.Errorf("an interrupted Put left %v", got)
	}
}

func putTwice(t *testing.T, s blob.Store) {
	b := data(5000)
	d := put(t, s, b)
	put(t, s, b)
	if got := list(t, s); len(got) != 1 || got[0] != d {
		t.Errorf("List after two Puts = %v, want %v", got, d)
	}
}

func listAndDelete(t *testing.T, s blob.Store) {
	var want []blob.Digest
	for n := range 30 {
		want = append(want, put(t, s, data(n)))
	}
	slices.Sort(want)
	if got := list(t, s); !slices.Equal(got, want) {
		t.Errorf("List = %v, want %v", got, want)
	}
	stop := errors.New("enough")
	n := 0
	if err := s.List(t.Context(), func(blob.Info) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("List with a failing function = %v after %d calls, want %v after 1", err, n, stop)
	}
	if err := s.Delete(t.Context(), want[3]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), want[3]); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Stat after Delete = %v, want %v", err, blob.ErrNotExist)
	}
	if got := list(t, s); len(got) != 29 || slices.Contains(got, want[3]) {
		t.Errorf("List after Delete = %d blobs, want 29", len(got))
	}
}

func badDigest(t *testing.T, s blob.Store) {
	for _, d := range []blob.Digest{"sha256:", "x", "../../etc/passwd",
		blob.Digest("sha256:" + strings.Repeat("A", 64)),
		blob.Digest("sha256:../" + strings.Repeat("a", 61))} {
		if _, err := s.Open(t.Context(), d, 0, -1); err == nil {
			t.Errorf("Open(%q) gave no error", d)
		}
		if _, err := s.Stat(t.Context(), d); err == nil {
			t.Errorf("Stat(%q) gave no error", d)
		}
		if err := s.Delete(t.Context(), d); err == nil {
			t.Errorf("Delete(%q) gave no error", d)
		}
		if _, _, err := s.Put(t.Context(), strings.NewReader("x"), d); err == nil {
			t.Errorf("Put(%q) gave no error", d)
		}
	}
}

func manyAtOnce(t *testing.T, s blob.Store) {
	errs := make(chan error)
	const writers = 8
	for w := range writers {
		go func() {
			errs <- func() error {
				for n := range 10 {
					b := data(10_000 + n*w%3) // several writers put the same blob
					d, _, err := s.Put(context.Background(), bytes.NewReader(b), "")
					if err != nil {
						return err
					}
					got, err := blob.ReadAll(context.Background(), s, d, 1<<20)
					if err != nil || !bytes.Equal(got, b) {
						return fmt.Errorf("read back %d bytes, %v", len(got), err)
					}
				}
				return nil
			}()
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func cancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(data(100_000)), readerFunc(func([]byte) (int, error) {
		cancel()
		return 1, nil
	}))
	if _, _, err := s.Put(ctx, r, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with a cancelled context = %v, want %v", err, context.Canceled)
	}
	if got := list(t, s); len(got) != 0 {
		t.Errorf("a cancelled Put left %v", got)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
