package divide

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"griddle/initramfs/subvolume"

	"golang.org/x/sys/unix"
)

// checkBtrfs proves that a btrfs is whole and has no other device.
func checkBtrfs(ctx context.Context, node string) error {
	if _, err := oneDevice(node); err != nil {
		return err
	}
	return program(ctx, "btrfs", "check", "--readonly", node)
}

func oneDevice(node string) (super, error) {
	s, err := superOf(node, "btrfs")
	if err == nil && s.btrfs.devices != 1 {
		err = fmt.Errorf("it has %d devices, and only a btrfs with one is shrunk; remove the others from it first",
			s.btrfs.devices)
	}
	return s, err
}

// shrinkBtrfs lets the kernel shrink a btrfs, which no one else sees mounted. The kernel writes its new size in one
// transaction, after it has moved the data: a cut leaves it whole, in either size.
func (r *run) shrinkBtrfs(ctx context.Context, i int, node string) error {
	s := r.plan.Steps[i]
	now, err := oneDevice(node)
	if err != nil {
		return err
	}
	if !r.past[i].begun {
		if err := r.record(ctx, Entry{Step: i + 1, State: Begun}); err != nil {
			return err
		}
	}
	if now.size > s.Size {
		r.say(i, "moving data", 0)
		if err := resizeBtrfs(node, now.btrfs.device, s.Size); err != nil {
			return err
		}
	}
	f, err := r.open(ctx, node, 10*time.Minute) // the kernel ends the mount in its own time
	if err != nil {
		return err
	}
	err = errors.Join(f.Sync(), f.Close())
	if err == nil {
		now, err = oneDevice(node)
	}
	if err == nil && now.size > s.Size {
		err = fmt.Errorf("the kernel says that it succeeded, and the filesystem has %d bytes", now.size)
	}
	return err
}

// resizeArgs is struct btrfs_ioctl_vol_args of the kernel's include/uapi/linux/btrfs.h.
type resizeArgs struct {
	_    int64
	name [4088]byte
}

// iocResize is BTRFS_IOC_RESIZE, _IOW(0x94, 3, struct btrfs_ioctl_vol_args).
const iocResize = 1<<30 | unsafe.Sizeof(resizeArgs{})<<16 | 0x94<<8 | 3

func resizeBtrfs(node string, device uint64, to int64) (err error) {
	m, err := subvolume.Top(node)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	dir, err := os.Open(m.Dir())
	if err != nil {
		return err
	}
	defer dir.Close()
	var args resizeArgs
	copy(args.name[:], fmt.Sprintf("%d:%d", device, to))
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), iocResize, uintptr(unsafe.Pointer(&args)))
	if errno == unix.ENOSPC {
		return errors.New("its data does not fit into that size: choose a larger size, or delete files; it is whole, and " +
			"as large as before")
	}
	if errno != 0 {
		return fmt.Errorf("shrinking the btrfs on %s: %w", node, errno)
	}
	return nil
}
