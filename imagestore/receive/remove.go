package receive

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Remove removes a tree that Receive made, subvolume or directory, with everything in it. It follows no link, not
// even in the last part of path.
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

// removeTree removes a subvolume or a directory with all that is in it.
func removeTree(dir int, name string) error {
	root, err := openBeneath(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	subvolume, err := isSubvolume(root)
	if err != nil {
		return err
	}
	if subvolume {
		return destroySubvolume(dir, name)
	}
	if err := removeContent(root); err != nil {
		return at("emptying", name, err)
	}
	return at("removing", name, unix.Unlinkat(dir, name, unix.AT_REMOVEDIR))
}

// removeContent empties the directory root. It never goes down: directories in directories come up to root first, so
// that two open ones are enough for a tree that a stream has made deeper than a process may open files.
func removeContent(root int) error {
	moved := 0
	up := func(dir int, name string) error {
		for {
			to := fmt.Sprintf("%s%d", quarantinePrefix, moved)
			moved++
			err := unix.Renameat2(dir, name, root, to, unix.RENAME_NOREPLACE)
			if err != unix.EEXIST {
				return err
			}
		}
	}
	for {
		names, err := readNames(root)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			err := unix.Unlinkat(root, name, 0)
			if err == unix.EISDIR {
				err = hollow(root, name, up)
			}
			if err != nil {
				return at("removing", name, err)
			}
		}
		// Where the names do not all come in one reading of a directory that changes, another one has them.
		if _, err := unix.Seek(root, 0, 0); err != nil {
			return os.NewSyscallError("lseek", err)
		}
	}
}

// hollow removes the directory name in root after its files are removed and its directories are moved up.
func hollow(root int, name string, up func(dir int, name string) error) error {
	dir, err := openBeneath(root, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	for {
		names, err := readNames(dir)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return unix.Unlinkat(root, name, unix.AT_REMOVEDIR)
		}
		for _, n := range names {
			err := unix.Unlinkat(dir, n, 0)
			if err == unix.EISDIR {
				err = up(dir, n)
			}
			if err != nil {
				return at("removing", n, err)
			}
		}
		if _, err := unix.Seek(dir, 0, 0); err != nil {
			return os.NewSyscallError("lseek", err)
		}
	}
}
