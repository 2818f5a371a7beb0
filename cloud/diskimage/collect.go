package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/cloud/diskimage/program"
)

// Collect removes disks from the cache, except for the keep ones that were used last and those that are named by digest
// or key, and what builds that were killed have left. A disk that is being made or looked up at the moment, or that
// Hold holds, stays; one that is open can be read to its end. It returns what it removed.
func (c *Cache) Collect(ctx context.Context, keep int, named ...string) ([]Disk, error) {
	disks, err := c.List()
	errs := []error{err}
	var removed []Disk
	for i, d := range disks {
		if i < keep || slices.Contains(named, d.Digest) || slices.Contains(named, d.Key) {
			continue
		}
		switch gone, err := c.remove(ctx, d.Key); {
		case err != nil:
			errs = append(errs, err)
		case gone:
			removed = append(removed, d)
		}
	}
	left, err := filepath.Glob(filepath.Join(c.Dir, ".build-*"))
	errs = append(errs, err)
	p := program.Runner{Mapped: os.Geteuid() != 0}
	for _, dir := range left {
		if unlock, ok := c.tryLock(strings.TrimPrefix(filepath.Base(dir), ".build-")); ok {
			errs = append(errs, p.RemoveTree(ctx, dir))
			unlock()
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("collecting disks: %w", err)
	}
	return removed, nil
}

// remove takes the directory out of the way by one rename, so that it is never half of a disk.
func (c *Cache) remove(ctx context.Context, key string) (bool, error) {
	unlock, ok := c.tryLock(key)
	if !ok {
		return false, nil
	}
	defer unlock()
	if d, err := c.find(key); err == nil {
		release, free := seize(d.Path)
		if !free {
			return false, nil
		}
		defer release()
	}
	aside := filepath.Join(c.Dir, ".build-"+key)
	if err := os.RemoveAll(aside); err != nil {
		return false, err
	}
	if err := os.Rename(filepath.Join(c.Dir, key), aside); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	return true, os.RemoveAll(aside)
}

// tryLock takes the lock of a key unless somebody has it.
func (c *Cache) tryLock(key string) (unlock func(), ok bool) {
	if len(key) < 2 {
		return nil, false
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	unlock, err := c.lock(over, key)
	return unlock, err == nil
}
