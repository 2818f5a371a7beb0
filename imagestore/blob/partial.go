package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/durable"
)

// partialAge is how long a partial file that nobody touched is kept for somebody to go on with.
const partialAge = 7 * 24 * time.Hour

// Partial is a blob that comes in parts, over more than one run of a program: DIR/partial/HEX, locked while it is
// open. Its bytes are not verified, also those written before a crash: to continue it, read and verify it first.
type Partial struct {
	*durable.File
	lock *os.File // the same file; committing closes the other one
	at   int64    // where reading and writing go on
	dir  *Dir
	d    Digest
}

// Read implements io.Reader, from the beginning.
func (p *Partial) Read(b []byte) (int, error) {
	n, err := p.ReadAt(b, p.at)
	p.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Write implements io.Writer, from where the last Read or Cut ended.
func (p *Partial) Write(b []byte) (int, error) {
	n, err := p.WriteAt(b, p.at)
	p.at += int64(n)
	return n, err
}

// Cut keeps the first n bytes; the next Write continues there.
func (p *Partial) Cut(n int64) error {
	p.at = n
	return p.Truncate(n)
}

// Close closes the file, which stays for the next time.
func (p *Partial) Close() error { return errors.Join(p.File.Close(), p.lock.Close()) }

// Partial opens the part of d, or an empty file. It waits, until ctx ends, for another process that has it open; if
// that one finished the blob, the result is empty and the blob exists.
func (s *Dir) Partial(ctx context.Context, d Digest) (*Partial, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.path, "partial")
	if err := s.disk.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("opening part of blob %s: %w", d, err)
	}
	path := filepath.Join(dir, d.Hex())
	for {
		p, err := s.openPartial(ctx, path, d)
		if err != nil {
			return nil, fmt.Errorf("opening part of blob %s: %w", d, err)
		}
		if p != nil {
			return p, nil
		}
	}
}

// openPartial opens and locks the file, or gives nil where it was finished, or thrown away, while this waited.
func (s *Dir) openPartial(ctx context.Context, path string, d Digest) (*Partial, error) {
	f, err := s.disk.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p := &Partial{File: f, lock: lock, dir: s, d: d}
	locked, err := lockPart(ctx, lock)
	if err == nil && locked {
		mine, merr := f.Stat()
		named, nerr := lock.Stat()
		if err = errors.Join(merr, nerr); err == nil && os.SameFile(mine, named) {
			return p, nil
		}
	}
	return nil, errors.Join(err, p.Close())
}

// lockPart locks f, and says whether it still has its name.
func lockPart(ctx context.Context, f *os.File) (bool, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return false, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false, fmt.Errorf("another process fetches it: %w", ctx.Err())
		}
	}
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, named), err
}

// Commit makes the file the blob, durably and in the order that Dir.Put keeps; got is the digest of what was written.
func (p *Partial) Commit(got Digest) error {
	if got != p.d {
		return errors.Join(fmt.Errorf("putting blob %s: %w: got %s", p.d, ErrMismatch, got), p.Discard())
	}
	// The lock is held until the file has its other name: whoever got it before would take the blob for a part.
	err := p.dir.commit(p.File, p.d)
	if err := errors.Join(err, p.lock.Close()); err != nil {
		return fmt.Errorf("putting blob %s: %w", p.d, err)
	}
	return nil
}

// Discard removes the file.
func (p *Partial) Discard() error {
	err := p.dir.disk.Remove(p.Name())
	return errors.Join(err, p.Close())
}

// clearPartials removes parts that nobody went on with.
func (s *Dir) clearPartials() {
	dir := filepath.Join(s.path, "partial")
	parts, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range parts {
		i, err := e.Info()
		if err != nil || time.Since(i.ModTime()) < partialAge {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			s.disk.Remove(f.Name())
		}
		f.Close()
	}
}
