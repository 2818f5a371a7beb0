package resize

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// super is what the superblock of a filesystem says of it.
type super struct {
	size int64 // bytes that its partition must have at least
	ext  struct {
		mounted    uint32 // when it was mounted last, seconds since 1970
		unreplayed bool   // its journal has changes that are not in the filesystem
	}
	btrfs struct {
		device  uint64 // ID of the device
		devices uint64 // how many it has
	}
}

// Size is how many bytes a filesystem of a kind needs of its partition.
func Size(r io.ReaderAt, kind string) (int64, error) {
	s, err := readSuper(r, kind)
	return s.size, err
}

// readSuper reads the superblock of a filesystem that can be shrunk.
//
// Sources: the kernel's fs/ext4/ext4.h, struct ext4_super_block; btrfs(5) and the kernel's
// include/uapi/linux/btrfs_tree.h, struct btrfs_super_block.
func readSuper(r io.ReaderAt, kind string) (super, error) {
	var s super
	var err error
	switch {
	case slices.Contains(exts, kind):
		err = s.readExt(r)
	case kind == "btrfs":
		err = s.readBtrfs(r)
	default:
		err = fmt.Errorf("a filesystem of kind %q cannot be shrunk", kind)
	}
	if err == nil && s.size <= 0 {
		err = errors.New("its size is impossible")
	}
	if err != nil {
		return super{}, fmt.Errorf("reading the superblock of the %s: %w", kind, err)
	}
	return s, nil
}

func (s *super) readExt(r io.ReaderAt) error {
	b := make([]byte, 1024)
	if _, err := r.ReadAt(b, 1024); err != nil {
		return err
	}
	le := binary.LittleEndian
	if le.Uint16(b[0x38:]) != 0xef53 {
		return errors.New("there is none")
	}
	blocks, shift := uint64(le.Uint32(b[4:])), le.Uint32(b[0x18:])
	if le.Uint32(b[0x60:])&0x80 != 0 { // 64bit
		blocks |= uint64(le.Uint32(b[0x150:])) << 32
	}
	if shift > 6 || blocks > 1<<60>>(10+shift) {
		return fmt.Errorf("%d blocks of 2^%d KiB are impossible", blocks, shift)
	}
	s.size = int64(blocks << (10 + shift))
	s.ext.mounted = le.Uint32(b[0x2c:])
	s.ext.unreplayed = le.Uint32(b[0x60:])&0x4 != 0
	return nil
}

func (s *super) readBtrfs(r io.ReaderAt) error {
	b := make([]byte, 4096)
	if _, err := r.ReadAt(b, 64<<10); err != nil {
		return err
	}
	le := binary.LittleEndian
	if string(b[0x40:0x48]) != "_BHRfS_M" {
		return errors.New("there is none")
	}
	s.btrfs.devices, s.btrfs.device = le.Uint64(b[0x88:]), le.Uint64(b[0xc9:])
	n := le.Uint64(b[0xd1:])
	if n > 1<<60 {
		return fmt.Errorf("%d bytes are impossible", n)
	}
	s.size = int64(n)
	return nil
}
