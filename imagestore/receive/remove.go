package receive

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

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
