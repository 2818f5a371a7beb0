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

// Where the superblock of an ext is, and its features that count here (super.rst).
const (
	extAt, extSize = 1024, 1024

	extJournal     = 0x4   // compatible
	extStableInode = 0x800 // compatible: numbers of inodes must stay
	extRecover     = 0x4   // incompatible: its journal has changes
	extMeta        = 0x10  // incompatible
	ext64          = 0x80  // incompatible: numbers of blocks have 64 bits
	extBigalloc    = 0x200 // read-only: space is given out in groups of blocks
	extChecksums   = 0x400 // read-only: the superblock has a checksum
)

// ext is what a superblock says.
type ext struct {
	block, blocks, free int64 // bytes of a block, and numbers of them
	unfit               string
}

// parseExt reads a superblock of a filesystem in a partition of size bytes.
func parseExt(b []byte, size int64) (ext, error) {
	le := binary.LittleEndian
	compat, incompat, readOnly := le.Uint32(b[0x5c:]), le.Uint32(b[0x60:]), le.Uint32(b[0x64:])
	if le.Uint16(b[0x38:]) != 0xef53 {
		return ext{}, errors.New("its superblock is gone")
	}
	sum := ^crc32.Checksum(b[:0x3fc], crc32.MakeTable(crc32.Castagnoli)) // it is not inverted at the end
	if readOnly&extChecksums != 0 && le.Uint32(b[0x3fc:]) != sum {
		return ext{}, errors.New("the checksum of its superblock is wrong; run e2fsck")
	}
	log := le.Uint32(b[0x18:])
	if log > 6 {
		return ext{}, fmt.Errorf("its superblock has blocks of 2^%d KiB", log)
	}
	e := ext{block: 1024 << log, blocks: int64(le.Uint32(b[4:])), free: int64(le.Uint32(b[0xc:]))}
	if incompat&ext64 != 0 {
		e.blocks |= int64(le.Uint32(b[0x150:])&0x7fffffff) << 32
		e.free |= int64(le.Uint32(b[0x158:])&0x7fffffff) << 32
	}
	if e.blocks < 1 || e.free > e.blocks {
		return ext{}, fmt.Errorf("its superblock has %d blocks, and %d of them are free", e.blocks, e.free)
	}
	state := le.Uint16(b[0x3a:])
	switch {
	case e.blocks > size/e.block:
		e.unfit = "it is larger than its partition"
	case incompat&extRecover != 0:
		e.unfit = job.Unclean
	case state&2 != 0:
		e.unfit = job.Dirty
	case state&1 == 0:
		e.unfit = job.Unclean
	case le.Uint32(b[0xe4:]) != 0 && compat&extJournal != 0:
		e.unfit = "its journal is on another device"
	case compat&extStableInode != 0:
		e.unfit = "its inodes keep their numbers (stable_inodes), so it cannot be shrunk"
	case readOnly&extBigalloc != 0:
		e.unfit = "its blocks are in clusters (bigalloc), and resize2fs does not shrink that safely"
	}
	return e, nil
}

func ofExt(ctx context.Context, f *os.File, size int64) (content.Facts, error) {
	b, err := read(f, extAt, extSize)
	if err != nil {
		return content.Facts{}, err
	}
	e, err := parseExt(b, size)
	if err != nil {
		return content.Facts{}, err
	}
	facts := content.Facts{Used: (e.blocks - e.free) * e.block, Unfit: e.unfit}
	if e.unfit != "" {
		return facts, nil
	}
	blocks, err := smallest(ctx, f.Name())
	if err != nil {
		return content.Facts{}, err
	}
	if blocks < 1 || blocks > e.blocks {
		return content.Facts{}, fmt.Errorf("resize2fs says that it needs %d blocks of %d", blocks, e.blocks)
	}
	facts.Minimum = min(roundUp(blocks*e.block+Margin), size)
	return facts, nil
}
