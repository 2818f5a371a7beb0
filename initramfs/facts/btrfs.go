package facts

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"griddle/appliance/job"
	"griddle/initramfs/disk/content"
)

// The superblock of a btrfs, and places in it (fs/btrfs/ctree.h).
const (
	btrfsAt, btrfsSize = 64 << 10, 4096
	btrfsSeeding       = 1 << 32 // flag: other devices have its changes

	// btrfsSpace is the space beside what the device has given out: chunks are moved into it when it is shrunk, and
	// they have at most 1 GiB.
	btrfsSpace = 1 << 30
	// btrfsLeast is the smallest device that the kernel shrinks to (volumes.c, and ioctl.c: btrfs_ioctl_resize).
	btrfsLeast = 256 * mib
)

// several is why the device of a mirror must not be changed.
const several = "it is one of several devices of a btrfs"

// parseBtrfs reads a superblock of a filesystem in a partition of size bytes.
func parseBtrfs(b []byte, size int64) (content.Facts, error) {
	le := binary.LittleEndian
	if string(b[0x40:0x48]) != "_BHRfS_M" || le.Uint64(b[0x30:]) != btrfsAt {
		return content.Facts{}, errors.New("its superblock is gone")
	}
	// Of the other kinds of checksums, the mark is enough.
	if le.Uint16(b[0xc4:]) == 0 && le.Uint32(b) != crc32.Checksum(b[0x20:], crc32.MakeTable(crc32.Castagnoli)) {
		return content.Facts{}, errors.New("the checksum of its superblock is wrong")
	}
	const device = 0xc9
	used, total, given := le.Uint64(b[0x78:]), le.Uint64(b[device+8:]), le.Uint64(b[device+16:])
	if used > 1<<62 || total > 1<<62 || given > total {
		return content.Facts{}, fmt.Errorf("its superblock says that %d bytes of %d are given out", given, total)
	}
	switch {
	case le.Uint64(b[0x88:]) != 1:
		return content.Facts{Unfit: several}, nil
	case le.Uint64(b[0x38:])&btrfsSeeding != 0:
		return content.Facts{Used: int64(used), Unfit: "it is the seed of other filesystems"}, nil
	case total > uint64(size):
		return content.Facts{Used: int64(used), Unfit: "it is larger than its partition"}, nil
	case le.Uint64(b[0x60:]) != 0: // a log that the next mount replays
		return content.Facts{Used: int64(used), Unfit: job.Unclean}, nil
	}
	least := roundUp(max(int64(given)+btrfsSpace, btrfsLeast))
	return content.Facts{Used: int64(used), Minimum: min(least, size)}, nil
}

func ofBtrfs(_ context.Context, f *os.File, size int64) (content.Facts, error) {
	b, err := read(f, btrfsAt, btrfsSize)
	if err != nil {
		return content.Facts{}, err
	}
	return parseBtrfs(b, size)
}
