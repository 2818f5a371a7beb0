package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"griddle/initramfs/sysroot"

	"golang.org/x/sys/unix"
)

// Empty deletes all that is in the filesystem whose top is at dir. Files that people made immutable (chattr(1), +i and
// +a) go too. No symlink is followed.
func Empty(dir string) error {
	err := empty(dir)
	if errors.Is(err, fs.ErrPermission) {
		if err = release(dir); err == nil {
			err = empty(dir)
		}
	}
	if err != nil {
		return fmt.Errorf("emptying a root: %w", err)
	}
	return nil
}

func empty(dir string) error {
	top, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer top.Close()
	entries, err := sysroot.Dir{Root: top}.List(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := top.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// keeps are the flags that keep the kernel from deleting: FS_IMMUTABLE_FL and FS_APPEND_FL of <linux/fs.h>.
const keeps = 0x10 | 0x20

// release takes the flags away that keep what is in a filesystem from being deleted. Only folders and files have them.
func release(dir string) error {
	return filepath.WalkDir(dir+"/.", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() && !e.Type().IsRegular() {
			return err
		}
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: name, Err: err}
		}
		defer unix.Close(fd)
		flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
		if err == nil && flags&keeps != 0 {
			err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^keeps))
		}
		if err != nil {
			return &os.PathError{Op: "ioctl", Path: name, Err: err}
		}
		return nil
	})
}
