package blob

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPartial(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := Sum([]byte("whole"))
	p, err := s.Partial(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("who")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Partial(ctx, d); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second one while the first is open: %v", err)
	}
	waiting := make(chan *Partial)
	go func() {
		p, err := s.Partial(t.Context(), d)
		if err != nil {
			t.Error(err)
		}
		waiting <- p
	}()
	if _, err := p.Write([]byte("le")); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(d); err != nil {
		t.Fatal(err)
	}
	// Who waited has an empty file, and not the blob.
	other := <-waiting
	if st, err := other.Stat(); err != nil || st.Size() != 0 {
		t.Errorf("who waited got %v, %v", st, err)
	}
	if err := other.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadAll(t.Context(), s, d, 100); err != nil || string(b) != "whole" {
		t.Errorf("the blob is %q, %v", b, err)
	}
	if _, err := other.Write([]byte("wrong")); err != nil {
		t.Fatal(err)
	}
	if err := other.Commit(Sum([]byte("wrong"))); !errors.Is(err, ErrMismatch) {
		t.Errorf("committing what is wrong: %v", err)
	}
	if _, err := s.Partial(t.Context(), "sha256:../../x"); err == nil {
		t.Error("a path was taken for a digest")
	}
	// What nobody went on with is removed, unless somebody has it open.
	for _, open := range []bool{true, false} {
		p, err := s.Partial(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if !open {
			p.Close()
		}
		past := time.Now().Add(-2 * partialAge)
		if err := os.Chtimes(p.Name(), past, past); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDir(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "partial", d.Hex())); (err == nil) != open {
			t.Errorf("open %v: %v", open, err)
		}
		p.Close()
	}
}
