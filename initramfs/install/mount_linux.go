package install

import (
	"errors"
	"fmt"

	"griddle/initramfs/subvolume"

	"golang.org/x/sys/unix"
)

// quiet are the flags of all mounts here: nothing of an image runs or counts as a device.
const quiet = unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC

func mountPool(dir, node string, others ...string) error {
	// The top of the filesystem, where the subvolumes are, whatever its default is.
	options := "subvolid=5"
	for _, o := range others {
		options += ",device=" + o
	}
	if err := unix.Mount(node, dir, "btrfs", quiet, options); err != nil {
		return fmt.Errorf("mounting pool %s: %w", node, err)
	}
	return nil
}

// mountShared mounts what roots share that are partitions.
func mountShared(node, dir string) error { return mountOwn("ext4", node, dir) }

// mountOwn mounts a root that is a partition.
func mountOwn(kind, node, dir string) error {
	if err := unix.Mount(node, dir, kind, quiet, ""); err != nil {
		return fmt.Errorf("mounting %s %s: %w", kind, node, err)
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
	if err := subvolume.Sync(dir); err != nil {
		return err
	}
	if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmounting %s: %w", dir,
			errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)))
	}
	return nil
}
