package subvolume

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Option is an option of a mount: its name and its value, "" for one that has none.
type Option [2]string

// Device names another device of the filesystem.
func Device(node string) Option { return Option{"device", node} }

// Degraded mounts a filesystem although some of its devices are missing. What is written meanwhile is on the others
// only.
var Degraded = Option{"degraded"}

// readOnlyMount is the option of a filesystem that nothing can be written to.
var readOnlyMount = Option{"ro"}

// Mounted is a filesystem that only this program has mounted, at no place in the tree of folders.
type Mounted struct{ f *os.File }

// Top mounts the top of the btrfs filesystem on a device, where its subvolumes are, whatever its default is.
func Top(node string, options ...Option) (*Mounted, error) {
	return mount("btrfs", node, append(options, Option{"subvolid", "5"})...)
}

// ReadTop is Top, and changes nothing on the device: it mounts read-only, and does not replay the log that a crash may
// have left. It fails while the filesystem is mounted for writing.
func ReadTop(node string, options ...Option) (*Mounted, error) {
	return mount("btrfs", node, append(options, Option{"subvolid", "5"}, Option{"rescue", "nologreplay"},
		readOnlyMount)...)
}

// ReadFAT is FAT, and changes nothing on the device.
func ReadFAT(node string) (*Mounted, error) {
	return mount("vfat", node, Option{"umask", "0077"}, readOnlyMount)
}

// FAT mounts a FAT filesystem that only root may read.
func FAT(node string) (*Mounted, error) {
	return mount("vfat", node, Option{"umask", "0077"})
}

// ReadOther is Other for an ext4 or xfs, and changes nothing on the device: it mounts read-only, and does not replay
// the log that a crash may have left. It fails while the filesystem is mounted for writing.
func ReadOther(kind, node string) (*Mounted, error) {
	noLog := Option{"noload"}
	if kind == "xfs" {
		noLog[0] = "norecovery"
	}
	return mount(kind, node, noLog, readOnlyMount)
}

// Other mounts a filesystem of another kind, such as "ext4".
func Other(kind, node string) (*Mounted, error) { return mount(kind, node) }

// At mounts a subvolume, by its path from the top of the filesystem on a device, at a folder, with its programs. The
// folder is not followed if it is a symlink.
func At(node, name, dir string) (unmount func() error, err error) {
	return attach("btrfs", node, name, dir, Option{"subvol", "/" + name})
}

// OtherAt is At for a filesystem of another kind, and the top of it.
func OtherAt(kind, node, dir string) (unmount func() error, err error) {
	return attach(kind, node, kind, dir)
}

func attach(kind, node, name, dir string, options ...Option) (unmount func() error, err error) {
	at, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mounting %s of %s: opening %s: %w", name, node, dir, err)
	}
	defer unix.Close(at)
	f, err := openMount(kind, node, unix.MOUNT_ATTR_NOATIME, options...)
	if err != nil {
		return nil, err
	}
	err = unix.MoveMount(int(f.Fd()), "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("mounting %s of %s at %s: %w", name, node, dir, err)
	}
	return func() error {
		if err := errors.Join(Sync(dir), unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)); err != nil {
			return fmt.Errorf("unmounting %s: %w", dir, errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)))
		}
		return nil
	}, nil
}

func mount(kind, node string, options ...Option) (*Mounted, error) {
	f, err := openMount(kind, node, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC|
		unix.MOUNT_ATTR_NOATIME, options...)
	if err != nil {
		return nil, err
	}
	return &Mounted{f}, nil
}

// openMount makes a mount that is at no place.
func openMount(kind, node string, attributes int, options ...Option) (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		return nil, fmt.Errorf("mounting %s of %s: %w", kind, node, err)
	}
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(fs)
	err = unix.FsconfigSetString(fs, "source", node)
	for _, o := range options {
		if o[1] == "" { // it has no value
			err = errors.Join(err, unix.FsconfigSetFlag(fs, o[0]))
			continue
		}
		err = errors.Join(err, unix.FsconfigSetString(fs, o[0], o[1]))
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err != nil {
		return fail(err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return fail(err)
	}
	return os.NewFile(uintptr(fd), kind+" of "+node), nil
}

// Dir is a path of the top of the filesystem, for this process and those that it starts.
func (m *Mounted) Dir() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), m.f.Fd()) }

// Close unmounts durably.
func (m *Mounted) Close() error {
	err := Sync(m.Dir()) // the descriptor of a mount is not one of a folder, by which to sync
	return errors.Join(err, m.f.Close())
}
