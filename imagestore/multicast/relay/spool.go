package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/receiver"
)

// Spool is an encoding that a relay fetches once, in order, and keeps for itself and its neighbours. It is a file
// without a name, which is gone when it is closed.
type Spool struct {
	encoding blob.Digest
	size     int64
	layout   multicast.Layout
	hashes   multicast.Hashes
	digest   blob.Digest // of the hashes
	file     *os.File

	mu    sync.Mutex
	wake  chan struct{} // closed and replaced when done grows
	done  int64         // verified bytes from 0 on
	ended error
}

// NewSpool makes a spool in a directory with room for the encoding of s, and gets the hashes of its blocks from
// sources.
func NewSpool(ctx context.Context, dir string, s multicast.Session, sources []blob.Reader) (*Spool, error) {
	if err := s.Layout.Validate(); err != nil {
		return nil, err
	}
	if s.Size < 1 || s.Size > multicast.MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", multicast.ErrSession, s.Size)
	}
	sp := &Spool{encoding: s.Encoding, size: s.Size, layout: s.Layout, digest: s.Hashes, wake: make(chan struct{})}
	var err error
	if sp.hashes, err = multicast.FetchHashes(ctx, sources, s); err != nil {
		return nil, fmt.Errorf("relaying %s: %w", s.Encoding, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil, fmt.Errorf("relaying %s: finding out the free space of %s: %w", s.Encoding, dir, err)
	}
	if room := int64(st.Bavail) * st.Bsize; room < s.Size+s.Size/16 {
		return nil, fmt.Errorf("relaying %s: it has %d bytes, and %s has room for %d; use a directory with more room",
			s.Encoding, s.Size, dir, room)
	}
	if sp.file, err = os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600); err != nil {
		return nil, fmt.Errorf("relaying %s: %w", s.Encoding, err)
	}
	return sp, nil
}

// errClosed is what readers get once the spool is closed.
var errClosed = errors.New("the relay's copy was closed")

// Close deletes the file, and ends all readers.
func (s *Spool) Close() error {
	s.end(errClosed)
	return s.file.Close()
}

// Verified is how many bytes from 0 on came and match their hashes.
func (s *Spool) Verified() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

func (s *Spool) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = err
		close(s.wake)
		s.wake = make(chan struct{})
	}
}

func (s *Spool) grow(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done += n
	close(s.wake)
	s.wake = make(chan struct{})
}

// Fill fetches the missing bytes from sources, as receiver.Download.Fill does. It must not be called twice at once.
// tell and retry are those of receiver.Options, and may be nil.
func (s *Spool) Fill(
	ctx context.Context, sources []blob.Reader, tell func(receiver.Progress), retry func(err error, attempt int),
) error {
	d, err := receiver.New(receiver.Options{
		Encoding: s.encoding, Size: s.size, HTTP: sources, Layout: s.layout, Hashes: s.hashes,
		First:  int(s.Verified() / s.layout.Block()),
		Memory: 4 * s.layout.Block(), Tell: tell, Retry: retry,
	})
	if err != nil {
		return fmt.Errorf("relaying %s: %w", s.encoding, err)
	}
	defer d.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := d.Fill(ctx, nil)
		d.End(err)
		return err
	})
	g.Go(func() error {
		b := make([]byte, s.layout.Block())
		for s.Verified() < s.size {
			b = b[:min(s.layout.Block(), s.size-s.Verified())]
			_, err := io.ReadFull(d, b)
			if err == nil {
				_, err = s.file.WriteAt(b, s.Verified())
			}
			if err != nil {
				return fmt.Errorf("relaying %s: %w", s.encoding, err)
			}
			s.grow(int64(len(b)))
		}
		return nil
	})
	if err = g.Wait(); err != nil {
		s.end(err)
	}
	return err
}

// await waits for the byte at off, and returns how many bytes from there on can be read.
func (s *Spool) await(ctx context.Context, off int64) (int64, error) {
	for {
		s.mu.Lock()
		done, ended, wake := s.done, s.ended, s.wake
		s.mu.Unlock()
		switch {
		case off >= s.size:
			return 0, io.EOF
		case done > off:
			return done - off, nil
		case ended != nil:
			return 0, ended
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-wake:
		}
	}
}

// Reader reads the encoding from its beginning, while it is fetched. There may be any number of readers.
func (s *Spool) Reader(ctx context.Context) io.ReadSeeker { return &follower{s: s, ctx: ctx} }

// follower reads what came, and waits for the rest.
type follower struct {
	s   *Spool
	ctx context.Context
	at  int64
}

func (f *follower) Read(p []byte) (int, error) {
	n, err := f.s.await(f.ctx, f.at)
	if err != nil {
		return 0, err
	}
	k, err := f.s.file.ReadAt(p[:min(int64(len(p)), n)], f.at)
	f.at += int64(k)
	if k > 0 {
		err = nil
	}
	return k, err
}

func (f *follower) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.at
	case io.SeekEnd:
		off += f.s.size
	}
	if off < 0 {
		return 0, errors.New("seeking before the beginning")
	}
	f.at = off
	return off, nil
}
