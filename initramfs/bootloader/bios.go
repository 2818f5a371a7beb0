package bootloader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"griddle/initramfs/bootloader/gap"
)

// ErrSectorSize means that no BIOS can start the disk: its sectors are not 512 bytes.
var ErrSectorSize = errors.New("BIOS boot needs 512-byte sectors")

// Extent is a run of bytes on a disk.
type Extent = gap.Extent

// Disk is the whole disk to make bootable.
type Disk interface {
	io.ReaderAt
	io.WriterAt
}

const sector = 512

// Offsets in the two boot sectors (GRUB's include/grub/i386/pc/boot.h).
const (
	bootCodeEnd      = 0x1b8         // where the disk signature of the MBR begins; the table follows it
	bootKernelSector = 0x5c          // u64: LBA of core.img
	bootDriveCheck   = 0x66          // a two-byte jump
	blocklist        = sector - 12   // in diskboot.img: u64 LBA of the rest, u16 sectors, u16 segment
	blocklistLen     = blocklist + 8 // the first list grows downwards; ours has one entry
)

// InstallBIOS writes core.img into the BIOS boot partition and then boot.img to the boot sector of disk. As
// grub-bios-setup does, it writes the location of each into the other. It changes only the 440 bytes of code in the
// boot sector: the disk signature, the partition entries and everything outside the partition stay.
//
// After a power cut anywhere in it the disk starts the old core.img or the new one: that goes into the half that
// the boot sector does not name, and the boot sector, which is one sector, follows when that is durable. This does not
// hold for a core.img that is larger than half the partition: it goes to the start. What is there already is not
// written.
//
// On an MBR the partition is the gap: all bytes between the boot record and the first partition, from byte 512 on.
// There InstallBIOS reserves room behind what other loaders have (package gap); in a BIOS boot partition it uses the
// room that ReserveBIOS reserved, if there is one.
//
// images has BootImage and CoreImage. InstallBIOS fails with ErrSectorSize if sectorSize is not 512. It fails before it
// writes anything if the images are not GRUB's or do not fit.
func InstallBIOS(disk Disk, images fs.FS, partition Extent, sectorSize int) error {
	if sectorSize != sector {
		return fmt.Errorf("installing GRUB for BIOS: %w, this disk has %d", ErrSectorSize, sectorSize)
	}
	boot, core, err := biosImages(images)
	if err != nil {
		return fmt.Errorf("installing GRUB for BIOS: %w", err)
	}
	old := make([]byte, sector)
	if _, err := disk.ReadAt(old, 0); err != nil {
		return fmt.Errorf("reading boot sector: %w", err)
	}
	if partition, err = roomOf(disk, partition, len(core)); err != nil {
		return fmt.Errorf("installing GRUB for BIOS: %w", err)
	}
	live, free := places(old, len(core), partition)
	mbr, image, err := patch(boot, core, old, live)
	if err != nil {
		return fmt.Errorf("installing GRUB for BIOS: %w", err)
	}
	if !has(disk, image, live.Start) {
		if mbr, image, err = patch(boot, core, old, free); err != nil {
			return fmt.Errorf("installing GRUB for BIOS: %w", err)
		}
		if _, err := disk.WriteAt(image, free.Start); err != nil {
			return fmt.Errorf("writing core.img: %w", err)
		}
	}
	// The boot sector last: until it is written nothing refers to this core.img.
	if err := syncDisk(disk); err != nil {
		return fmt.Errorf("writing core.img: %w", err)
	}
	if bytes.Equal(mbr, old) {
		return nil
	}
	if _, err := disk.WriteAt(mbr, 0); err != nil {
		return fmt.Errorf("writing boot sector: %w", err)
	}
	if err := syncDisk(disk); err != nil {
		return fmt.Errorf("writing boot sector: %w", err)
	}
	return nil
}

// biosImages are boot.img and core.img.
func biosImages(images fs.FS) (boot, core []byte, err error) {
	if boot, err = fs.ReadFile(images, BootImage); err != nil {
		return nil, nil, err
	}
	if core, err = fs.ReadFile(images, CoreImage); err != nil {
		return nil, nil, err
	}
	switch {
	case len(boot) != sector || boot[bootDriveCheck] != 0xeb:
		return nil, nil, errors.New("boot.img is not an image of GRUB")
	case len(core) < 2*sector:
		return nil, nil, errors.New("core.img is too short")
	case len(core) > 0xffff*sector:
		return nil, nil, errors.New("core.img is too long for its block list")
	}
	return boot, core, nil
}

// places are the half of the partition that the boot sector names, and the other one, which is free for a core.img of
// so many bytes. One that fits no half has the whole partition for both. If the sector names neither half, the first is
// free.
func places(boot []byte, core int, p Extent) (live, free Extent) {
	half := p.Size / 2 / sector * sector
	if int64(core) > half {
		return p, p
	}
	first, second := Extent{Start: p.Start, Size: half}, Extent{Start: p.Start + half, Size: half}
	named := binary.LittleEndian.Uint64(boot[bootKernelSector:])
	if named >= uint64(first.Start/sector) && named < uint64(second.Start/sector) {
		return first, second
	}
	return second, first
}

// has says whether the disk has these bytes at a place; one that cannot be read has not.
func has(disk Disk, b []byte, at int64) bool {
	old := make([]byte, len(b))
	n, _ := disk.ReadAt(old, at)
	return n == len(b) && bytes.Equal(old, b)
}

func syncDisk(d any) error {
	if s, ok := d.(interface{ Sync() error }); ok {
		return s.Sync()
	}
	return nil
}

// patch returns the boot sector and the core image as they are to be written; old is the present boot sector.
func patch(boot, core, old []byte, p Extent) (mbr, image []byte, err error) {
	switch {
	case p.Start%sector != 0 || p.Start <= 0:
		return nil, nil, fmt.Errorf("the BIOS boot partition at byte %d is not at the start of a sector", p.Start)
	}
	n := (len(core) + sector - 1) / sector
	if int64(n)*sector > p.Size {
		return nil, nil, fmt.Errorf("core.img has %d bytes, but the BIOS boot partition has only %d", len(core), p.Size)
	}
	first := uint64(p.Start / sector)

	mbr = append([]byte(nil), old...)
	copy(mbr[:bootCodeEnd], boot)
	binary.LittleEndian.PutUint64(mbr[bootKernelSector:], first)
	// Some BIOSes pass a wrong drive number to a hard disk's boot sector; without this jump it is checked
	// (util/setup.c, "buggy BIOSes").
	mbr[bootDriveCheck], mbr[bootDriveCheck+1] = 0x90, 0x90
	mbr[510], mbr[511] = 0x55, 0xaa

	image = make([]byte, n*sector)
	copy(image, core)
	binary.LittleEndian.PutUint64(image[blocklist:], first+1)
	binary.LittleEndian.PutUint16(image[blocklistLen:], uint16(n-1))
	return mbr, image, nil
}
