package receiver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"griddle/imagestore/multicast/sourcetest"
)

// piece is block i of a stock in tests.
func piece(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 256) }

func TestStockKeeps(t *testing.T) {
	const window = 4
	type step struct {
		do   string // put, take
		i    int
		want bool // kept; of take whether i is what came
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{"put", 0, true}, {"take", 0, true}, {"put", 1, true}, {"take", 1, true}}},
		{"out of order", []step{{"put", 2, true}, {"put", 1, true}, {"put", 0, true}, {"take", 0, true},
			{"take", 1, true}, {"take", 2, true}}},
		{"twice", []step{{"put", 1, true}, {"put", 1, false}, {"put", 0, true}, {"take", 0, true}, {"put", 0, false}}},
		{"beyond the window", []step{{"put", window, false}, {"put", window - 1, true}, {"put", 0, true},
			{"take", 0, true}, {"put", window, true}, {"put", window + 1, false}}},
		{"none of it", []step{{"put", -1, false}, {"put", 99, false}, {"put", 1 << 40, false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newBuffer(smallLayout, 10*512, window*512)
			defer s.close()
			for _, x := range c.steps {
				switch x.do {
				case "put":
					if got := s.put(x.i, piece(x.i)); got != x.want {
						t.Errorf("put(%d) = %v, want %v", x.i, got, x.want)
					}
				case "take":
					if b, err := s.read(); err != nil || bytes.Equal(b, piece(x.i)) != x.want {
						t.Errorf("read() = %v…, %v; want block %d", b[:2], err, x.i)
					}
				}
			}
		})
	}
}

func TestStockEnds(t *testing.T) {
	broken := errors.New("broken")
	s := newBuffer(smallLayout, 3*512, 1<<20)
	s.put(0, piece(0))
	s.end(broken)
	s.end(io.EOF) // the first reason is the reason
	if b, err := s.read(); err != nil || !bytes.Equal(b, piece(0)) {
		t.Errorf("what came before the end: %v", err)
	}
	if _, err := s.read(); !errors.Is(err, broken) {
		t.Errorf("read() = %v, want %v", err, broken)
	}
	s.close()
	if _, err := s.read(); !errors.Is(err, errClosed) {
		t.Errorf("take() of a closed one = %v", err)
	}
	if s.put(1, piece(1)) {
		t.Error("a closed one takes blocks")
	}
}

// Blocks beyond memory go to the spool and come back as they were; the spool gives its room back meanwhile.
func TestStockSpools(t *testing.T) {
	const blocks, window = 200, 6
	s := newBuffer(smallLayout, blocks*512, window*512)
	defer s.close()
	if err := s.useSpool(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for i := blocks - 1; i >= 0; i-- {
		s.mu.Lock()
		for !s.wantsLocked(i) {
			s.wake.Wait() // the spool is slower than we are
		}
		if n := len(s.memory); n > window {
			t.Errorf("%d blocks are in memory", n)
		}
		s.mu.Unlock()
		if !s.put(i, piece(i)) {
			t.Fatalf("block %d is not kept", i)
		}
	}
	for i := range blocks {
		if b, err := s.read(); err != nil || !bytes.Equal(b, piece(i)) {
			t.Fatalf("block %d: %v", i, err)
		}
	}
	if b, err := s.read(); b != nil || err != nil {
		t.Errorf("after the last: %v, %v", b, err)
	}
}

// A spool whose filesystem is full is gone on without, in no more memory than before, and every byte still comes.
func TestStockSpoolFull(t *testing.T) {
	const blocks, window = 400, 8
	s := newBuffer(smallLayout, blocks*512, window*512)
	defer s.close()
	if err := s.useSpool(sourcetest.SmallFilesystem(t, "16k")); err != nil {
		t.Fatal(err)
	}
	most := 0
	put := func(i int) bool {
		ok := s.put(i, piece(i))
		s.mu.Lock()
		defer s.mu.Unlock()
		most = max(most, len(s.memory))
		return ok
	}
	full := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.full
	}
	for i := blocks - 1; !full(); { // the live part of a session that began long ago
		if put(i) {
			i--
		}
	}
	for i := range blocks { // and then the head
		for k := i; k < min(blocks, i+2*window); k++ {
			put(k)
		}
		if b, err := s.read(); err != nil || !bytes.Equal(b, piece(i)) {
			t.Fatalf("block %d: %v", i, err)
		}
	}
	if most > window+1 {
		t.Errorf("%d blocks were in memory, of which there is room for %d", most, window)
	}
}

func TestStockSpoolNowhere(t *testing.T) {
	s := newBuffer(smallLayout, 512, 512)
	defer s.close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, "/proc", filepath.Join(t.TempDir(), "absent")} {
		if err := s.useSpool(dir); err == nil {
			t.Errorf("a spool in %s", dir)
		}
	}
}

// Whoever fills waits for room and not for the reader: what the reader took between a look and the wait must not be
// waited for again.
func TestStockRoom(t *testing.T) {
	for _, c := range []struct {
		name string
		wake func(s *buffer, cancel func()) // after it waits
		had  int                            // blocks that are there when it begins to
		take int                            // that the reader took before it begins to
		want error
	}{
		{"there is room", nil, 3, 0, nil},
		{"the reader was quicker", nil, 4, 4, nil},
		{"the reader takes one", func(s *buffer, _ func()) { s.read() }, 4, 0, nil},
		{"all is there", nil, 4, 0, nil},
		{"closed", func(s *buffer, _ func()) { s.close() }, 4, 0, errClosed},
		{"cancelled", func(_ *buffer, cancel func()) { cancel() }, 4, 0, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				size := int64(10 * 512)
				if c.name == "all is there" {
					size = 4 * 512
				}
				s := newBuffer(smallLayout, size, 4*512)
				for i := range c.had {
					s.put(i, piece(i))
				}
				for range c.take {
					s.read()
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var wg sync.WaitGroup
				var err error
				wg.Go(func() { err = s.waitForRoom(ctx) })
				if c.wake != nil {
					synctest.Wait()
					c.wake(s, cancel)
				}
				wg.Wait()
				if !errors.Is(err, c.want) {
					t.Errorf("waitForRoom() = %v, want %v", err, c.want)
				}
				s.close()
			})
		})
	}
}
