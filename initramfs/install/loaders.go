package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/former"
	"griddle/initramfs/bootloader/gap"
	"griddle/initramfs/pool"
)

// keepFormer keeps what the machine started by so far, for a job with a layout. It is durable on return, and before the
// first change of it. What an earlier start of this job kept stays.
func (w *work) keepFormer() error {
	if w.divided == nil {
		return nil
	}
	for i, h := range w.halves() {
		if err := w.keepFormerOf(h, i); err != nil {
			return err
		}
	}
	return nil
}

// keepFormerOf is keepFormer for one disk. Those of a mirror have a folder each.
func (w *work) keepFormerOf(h half, i int) error {
	m := former.Machine{ESP: h.espDir, UUID: w.o.Machine.UUID,
		Drive: former.Drive{Serial: h.disk.Serial, WWN: h.disk.WWN, Size: h.disk.Size},
		BIOS:  bootloader.Extent{Start: h.bios.Start, Size: h.bios.Size}}
	var err error
	if m.Tables, err = w.divided.tables(); err != nil {
		return err
	}
	if !w.o.BIOS {
		vars, err := w.o.Firmware()
		if err == nil {
			m.Vars = vars
		}
	}
	f, err := os.Open(h.disk.Path)
	if err != nil {
		return fmt.Errorf("opening disk: %w", err)
	}
	defer f.Close()
	m.Disk = f
	dir, err := pool.Persistent(w.parts.poolDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	folder := pool.Former
	if i > 0 {
		folder += fmt.Sprint(i + 1)
	}
	return former.Save(filepath.Join(dir.Name(), folder), m)
}

// besideLoaders reserves room in a BIOS boot partition that other systems use too, and keeps the boot record for the
// menu. Where these leave no room the error is gap.ErrNone, and all of it stays theirs.
func (w *work) besideLoaders(f *os.File, h half, at bootloader.Extent) error {
	if w.divided == nil || !w.divided.others() || h.disk.SectorSize != 512 {
		return nil
	}
	if biosOf(h.planned).Fate == plan.Stays {
		if err := bootloader.ReserveBIOS(f, os.DirFS(w.o.GRUB), at); err != nil {
			return err
		}
	}
	return bootloader.KeepRecord(f, at, h.espDir)
}

// roomBesideLoaders refuses, before anything is written, a disk on which other loaders leave no room for GRUB for BIOS.
func (w *work) roomBesideLoaders(h half) error {
	at := w.divided.biosStays(h.planned)
	if at.Size == 0 {
		return nil
	}
	f, err := os.Open(h.disk.Path)
	if err != nil {
		return fmt.Errorf("opening disk: %w", err)
	}
	defer f.Close()
	err = bootloader.CheckBIOS(f, os.DirFS(w.o.GRUB), at, h.disk.SectorSize, true)
	if errors.Is(err, gap.ErrNone) {
		return fmt.Errorf("%w: %s: %w", ErrRefused, h.disk, err)
	}
	return err
}

// biosStays is where GRUB for BIOS goes if others have been there: a BIOS boot partition that stays, or the gap of an
// MBR that stays; the zero value otherwise.
func (d *divided) biosStays(planned plan.Disk) bootloader.Extent {
	for _, s := range d.plan.Steps {
		if s.Do == plan.MakeTable && s.Disk == planned.ID {
			return bootloader.Extent{}
		}
	}
	if d.table(planned) == layout.MBR {
		const sector = 512
		first := int64(0)
		for _, p := range planned.After {
			if first == 0 || p.Start < first {
				first = p.Start
			}
		}
		return bootloader.Extent{Start: sector, Size: max(first-sector, 0)}
	}
	if p := biosOf(planned); p.Fate == plan.Stays {
		return bootloader.Extent{Start: p.Start, Size: p.Size}
	}
	return bootloader.Extent{}
}
