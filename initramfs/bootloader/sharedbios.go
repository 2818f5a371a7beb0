package bootloader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"griddle/imagestore/durable"
	"griddle/initramfs/bootloader/coreimage"
	"griddle/initramfs/bootloader/gap"
)

// FormerRecord is the boot record that the disk had before, on the EFI system partition: the menu starts it.
const FormerRecord = "griddle/former.img"

// isGap says whether an extent is the gap of an MBR: in a GPT the table begins there.
func isGap(at Extent) bool { return at.Start == sector }

// roomOf is where a core.img of so many bytes goes.
func roomOf(disk Disk, at Extent, core int) (Extent, error) {
	if isGap(at) {
		return gap.Reserve(disk, at, int64(core))
	}
	if at.Size == 0 {
		return at, fmt.Errorf("%w: the disk has no BIOS boot partition; it starts only by UEFI", gap.ErrNone)
	}
	room, ok, err := gap.Find(disk, at)
	if err != nil || !ok {
		return at, err
	}
	return room, nil
}

// CheckBIOS is the error that InstallBIOS would return, before anything is written: gap.ErrNone where other loaders
// leave no room for core.img, ErrSectorSize. shared says that other systems may use the BIOS boot partition too; where
// the disk starts a GRUB of Griddle from it, they do not.
func CheckBIOS(disk io.ReaderAt, images fs.FS, at Extent, sectorSize int, shared bool) error {
	if sectorSize != sector {
		return fmt.Errorf("GRUB for BIOS: %w, this disk has %d", ErrSectorSize, sectorSize)
	}
	_, core, err := biosImages(images)
	if err != nil {
		return fmt.Errorf("GRUB for BIOS: %w", err)
	}
	if !shared && !isGap(at) {
		return nil
	}
	if own, err := alone(disk, at); err != nil || own {
		return err
	}
	return gap.Check(disk, at, int64(len(core)))
}

// alone says whether a BIOS boot partition is Griddle's alone: the disk starts an earlier GRUB of Griddle from it, and
// no room in it was reserved beside another loader.
func alone(disk io.ReaderAt, at Extent) (bool, error) {
	if isGap(at) {
		return false, nil
	}
	if _, reserved, err := gap.Find(disk, at); err != nil || reserved {
		return false, err
	}
	return Starts(disk, at)
}

// ReserveBIOS reserves room in a BIOS boot partition that other systems may use too. Call it before the first
// InstallBIOS there; the gap of an MBR needs no call. It writes to bytes that are zero, and is durable on return. Where
// the disk starts a GRUB of Griddle from all of the partition, it reserves nothing: InstallBIOS replaces that.
func ReserveBIOS(disk Disk, images fs.FS, at Extent) error {
	_, core, err := biosImages(images)
	if err != nil {
		return fmt.Errorf("GRUB for BIOS: %w", err)
	}
	if own, err := alone(disk, at); err != nil || own {
		return err
	}
	if _, err := gap.Reserve(disk, at, int64(len(core))); err != nil {
		return err
	}
	return syncDisk(disk)
}

// KeepRecord writes the boot record that a disk has to the EFI system partition mounted at esp, so that the menu can
// start what that started (Config.Others). Call it after ReserveBIOS and before InstallBIOS, when the partition table
// is as it stays: the copy has the table. A record without a program, and GRUB's own that InstallBIOS wrote to at, are
// not kept, and what was kept before stays.
func KeepRecord(disk io.ReaderAt, at Extent, esp string) error {
	record := make([]byte, sector)
	if _, err := disk.ReadAt(record, 0); err != nil {
		return fmt.Errorf("keeping the boot record: %w", err)
	}
	own, err := ownRecord(disk, at, record)
	if err != nil {
		return fmt.Errorf("keeping the boot record: %w", err)
	}
	if own || record[510] != 0x55 || record[511] != 0xaa || len(bytes.Trim(record[:bootCodeEnd], "\x00")) == 0 {
		return nil
	}
	f := file{FormerRecord, record}
	if err := room(esp, []file{f}); err != nil {
		return fmt.Errorf("keeping the boot record: %w", err)
	}
	if err := f.write(durable.Disk{}, esp); err != nil {
		return fmt.Errorf("keeping the boot record: %w", err)
	}
	return nil
}

// Starts says whether the boot record of a disk starts Griddle's GRUB, which InstallBIOS wrote to at.
func Starts(disk io.ReaderAt, at Extent) (bool, error) {
	record := make([]byte, sector)
	if _, err := disk.ReadAt(record, 0); err != nil {
		return false, fmt.Errorf("reading the boot record: %w", err)
	}
	return ownRecord(disk, at, record)
}

// ownRecord says whether a boot record starts a core.img that InstallBIOS wrote to at: to the room that was reserved
// there, or to a BIOS boot partition. In the latter the core.img itself says so, because other systems may have put
// theirs there since.
func ownRecord(disk io.ReaderAt, at Extent, record []byte) (bool, error) {
	if at.Size < sector {
		return false, nil
	}
	room, reserved, err := gap.Find(disk, at)
	if err != nil || !reserved && isGap(at) {
		return false, err
	}
	if !reserved {
		room = at
	}
	first := binary.LittleEndian.Uint64(record[bootKernelSector:])
	// 0x63eb is a jump over the parameters, by which boot.img begins.
	if record[0] != 0xeb || record[1] != 0x63 || first < uint64(room.Start/sector) ||
		first >= uint64((room.Start+room.Size)/sector) {
		return false, nil
	}
	if reserved {
		return true, nil
	}
	return coreimage.Griddles(disk, int64(first)*sector)
}

// RemoveBIOS gives a disk the program of another boot record, of its first 440 bytes, if it has GRUB's own of at, and
// releases the room that was reserved. The disk signature and the partition table stay as they are. The boot record is
// one sector, and durable before the room is released.
func RemoveBIOS(disk Disk, at Extent, former []byte) error {
	record := make([]byte, sector)
	if _, err := disk.ReadAt(record, 0); err != nil {
		return fmt.Errorf("restoring the boot record: %w", err)
	}
	if len(former) != sector {
		return fmt.Errorf("restoring the boot record: the former one has %d bytes, not %d", len(former), sector)
	}
	own, err := ownRecord(disk, at, record)
	if err != nil {
		return fmt.Errorf("restoring the boot record: %w", err)
	}
	if own {
		copy(record[:bootCodeEnd], former)
		if _, err := disk.WriteAt(record, 0); err != nil {
			return fmt.Errorf("restoring the boot record: %w", err)
		}
		if err := syncDisk(disk); err != nil {
			return fmt.Errorf("restoring the boot record: %w", err)
		}
	}
	if at.Size < sector {
		return nil
	}
	return errors.Join(gap.Release(disk, at), syncDisk(disk))
}
