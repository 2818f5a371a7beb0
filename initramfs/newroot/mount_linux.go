package newroot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"griddle/initramfs/subvolume"

	"golang.org/x/sys/unix"
)

// quiet are the flags of all mounts here: nothing of an image runs or counts as a device.
const quiet = unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC

// mountVolumes mounts on the root what the system will mount there.
func (m *making) mountVolumes() error {
	for folder, volume := range map[string]string{"home": "@home", "persistent": "@persistent"} {
		if folder == "home" && m.ownHome() {
			continue
		}
		if err := mountVolume(m.Node, volume, m.Root, folder); err != nil {
			return err
		}
		m.undo = append(m.undo, func() error { return unmount(filepath.Join(m.dir, folder)) })
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
