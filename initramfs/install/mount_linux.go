package install

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quiet are the flags of all mounts here: nothing of an image runs or counts as a device.
const quiet = unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC

func mountPool(node, dir string) error {
	// The top of the filesystem, where the subvolumes are, whatever its default is.
	if err := unix.Mount(node, dir, "btrfs", quiet, "subvolid=5"); err != nil {
		return fmt.Errorf("mounting pool %s: %w", node, err)
	}
	return nil
}

// mountVolume mounts a subvolume of the pool on a folder of a root, wherever the names of the image may lead.
func mountVolume(node, volume string, root *os.Root, folder string) error {
	d, err := root.Open(folder)
	if err != nil {
		return fmt.Errorf("mounting %s: %w", volume, err)
	}
	defer d.Close()
	if err := unix.Mount(node, fmt.Sprintf("/proc/self/fd/%d", d.Fd()), "btrfs", quiet, "subvol=/"+volume); err != nil {
		return fmt.Errorf("mounting %s on /%s: %w", volume, folder, err)
	}
	return nil
}

func mountVFAT(node, dir string) (func() error, error) {
	if err := unix.Mount(node, dir, "vfat", quiet, "umask=0077"); err != nil {
		return nil, fmt.Errorf("mounting EFI system partition %s: %w", node, err)
	}
	return func() error { return unmount(dir) }, nil
}

// unmount is durable: the filesystem is synced before it is taken off.
func unmount(dir string) error {
	if err := syncfs(dir); err != nil {
		return err
	}
	if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmounting %s: %w", dir,
			errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)))
	}
	return nil
}

func syncfs(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

// volArgs is struct btrfs_ioctl_vol_args_v2 (kernel include/uapi/linux/btrfs.h).
type volArgs struct {
	fd      int64
	transid uint64
	flags   uint64
	_       [4]uint64
	name    [4040]byte
}

// volArgsV1 is struct btrfs_ioctl_vol_args.
type volArgsV1 struct {
	fd   int64
	name [4088]byte
}

const (
	subvolCreate  = 0x50009418 // BTRFS_IOC_SUBVOL_CREATE_V2
	snapCreate    = 0x50009417 // BTRFS_IOC_SNAP_CREATE_V2
	subvolDestroy = 0x5000940f // BTRFS_IOC_SNAP_DESTROY
)

func createSubvolume(dir, name string) error {
	var a volArgs
	copy(a.name[:len(a.name)-1], name)
	if err := onDir(dir, subvolCreate, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("making subvolume %s/%s: %w", dir, name, err)
	}
	return nil
}

// snapshot makes a writable snapshot of the subvolume at source.
func snapshot(source, dir, name string) error {
	s, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("making snapshot %s/%s: %w", dir, name, err)
	}
	defer s.Close()
	a := volArgs{fd: int64(s.Fd())}
	copy(a.name[:len(a.name)-1], name)
	if err := onDir(dir, snapCreate, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("making snapshot %s/%s: %w", dir, name, err)
	}
	return nil
}

func deleteSubvolume(dir, name string) error {
	var a volArgsV1
	copy(a.name[:len(a.name)-1], name)
	if err := onDir(dir, subvolDestroy, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("deleting subvolume %s/%s: %w", dir, name, err)
	}
	return nil
}

func onDir(dir string, request uintptr, arg unsafe.Pointer) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
