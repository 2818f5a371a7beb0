package table

import (
	"encoding/binary"
	"fmt"
)

// Of the protective MBR: where its one entry is, and what the parts of that are (UEFI 2.10 table 5.4).
const (
	pmbrEntry = 446
	pmbrFirst = pmbrEntry + 1  // CHS of the first sector, 3 bytes
	pmbrLast  = pmbrEntry + 5  // CHS of the last one
	pmbrSize  = pmbrEntry + 12 // u32, sectors
)

// protect writes what go-diskfs leaves out of the protective MBR: the CHS addresses, and "all of it" where the last
// sector has no 32-bit number. It is durable on return.
func protect(f Writable, size int64, sectorSize int) error {
	sectors := size / int64(sectorSize)
	entry := make([]byte, 16)
	if _, err := f.ReadAt(entry, pmbrEntry); err != nil {
		return fmt.Errorf("reading protective MBR: %w", err)
	}
	copy(entry[pmbrFirst-pmbrEntry:], []byte{0x00, 0x02, 0x00}) // sector 1
	last := chs(sectors - 1)
	copy(entry[pmbrLast-pmbrEntry:], last[:])
	if sectors > 1<<32 {
		binary.LittleEndian.PutUint32(entry[pmbrSize-pmbrEntry:], 0xffffffff)
	}
	if _, err := f.WriteAt(entry, pmbrEntry); err != nil {
		return fmt.Errorf("writing protective MBR: %w", err)
	}
	return f.Sync()
}

// chs is the address of a sector on a disk of 255 heads and 63 sectors a track, as it is in an MBR: head, sector with
// the cylinder's two high bits, cylinder. What has no such address is ff ff ff.
func chs(sector int64) [3]byte {
	const heads, perTrack = 255, 63
	c, h, s := sector/(heads*perTrack), sector/perTrack%heads, sector%perTrack+1
	if c > 1023 {
		return [3]byte{0xff, 0xff, 0xff}
	}
	return [3]byte{byte(h), byte(s | c>>8<<6), byte(c)}
}

// Activate sets the active flag of the protective MBR: some BIOSes do not start from a disk without it. It is durable
// on return. Call it only on a machine with BIOS: the UEFI specification requires zero, and older UEFI firmware does
// not accept a GPT with the flag.
func Activate(f Writable) error {
	if _, err := f.WriteAt([]byte{0x80}, pmbrEntry); err != nil {
		return fmt.Errorf("writing protective MBR: %w", err)
	}
	return f.Sync()
}
