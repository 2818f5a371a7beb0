package newroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griddle/initramfs/mounts"
	"griddle/initramfs/pool/carry/tree"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/sysroot"

	"golang.org/x/sys/unix"
)

// quiet are the flags of all mounts here: nothing of an image runs or counts as a device.
const quiet = unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC

// mountVolumes mounts on the root what the system will mount there.
func (m *making) mountVolumes(ctx context.Context) error {
	if err := m.mountOwn(ctx); err != nil {
		return err
	}
	for folder, volume := range map[string]string{"home": "@home", "persistent": "@persistent"} {
		if m.Own != nil || m.isBeside("/"+folder) || folder == "home" && m.ownHome() {
			continue
		}
		if err := mountVolume(m.Node, volume, m.Root, folder); err != nil {
			return err
		}
		m.undo = append(m.undo, func() error { return unmount(filepath.Join(m.dir, folder)) })
	}
	// What is mounted below another filesystem comes after that.
	for _, b := range slices.SortedFunc(slices.Values(m.beside), func(a, b mounts.Mount) int {
		return strings.Compare(a.Path, b.Path)
	}) {
		if b.Path == "" {
			continue
		}
		if err := m.mountBeside(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// mountBeside mounts a filesystem beside the pool. One for /home gets what the image has there.
func (m *making) mountBeside(ctx context.Context, b mounts.Mount) error {
	folder := b.Path[1:]
	node, err := b.Node(ctx)
	if err != nil {
		return err
	}
	if b.Path == mounts.Home {
		if err := m.moveHome(ctx, b.Filesystem, node); err != nil {
			return fmt.Errorf("moving /home to its own filesystem: %w", err)
		}
	}
	if err := mountOn(node, b.Filesystem, "", m.Root, folder); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", node, b.Path, err)
	}
	m.undo = append(m.undo, func() error { return unmount(filepath.Join(m.dir, folder)) })
	return nil
}

// moveHome copies to a filesystem for /home what the root has there and it has not, and takes it out of the root. It
// does so before the filesystem is mounted there, which would lie over what is copied.
func (m *making) moveHome(ctx context.Context, kind, node string) (err error) {
	top, err := subvolume.Other(kind, node)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, top.Close()) }()
	home, err := os.OpenRoot(top.Dir())
	if err != nil {
		return err
	}
	defer home.Close()
	return m.moveHomeTo(ctx, home)
}

// moveHomeTo is moveHome, for a filesystem or a folder that is open.
func (m *making) moveHomeTo(ctx context.Context, home *os.Root) error {
	under, err := m.OpenRoot("home")
	if err != nil {
		return err
	}
	defer under.Close()
	entries, err := sysroot.Dir{Root: under}.List(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := home.Lstat(e.Name()); errors.Is(err, fs.ErrNotExist) {
			if err := copyHome(ctx, under, home, e.Name()); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		if err := under.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// copyHome copies a folder of /home. It is made in another folder, and renamed when it is whole: what has its name is
// never made again, since people may have worked in it.
func copyHome(ctx context.Context, under, home *os.Root, name string) error {
	const aside = ".griddle-home"
	if err := errors.Join(home.RemoveAll(aside), home.Mkdir(aside, 0o700)); err != nil {
		return err
	}
	dir, err := home.OpenRoot(aside)
	if err != nil {
		return err
	}
	defer dir.Close()
	if _, err := tree.Carry(ctx, tree.Roots{Old: under, New: dir}, name, tree.Options{}); err != nil {
		return err
	}
	top, err := home.Open(".")
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(top.Fd())) // a whole copy has the name, also after a power cut
	if err := errors.Join(err, top.Close()); err != nil {
		return err
	}
	return errors.Join(home.Rename(aside+"/"+name, name), home.Remove(aside))
}

// mountVolume mounts a subvolume of the pool on a folder of a root.
func mountVolume(node, volume string, root *os.Root, folder string) error {
	if err := mountOn(node, "btrfs", "subvol=/"+volume, root, folder); err != nil {
		return fmt.Errorf("mounting %s on /%s: %w", volume, folder, err)
	}
	return nil
}

// mountOn mounts a device on a folder of a root, wherever the names of the image may lead.
func mountOn(node, kind, options string, root *os.Root, folder string) error {
	d, err := root.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Mount(node, fmt.Sprintf("/proc/self/fd/%d", d.Fd()), kind, quiet, options)
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
