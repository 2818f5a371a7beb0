package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Kept is a disk in the cache with what it costs.
type Kept struct {
	Disk
	Bytes int64     `json:"bytes"` // that the file takes on the disk, without holes
	Last  time.Time `json:"last"`  // when it was made or used last
	InUse bool      `json:"inUse"` // a process has it by Hold
}

// Usage lists the disks in the cache, the one used last first. One that cannot be read is an error beside the others.
func (c *Cache) Usage() ([]Kept, error) {
	disks, err := c.List()
	errs := []error{err}
	var out []Kept
	for _, d := range disks {
		k := Kept{Disk: d}
		if i, err := os.Stat(filepath.Join(c.Dir, d.Key, infoName)); err == nil {
			k.Last = i.ModTime()
		}
		var st unix.Stat_t
		if err := unix.Stat(d.Path, &st); err != nil {
			errs = append(errs, fmt.Errorf("reading the cache: %s: %w", d.Path, err))
			continue
		}
		k.Bytes = st.Blocks * 512 // stat(2): of 512 bytes each, whatever the filesystem's are
		release, free := seize(d.Path)
		k.InUse = !free
		release()
		out = append(out, k)
	}
	return out, errors.Join(errs...)
}

// Shrink removes the disks that were used longest ago until the others take at most most bytes. Those that are named by
// digest or key stay, and so do those in use: held by Hold, being made or being looked up. It returns what it removed.
func (c *Cache) Shrink(ctx context.Context, most int64, named ...string) ([]Kept, error) {
	disks, err := c.Usage()
	errs := []error{err}
	var sum int64
	for _, d := range disks {
		sum += d.Bytes
	}
	var removed []Kept
	for _, d := range slices.Backward(disks) {
		if sum <= most {
			break
		}
		if slices.Contains(named, d.Digest) || slices.Contains(named, d.Key) {
			continue
		}
		switch gone, err := c.remove(ctx, d.Key); {
		case err != nil:
			errs = append(errs, err)
		case gone:
			removed, sum = append(removed, d), sum-d.Bytes
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("shrinking the cache of disks: %w", err)
	}
	return removed, nil
}

// Hold keeps a disk that Make or Find returned from being removed, by other processes too, until release is called or
// the process ends: it has a shared lock on the file (flock(2)). An fs.ErrNotExist says that the disk was removed
// before: make it again.
func (c *Cache) Hold(d Disk) (release func(), err error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH)
	for errors.Is(err, unix.EINTR) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_SH)
	}
	if err == nil {
		// Who removes it has the lock alone, and renames first: then the name leads elsewhere now.
		var has, is os.FileInfo
		if has, err = f.Stat(); err == nil {
			if is, err = os.Stat(d.Path); err == nil && !os.SameFile(has, is) {
				err = fs.ErrNotExist
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("holding %s: %w", d.Path, err)
	}
	return func() { f.Close() }, nil
}

// held are the locks that a Cache has by Keep.
type held struct {
	mu  sync.Mutex
	all []func()
}

func (c *Cache) hold(d Disk) error {
	release, err := c.Hold(d)
	if err == nil {
		c.held.mu.Lock()
		defer c.held.mu.Unlock()
		c.held.all = append(c.held.all, release)
	}
	return err
}

// Close lets go of the disks that Keep keeps. The Cache can be used again.
func (c *Cache) Close() {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	for _, release := range c.held.all {
		release()
	}
	c.held.all = nil
}

// seize takes the lock of a disk's file alone; free is false where someone holds it. A file that is not there is free.
func seize(path string) (release func(), free bool) {
	f, err := os.Open(path)
	if err != nil {
		return func() {}, true
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return func() {}, false
	}
	return func() { f.Close() }, true
}
