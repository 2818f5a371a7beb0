package receiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"griddle/imagestore/multicast"

	"golang.org/x/sys/unix"
)

// buffer keeps verified blocks until the reader comes to them: in memory while there is room, the rest in a spool
// file. Its methods may be called from any number of goroutines.
type buffer struct {
	layout multicast.Layout
	size   int64
	blocks int
	window int // blocks that memory has room for

	mu     sync.Mutex
	wake   *sync.Cond
	have   []uint64 // a bit for each block that came, taken by the reader or not
	left   int      // blocks that did not come
	next   int      // the block that the reader wants
	memory map[int][]byte
	spool  *os.File     // nil where there is none
	full   bool         // it takes no more
	onDisk map[int]bool // blocks in the spool
	ended  error        // why no more come
	closed bool
	spills sync.WaitGroup
}

func newBuffer(l multicast.Layout, size, memory int64) *buffer {
	s := &buffer{layout: l, size: size, blocks: l.Blocks(size), window: int(max(4, memory/l.Block())),
		memory: map[int][]byte{}, onDisk: map[int]bool{}}
	s.left = s.blocks
	s.have = make([]uint64, (s.blocks+63)/64)
	s.wake = sync.NewCond(&s.mu)
	return s
}

// skip counts the first n blocks as read.
func (s *buffer) skip(n int) {
	s.next = min(max(n, 0), s.blocks)
	for i := range s.next {
		s.have[i/64] |= 1 << (i % 64)
	}
	s.left -= s.next
}

func (s *buffer) has(i int) bool { return s.have[i/64]>>(i%64)&1 != 0 }

// useSpool makes a spool, a file without a name in the directory dir, for what memory cannot hold.
func (s *buffer) useSpool(dir string) error {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		return fmt.Errorf("making a spool in %s: %w", dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spool != nil || s.closed {
		return f.Close()
	}
	s.spool = f
	s.spills.Add(1)
	go s.spill()
	return nil
}

// wants says whether put would keep block i now.
func (s *buffer) wants(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wantsLocked(i)
}

func (s *buffer) wantsLocked(i int) bool {
	if i < 0 || i >= s.blocks || s.has(i) || s.closed {
		return false
	}
	// The block that the reader waits for always has room. A full spool leaves blocks in memory that are far ahead;
	// without a spool, no block ahead of the window is kept.
	return i == s.next || len(s.memory) < s.window && (s.spool != nil && !s.full || i < s.next+s.window)
}

// put keeps a verified block, and says whether it did.
func (s *buffer) put(i int, b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.wantsLocked(i) {
		return false
	}
	s.have[i/64] |= 1 << (i % 64)
	s.left--
	s.memory[i] = b
	s.wake.Broadcast()
	return true
}

// spill writes blocks to the spool while more than half of the window is in memory, the furthest first.
func (s *buffer) spill() {
	defer s.spills.Done()
	for {
		s.mu.Lock()
		for len(s.memory) <= s.window/2 && !s.closed {
			s.wake.Wait()
		}
		if s.closed {
			s.mu.Unlock()
			return
		}
		far, f := -1, s.spool
		for i := range s.memory {
			far = max(far, i)
		}
		b := s.memory[far]
		s.mu.Unlock()
		_, err := f.WriteAt(b, int64(far)*s.layout.Block())
		s.mu.Lock()
		if err != nil {
			// Full, or broken: memory has to do from here on.
			s.full = true
			s.wake.Broadcast()
			s.mu.Unlock()
			return
		}
		if _, ok := s.memory[far]; ok && far != s.next {
			s.onDisk[far] = true
			delete(s.memory, far)
		}
		s.wake.Broadcast()
		s.mu.Unlock()
	}
}

// end says that no more blocks come, and why.
func (s *buffer) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = err
	}
	s.wake.Broadcast()
}

// missing is how many blocks did not come, and the block that the reader wants.
func (s *buffer) missing() (left, next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left, s.next
}

// firstMissing is the first block from i on that is missing, that want says is wanted (nil wants all), and that has
// room; or -1. want may call the buffer's methods.
func (s *buffer) firstMissing(i int, want func(int) bool) int {
	for ; ; i++ {
		s.mu.Lock()
		for i < s.blocks && s.has(i) {
			i++
		}
		ok := i < s.blocks && s.wantsLocked(i)
		s.mu.Unlock()
		if !ok {
			return -1
		}
		if want == nil || want(i) {
			return i
		}
	}
}

var errClosed = errors.New("the download was closed")

// read waits for the reader's next block and returns it; nil after the last one.
func (s *buffer) read() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil, errClosed
		}
		i := s.next
		if i >= s.blocks {
			return nil, nil
		}
		if b := s.memory[i]; b != nil {
			delete(s.memory, i)
			s.next++
			s.wake.Broadcast()
			return b, nil
		}
		if s.onDisk[i] {
			f := s.spool
			b := make([]byte, s.layout.BlockSize(s.size, i))
			s.mu.Unlock()
			_, err := f.ReadAt(b, int64(i)*s.layout.Block())
			if err == nil {
				punch(f, int64(i)*s.layout.Block(), int64(len(b)))
			}
			s.mu.Lock()
			if err != nil {
				return nil, fmt.Errorf("reading the spool: %w", err)
			}
			delete(s.onDisk, i)
			s.next++
			s.wake.Broadcast()
			return b, nil
		}
		if s.ended != nil {
			return nil, s.ended
		}
		s.wake.Wait()
	}
}

// punch frees the room of what was read; a filesystem that cannot do so keeps it until the end. SyscallConn holds the
// descriptor meanwhile: after close its number may be another file's.
func punch(f *os.File, off, n int64) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) {
		_ = unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
}

// waitForRoom waits until the first block that is missing would be kept, or none is missing.
func (s *buffer) waitForRoom(ctx context.Context) error {
	return s.wait(ctx, func() bool {
		if s.left == 0 {
			return true
		}
		i := s.next
		for s.has(i) {
			i++
		}
		return s.wantsLocked(i)
	})
}

// waitFor waits until block i would be kept, or is there.
func (s *buffer) waitFor(ctx context.Context, i int) error {
	return s.wait(ctx, func() bool { return s.has(i) || s.wantsLocked(i) })
}

func (s *buffer) wait(ctx context.Context, until func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wake.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && ctx.Err() == nil && !until() {
		s.wake.Wait()
	}
	if s.closed {
		return errClosed
	}
	return ctx.Err()
}

// missingRun is how many blocks from i on are missing in a row. With want it counts only blocks that are wanted and
// have room.
func (s *buffer) missingRun(i int, want func(int) bool) (n int) {
	for ; i+n < s.blocks; n++ {
		s.mu.Lock()
		ok := !s.has(i+n) && (want == nil || s.wantsLocked(i+n))
		s.mu.Unlock()
		if !ok || want != nil && !want(i+n) {
			break
		}
	}
	return n
}

// close frees everything, and ends all waits.
func (s *buffer) close() {
	s.mu.Lock()
	s.closed = true
	s.wake.Broadcast()
	f := s.spool
	s.mu.Unlock()
	s.spills.Wait()
	if f != nil {
		f.Close()
	}
	s.mu.Lock()
	s.memory = nil
	s.mu.Unlock()
}
