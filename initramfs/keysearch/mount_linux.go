package keysearch

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mount mounts a pool so that nothing is written to its disk, and says where its @persistent is. A pool without it
// wraps fs.ErrNotExist.
func mount(node, at, options string) (persistent string, unmount func() error, err error) {
	persistent = at
	const flags = unix.MS_RDONLY | unix.MS_NOATIME | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC |
		unix.MS_NOSYMFOLLOW
	err = unix.Mount(node, at, "btrfs", flags, "rescue=nologreplay,subvol=/@persistent"+options)
	if errors.Is(err, unix.EINVAL) { // it is not a btrfs
		persistent = filepath.Join(at, "@persistent")
		err = unix.Mount(node, at, "ext4", flags, "noload")
	}
	if errors.Is(err, unix.ENOENT) {
		return "", nil, fmt.Errorf("it has no @persistent: %w", fs.ErrNotExist)
	}
	if err != nil {
		return "", nil, fmt.Errorf("mounting it read-only: %w", err)
	}
	return persistent, func() error {
		if err := unix.Unmount(at, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmounting it: %w", errors.Join(err, unix.Unmount(at, unix.MNT_DETACH)))
		}
		return nil
	}, nil
}
