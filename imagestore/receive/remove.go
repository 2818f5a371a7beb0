package receive

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Remove removes a tree that Receive made, subvolume or directory, with all that is in it. No link is followed, the last
// part of path included.
func Remove(path string) error {
	dir, err := unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("removing tree: %w", &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err})
	}
	defer unix.Close(dir)
	if err := removeTree(dir, filepath.Base(path)); err != nil {
		return fmt.Errorf("removing tree %s: %w", path, err)
	}
	return nil
}

// IsSubvolume says whether path is the root of a btrfs subvolume.
func IsSubvolume(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	is, err := isSubvolume(fd)
	return err == nil && is
}
