package pool

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk/entries"
	"griddle/initramfs/nvram"
)

// Titles of the boot entries of the firmware: of the only disk of a pool, or the first one of a mirror, and of the
// other one.
const (
	Title      = "Griddle"
	OtherTitle = "Griddle on another disk"
)

// Loader is what the firmware knows a partition by: number is that of an EFI system partition on the disk at path,
// which has size bytes. Title and File are empty.
func Loader(path string, size int64, sectorSize, number int) (l nvram.Loader, err error) {
	f, err := os.Open(path)
	if err != nil {
		return l, fmt.Errorf("making a boot entry: %w", err)
	}
	defer f.Close()
	t, err := entries.Read(f, size, sectorSize)
	if err != nil {
		return l, fmt.Errorf("making a boot entry: %w", err)
	}
	all := t.Entries()
	at := slices.IndexFunc(all, func(e entries.Entry) bool { return e.Number == number })
	if at < 0 {
		return l, fmt.Errorf("making a boot entry: the table of %s has no partition %d", path, number)
	}
	l = nvram.Loader{Partition: number, Start: all[at].Start, Size: all[at].Size, SectorSize: sectorSize,
		GUID: all[at].UUID}
	if t.Kind() == mbr {
		id, err := strconv.ParseUint(t.ID(), 16, 32)
		if err != nil {
			return l, fmt.Errorf("making a boot entry: the MBR of %s has the signature %q: %w", path, t.ID(), err)
		}
		l.GUID, l.Signature = "", uint32(id)
	}
	return l, nil
}

// Entries has the firmware start GRUB from each disk of the pool, by an entry each, as an install makes them. An entry
// that is there keeps its place in the order. The firmware has written them on return.
func (p *Pool) Entries(vars *nvram.Vars) error {
	for i, h := range slices.Backward(p.Halves()) { // the one that is added last comes before the others
		l, err := Loader(h.Disk, h.Size, h.SectorSize, h.espNumber)
		if err != nil {
			return err
		}
		if l.Title, l.File = Title, bootloader.Fallback; i > 0 {
			l.Title = OtherTitle
		}
		if h.ESPID != "" {
			l.File = bootloader.Loader
		}
		if _, err := vars.Add(l); err != nil {
			return err
		}
	}
	return nil
}
