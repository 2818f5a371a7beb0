package table

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The two structures of the kernel's include/uapi/linux/blkpg.h.
type blkpgArg struct {
	op, flags, length int32
	data              unsafe.Pointer
}

type blkpgPartition struct {
	start, length int64 // bytes
	number        int32
	devname       [64]byte
	volname       [64]byte
}

const (
	blkpg       = 0x1269
	blkpgAdd    = 1
	blkpgDelete = 2
)

// Announce replaces the kernel's partitions of a disk by those of a layout. It does not ask the kernel to read the
// table, so it also works with kernels without a GPT parser. On return the partitions exist, and disk.Node finds them:
// both the ioctl and devtmpfs are synchronous.
func Announce(f *os.File, sys string, parts []Part) error {
	known, err := numbers(f.Name(), sys)
	if err != nil {
		return err
	}
	for _, n := range known {
		if err := tell(f, blkpgDelete, Part{Number: n}); err != nil {
			return fmt.Errorf("removing partition %d of %s: %w", n, f.Name(), err)
		}
	}
	for _, p := range parts {
		if err := tell(f, blkpgAdd, p); err != nil {
			return fmt.Errorf("adding partition %d of %s: %w", p.Number, f.Name(), err)
		}
	}
	return nil
}

func tell(f *os.File, op int32, p Part) error {
	part := blkpgPartition{start: p.Start, length: p.Size, number: int32(p.Number)}
	arg := blkpgArg{op: op, length: int32(unsafe.Sizeof(part)), data: unsafe.Pointer(&part)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), blkpg, uintptr(unsafe.Pointer(&arg))); errno != 0 {
		return errno
	}
	return nil
}

// numbers lists the partitions that the kernel knows of a disk.
func numbers(path, sys string) ([]int, error) {
	dir := filepath.Join(sys, "block", filepath.Base(path))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing partitions: %w", err)
	}
	var found []int
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), "partition"))
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			found = append(found, n)
		}
	}
	return found, nil
}
