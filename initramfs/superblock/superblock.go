// Package superblock reads the superblock of a btrfs: which filesystem a partition is a device of, and which one.
//
// Call Read with a partition that is open. It is pure.
//
//	from byte 65536 on (struct btrfs_super_block, fs/btrfs/ctree.h)
//	0         0x20      0x30         0x40      0x48          0x88           0xc4      0xc9
//	+---------+---------+------------+---------+-------------+--------------+---------+----------------+
//	| sum, 32 | ID, 16  | its place, | magic,  | generation, | how many     | kind of | ID of this     |
//	|         |         | 8          | 8       | 8           | devices, 8   | sum, 2  | device, 8 …    |
//	+---------+---------+------------+---------+-------------+--------------+---------+----------------+
//
// Bytes from outside give a Super or nothing: what is read is within bounds, and a CRC-32C must be right.
package superblock

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	at    = 64 << 10
	size  = 4096
	magic = "_BHRfS_M"
)

// MaxDevices is how many devices a filesystem can have at most, to be read here.
const MaxDevices = 1024

// Super is what a superblock says.
type Super struct {
	Filesystem string // UUID of the filesystem, as blkid writes it
	Generation uint64 // how many times its superblock was written; a device that was away has a lower one
	Devices    int    // how many devices the filesystem has, at least 1
	Device     uint64 // the ID of this one in the filesystem
}

// Read reads the superblock of a partition. ok is false if it has none that is whole.
func Read(r io.ReaderAt) (s Super, ok bool) {
	b := make([]byte, size)
	if n, _ := r.ReadAt(b, at); n < size {
		return Super{}, false
	}
	le := binary.LittleEndian
	if string(b[0x40:0x48]) != magic || le.Uint64(b[0x30:]) != at {
		return Super{}, false
	}
	// Of the other kinds of sums, the magic is enough.
	if le.Uint16(b[0xc4:]) == 0 && le.Uint32(b) != crc32.Checksum(b[0x20:], crc32.MakeTable(crc32.Castagnoli)) {
		return Super{}, false
	}
	devices := le.Uint64(b[0x88:])
	if devices < 1 || devices > MaxDevices {
		return Super{}, false
	}
	id := b[0x20:0x30]
	return Super{Filesystem: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		Generation: le.Uint64(b[0x48:]), Devices: int(devices), Device: le.Uint64(b[0xc9:])}, true
}
