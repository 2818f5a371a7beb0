package resize

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
	out, code, err := ask(ctx, "btrfs", "check", "--readonly", node)
	if err == nil && code != 0 {
		err = fmt.Errorf("btrfs check finds it damaged (%s); start its system, and look at it with `btrfs scrub`",
			brief(out))
	}
	return err
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
func (o Options) shrinkBtrfs(ctx context.Context) error {
	s, err := oneDevice(o.Node)
	if err != nil {
		return err
	}
	if o.Begun == nil {
		if err := o.Record(ctx, Begun{}); err != nil {
			return err
		}
	}
	if s.size > o.To {
		o.say("moving data")
		if err := resizeBtrfs(o.Node, s.btrfs.device, o.To); err != nil {
			return err
		}
	}
	// The kernel ends the mount in its own time.
	if err := free(context.WithoutCancel(ctx), o.Node, 10*time.Minute); err != nil {
		return err
	}
	f, err := os.OpenFile(o.Node, os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
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
		return errors.New("its data does not fit into that size: choose a larger size, or delete files; it is whole, " +
			"and as large as before")
	}
	if errno != 0 {
		return fmt.Errorf("shrinking the btrfs on %s: %w", node, errno)
	}
	return nil
}
