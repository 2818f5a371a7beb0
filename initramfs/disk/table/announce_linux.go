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

// known is a partition that the kernel knows.
type known struct {
	number      int
	start, size int64 // bytes
}

// Announce replaces the kernel's partitions of a disk by those of a layout. Those that it has already stay, so they may
// be in use. It does not ask the kernel to read the table, so it also works with kernels without a GPT parser. On
// return the partitions exist, and disk.Node finds them: both the ioctl and devtmpfs are synchronous.
func Announce(f *os.File, sys string, parts []Part) error {
	has, err := partitions(f.Name(), sys)
	if err != nil {
		return err
	}
	wanted := map[known]bool{}
	for _, p := range parts {
		wanted[known{p.Number, p.Start, p.Size}] = true
	}
	for _, k := range has {
		if wanted[k] {
			delete(wanted, k)
			continue
		}
		if err := tell(f, blkpgDelete, Part{Number: k.number}); err != nil {
			return fmt.Errorf("removing partition %d of %s: %w", k.number, f.Name(), err)
		}
	}
	for _, p := range parts {
		if !wanted[known{p.Number, p.Start, p.Size}] {
			continue
		}
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

// partitions lists what the kernel knows of a disk. What it does not say is -1, which no layout has.
func partitions(path, sys string) ([]known, error) {
	dir := filepath.Join(sys, "block", filepath.Base(path))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing partitions: %w", err)
	}
	var found []known
	for _, e := range entries {
		number := func(name string) int64 {
			b, err := os.ReadFile(filepath.Join(dir, e.Name(), name))
			n, bad := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 54)
			if err != nil || bad != nil {
				return -1
			}
			return n
		}
		const sector = 512 // of these files, whatever a sector of the disk has
		if n := number("partition"); n >= 0 {
			found = append(found, known{int(n), number("start") * sector, number("size") * sector})
		}
	}
	return found, nil
}
