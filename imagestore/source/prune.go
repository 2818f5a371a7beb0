package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// Prune removes the kept copy at dir with the given identity, after its last image was deleted. It leaves a copy
// alone that has another identity by now, is held, or is being published, and says whether nothing of the copy is
// left. If the whole directory of the copies is missing, its disk may not be mounted, and gone is false.
func Prune(ctx context.Context, dir string, uuid sendstream.UUID, ctransid uint64) (gone bool, err error) {
	if filepath.Base(filepath.Dir(dir)) != keepName {
		return true, nil // not a place for copies
	}
	if !exists(filepath.Dir(dir)) || os.Geteuid() != 0 {
		return false, nil // its disk may be mounted again; and only root removes subvolumes
	}
	if !exists(dir) {
		return true, nil
	}
	unlock, err := lockDir(filepath.Dir(dir))
	if err != nil {
		return false, fmt.Errorf("removing the copy %s: %w", dir, err)
	}
	defer unlock()
	i, err := infoOf(dir)
	if errors.Is(err, ErrUnsuitable) || err == nil && (i.uuid != uuid || i.ctransid != ctransid || !i.readOnly) {
		return true, nil
	}
	if exists(dir + publishing) {
		return false, nil
	}
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, fmt.Errorf("removing the copy %s: %w", dir, err)
	}
	defer f.Close()
	if flockSoon(f, unix.LOCK_EX) != nil {
		return false, nil // a delta is being made from it
	}
	if err := run(ctx, "subvolume", "delete", dir); err != nil {
		return false, fmt.Errorf("removing the copy %s: %w", dir, err)
	}
	return true, nil
}
