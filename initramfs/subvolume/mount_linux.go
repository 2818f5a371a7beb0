package subvolume

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mounted is a filesystem that only this program has mounted, at no place in the tree of folders.
type Mounted struct{ f *os.File }

// Top mounts the top of the btrfs filesystem on a device, where its subvolumes are, whatever its default is.
func Top(node string) (*Mounted, error) {
	return mount("btrfs", node, [2]string{"subvolid", "5"})
}

// FAT mounts a FAT filesystem that only root may read.
func FAT(node string) (*Mounted, error) {
	return mount("vfat", node, [2]string{"umask", "0077"})
}

func mount(kind, node string, options ...[2]string) (*Mounted, error) {
	fail := func(err error) (*Mounted, error) {
		return nil, fmt.Errorf("mounting %s of %s: %w", kind, node, err)
	}
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(fs)
	err = unix.FsconfigSetString(fs, "source", node)
	for _, o := range options {
		err = errors.Join(err, unix.FsconfigSetString(fs, o[0], o[1]))
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err != nil {
		return fail(err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID|
		unix.MOUNT_ATTR_NOEXEC|unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return fail(err)
	}
	return &Mounted{os.NewFile(uintptr(fd), kind+" of "+node)}, nil
}

// Dir is a path of the top of the filesystem, for this process and those that it starts.
func (m *Mounted) Dir() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), m.f.Fd()) }

// Close unmounts durably.
func (m *Mounted) Close() error {
	err := unix.Syncfs(int(m.f.Fd()))
	if err != nil {
		err = fmt.Errorf("syncing %s: %w", m.f.Name(), err)
	}
	return errors.Join(err, m.f.Close())
}
