package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// partialAge is how long a partial file that nobody touched is kept for somebody to go on with.
const partialAge = 7 * 24 * time.Hour

// Partial is a blob that comes in parts, over more than one run of a program: DIR/partial/HEX, locked while it is open. What
// it holds is unchecked, also what was written before a crash: whoever goes on with it reads and verifies it first.
type Partial struct {
	*os.File
	dir *Dir
	d   Digest
}

// Partial opens what there is of d, or an empty file. It waits, until ctx ends, for another process that has it open; where
// that one finished the blob, what is returned is empty and the blob is there.
func (s *Dir) Partial(ctx context.Context, d Digest) (*Partial, error) {
	if _, err := ParseDigest(string(d)); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.path, "partial")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("opening part of blob %s: %w", d, err)
	}
	for {
		f, err := os.OpenFile(filepath.Join(dir, d.Hex()), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening part of blob %s: %w", d, err)
		}
		locked, err := lockPart(ctx, f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("opening part of blob %s: %w", d, err)
		}
		if locked {
			return &Partial{f, s, d}, nil
		}
		f.Close() // the file was finished, or thrown away, while this waited
	}
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
	// The lock is held until the file has its other name: committing closes what it is given, and whoever got the lock
	// before the rename would take the blob for a part.
	f, err := p.dir.disk.OpenFile(p.Name(), os.O_RDWR, 0)
	if err == nil {
		err = p.dir.commit(f, p.d)
	}
	if err := errors.Join(err, p.Close()); err != nil {
		return fmt.Errorf("putting blob %s: %w", p.d, err)
	}
	return nil
}

// Discard removes the file.
func (p *Partial) Discard() error {
	err := os.Remove(p.Name())
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
			os.Remove(f.Name())
		}
		f.Close()
	}
}
