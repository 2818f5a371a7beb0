package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"unsafe"

	"griddle/imagestore/sendstream"

	"golang.org/x/sys/unix"
)

// The ioctls of include/uapi/linux/btrfs.h that are used here.
const (
	iocGetFlags      = 0x80089419 // BTRFS_IOC_SUBVOL_GETFLAGS: u64
	iocSetFlags      = 0x4008941a // BTRFS_IOC_SUBVOL_SETFLAGS: u64
	iocGetSubvolInfo = 0x81f8943c // BTRFS_IOC_GET_SUBVOL_INFO: struct btrfs_ioctl_get_subvol_info_args, 504 bytes
	flagReadOnly     = 2          // BTRFS_SUBVOL_RDONLY
	rootInode        = 256        // BTRFS_FIRST_FREE_OBJECTID: the root directory of every subvolume
	stubInode        = 2          // BTRFS_EMPTY_SUBVOL_DIR_OBJECTID: where a nested subvolume was, in a snapshot
)

// info is what the kernel says of a subvolume.
type info struct {
	uuid     sendstream.UUID // by which a stream of it names it
	ctransid uint64
	readOnly bool
}

// infoOf asks for the subvolume at dir. An ordinary directory, or one on another filesystem, is ErrUnsuitable.
func infoOf(dir string) (info, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		return info{}, err
	}
	defer f.Close()
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(int(f.Fd()), &fs), unix.Fstat(int(f.Fd()), &st)); err != nil {
		return info{}, fmt.Errorf("looking at %s: %w", dir, err)
	}
	if fs.Type != unix.BTRFS_SUPER_MAGIC {
		return info{}, fmt.Errorf("%w: %s is not on btrfs", ErrUnsuitable, dir)
	}
	if st.Ino != rootInode {
		return info{}, fmt.Errorf("%w: %s is an ordinary directory; only a subvolume can be sent", ErrUnsuitable, dir)
	}
	// treeid 8, name 256, parent_id, dirid, generation, flags 8 each; uuid at 296, parent_uuid, received_uuid at
	// 328, 16 each; ctransid at 344.
	var args [504]byte
	if err := ioctl(f, iocGetSubvolInfo, unsafe.Pointer(&args)); err != nil {
		return info{}, fmt.Errorf("asking for the subvolume %s: %w", dir, err)
	}
	var flags uint64
	if err := ioctl(f, iocGetFlags, unsafe.Pointer(&flags)); err != nil {
		return info{}, fmt.Errorf("asking for the subvolume %s: %w", dir, err)
	}
	i := info{uuid: sendstream.UUID(args[296:312]), ctransid: binary.NativeEndian.Uint64(args[344:]),
		readOnly: flags&flagReadOnly != 0}
	if received := sendstream.UUID(args[328:344]); !received.IsZero() {
		i.uuid = received
	}
	return i, nil
}

func setReadOnly(dir string) error {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := uint64(flagReadOnly)
	if err := ioctl(f, iocSetFlags, unsafe.Pointer(&flags)); err != nil {
		return fmt.Errorf("making %s read-only: %w", dir, err)
	}
	return nil
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// sameMount says whether two directories are reached through the same mount, so that a snapshot of one can stand in
// the other. Subvolumes have device numbers of their own, and so tell nothing.
func sameMount(a, b string) (bool, error) {
	var x, y unix.Statx_t
	for _, p := range []struct {
		path string
		to   *unix.Statx_t
	}{{a, &x}, {b, &y}} {
		if err := unix.Statx(unix.AT_FDCWD, p.path, 0, unix.STATX_MNT_ID, p.to); err != nil {
			return false, fmt.Errorf("looking at %s: %w", p.path, err)
		}
	}
	return x.Mnt_id == y.Mnt_id, nil
}

// run calls the btrfs program; its complaint becomes the error.
func run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "btrfs", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("calling btrfs %s: %w", strings.Join(args, " "), explain(err, complaint.String()))
	}
	return nil
}

// explain adds what a program said to how it ended.
func explain(err error, complaint string) error {
	if complaint = strings.TrimSpace(complaint); complaint != "" {
		return fmt.Errorf("%w: %s", err, strings.ReplaceAll(complaint, "\n", "; "))
	}
	return err
}
