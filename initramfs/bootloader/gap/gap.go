// Package gap finds room for GRUB's core.img where other loaders may have theirs: in the gap of an MBR, between the
// boot record and the first partition, or in a BIOS boot partition that others use too.
//
// Call Reserve before the first install there: it takes sectors that are zero, the last ones, and marks them. Find
// gives them afterwards. All other bytes stay, so the loader that was there still starts by its own boot record.
//
//	   the first sector of the room                                    the rest of the room
//	+-------------------------+-----------------+------------------+---------+---------+------------------+
//	| "GRIDDLE GRUB 1" 0 0    | its first byte  | its size, bytes  | zeros   | CRC-32  | for core.img     |
//	| 16 bytes                | 8, on the disk  | 8, with this one | 476     | 4       | whole sectors    |
//	+-------------------------+-----------------+------------------+---------+---------+------------------+
//
// Numbers are little-endian; the checksum is IEEE's, of the first 508 bytes.
//
// Guarantees: Reserve writes one sector, so a power cut leaves the room reserved or not. A mark that was copied to
// another place does not count.
package gap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// ErrNone means that there is no room for core.img.
var ErrNone = errors.New("there is no free room for GRUB's core.img")

// Extent is a run of bytes on a disk.
type Extent struct {
	Start int64 // bytes from the start of the disk
	Size  int64 // bytes
}

const (
	sector = 512
	magic  = "GRIDDLE GRUB 1\x00\x00"
	most   = 4 << 20 // what is looked through, in bytes
)

// Find is the room that was reserved in an extent, without its mark; the largest, if there are several; false if there
// is none. Where an error of the disk hides it, that is an error.
func Find(disk io.ReaderAt, in Extent) (Extent, bool, error) {
	b, err := read(disk, in)
	if err != nil {
		return Extent{}, false, err
	}
	var room Extent
	for at := int64(0); at+sector <= int64(len(b)); at += sector {
		if size, ok := parse(b[at:at+sector], in.Start+at); ok && at+size <= in.Size && size > room.Size+sector {
			room = Extent{in.Start + at + sector, size - sector}
		}
	}
	return room, room.Size > 0, nil
}

// Reserve is Find, and reserves room where there is none: for two images of so many bytes, or else for one. The mark is
// durable when the caller syncs disk. Without room the error is ErrNone, and nothing is written.
func Reserve(disk interface {
	io.ReaderAt
	io.WriterAt
}, in Extent, image int64) (Extent, error) {
	room, mark, err := plan(disk, in, image)
	if err != nil || mark == nil {
		return room, err
	}
	if _, err := disk.WriteAt(mark, room.Start-sector); err != nil {
		return Extent{}, fmt.Errorf("reserving room for GRUB's core.img: %w", err)
	}
	return room, nil
}

// Check is the error that Reserve would return; it writes nothing.
func Check(disk io.ReaderAt, in Extent, image int64) error {
	_, _, err := plan(disk, in, image)
	return err
}

// plan is the room, and the mark if that has to be written.
func plan(disk io.ReaderAt, in Extent, image int64) (room Extent, mark []byte, err error) {
	room, ok, err := Find(disk, in)
	if err != nil {
		return Extent{}, nil, err
	}
	need := (image + sector - 1) / sector * sector
	if ok && room.Size >= need {
		return room, nil, nil
	}
	b, err := read(disk, in)
	if err != nil {
		return Extent{}, nil, err
	}
	for _, size := range []int64{sector + 2*need, sector + need} {
		if at := last(b, size); at >= 0 {
			room = Extent{in.Start + at + sector, size - sector}
			return room, encode(in.Start+at, size), nil
		}
	}
	return Extent{}, nil, fmt.Errorf("%w: it needs %d bytes in a row that are zero, of the %d bytes before byte %d of "+
		"the disk; what other loaders have there is not overwritten, and the disk starts only by UEFI", ErrNone,
		sector+need, in.Size, in.Start+in.Size)
}

// last is where the last run of so many bytes that are zero begins, by whole sectors; -1 if there is none.
func last(b []byte, size int64) int64 {
	run := int64(0)
	for at := int64(len(b))/sector*sector - sector; at >= 0; at -= sector {
		run += sector
		if len(bytes.Trim(b[at:at+sector], "\x00")) > 0 {
			run = 0
		}
		if run == size {
			return at
		}
	}
	return -1
}

func read(disk io.ReaderAt, in Extent) ([]byte, error) {
	if in.Start < sector || in.Start%sector != 0 || in.Size < sector || in.Start > 1<<62 || in.Size > 1<<62 {
		return nil, fmt.Errorf("%w: %d bytes from byte %d on are not whole sectors behind the boot record", ErrNone,
			in.Size, in.Start)
	}
	b := make([]byte, min(in.Size, most)/sector*sector)
	if n, err := disk.ReadAt(b, in.Start); n < len(b) {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("looking for room for GRUB's core.img: %w", err)
	}
	return b, nil
}

// Release makes the room in an extent zero again, as it was. No boot record may name it any more. A disk with a method
// Sync is synced between the room and its mark; when the caller syncs it again all is durable.
func Release(disk interface {
	io.ReaderAt
	io.WriterAt
}, in Extent) error {
	room, ok, err := Find(disk, in)
	if err != nil || !ok {
		return err
	}
	// The mark last: until then a power cut leaves it to the next call.
	_, err = disk.WriteAt(make([]byte, room.Size), room.Start)
	if s, ok := disk.(interface{ Sync() error }); ok && err == nil {
		err = s.Sync()
	}
	if err == nil {
		_, err = disk.WriteAt(make([]byte, sector), room.Start-sector)
	}
	if err != nil {
		return fmt.Errorf("releasing the room of GRUB's core.img: %w", err)
	}
	return nil
}

func encode(start, size int64) []byte {
	b := make([]byte, sector)
	copy(b, magic)
	binary.LittleEndian.PutUint64(b[16:], uint64(start))
	binary.LittleEndian.PutUint64(b[24:], uint64(size))
	binary.LittleEndian.PutUint32(b[sector-4:], crc32.ChecksumIEEE(b[:sector-4]))
	return b
}

// parse reads the mark in the sector at a byte of the disk.
func parse(b []byte, at int64) (size int64, ok bool) {
	if string(b[:16]) != magic || binary.LittleEndian.Uint64(b[16:]) != uint64(at) ||
		binary.LittleEndian.Uint32(b[sector-4:]) != crc32.ChecksumIEEE(b[:sector-4]) {
		return 0, false
	}
	size = int64(binary.LittleEndian.Uint64(b[24:]))
	return size, size > sector && size%sector == 0 && size <= most
}
