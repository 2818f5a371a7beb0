package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"griddle/imagestore/durable"
)

// usedLately is for how long a kernel is taken for one that a build may be reading.
const usedLately = 24 * time.Hour

// Shrink removes kernels that Unpack left in dir, but for the keep that were used last and those that were used within
// a day: a build may read them. It returns the directories that are gone.
func Shrink(ctx context.Context, dir string, keep int) ([]string, error) {
	var d durable.Disk
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unlock, err := d.Lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("shrinking the cache of kernels: %w", err)
	}
	defer unlock()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("shrinking the cache of kernels: %w", err)
	}
	used := make(map[string]time.Time)
	var all []string
	for _, e := range entries {
		if i, err := e.Info(); err == nil && e.IsDir() && len(e.Name()) == 64 {
			used[e.Name()] = i.ModTime()
			all = append(all, e.Name())
		}
	}
	slices.SortFunc(all, func(a, b string) int { return used[b].Compare(used[a]) })
	var gone []string
	for i, name := range all {
		if i < keep || time.Since(used[name]) < usedLately {
			continue
		}
		aside := filepath.Join(dir, ".unpacking") // which the next Unpack empties, where this is killed
		if err := errors.Join(os.RemoveAll(aside), os.Rename(filepath.Join(dir, name), aside),
			os.RemoveAll(aside)); err != nil {
			return gone, fmt.Errorf("shrinking the cache of kernels: %w", err)
		}
		gone = append(gone, filepath.Join(dir, name))
	}
	return gone, nil
}
