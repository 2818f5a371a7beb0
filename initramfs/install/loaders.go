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
	m := former.Machine{ESP: w.parts.espDir, UUID: w.o.Machine.UUID,
		Drive: former.Drive{Serial: w.target.Serial, WWN: w.target.WWN, Size: w.target.Size},
		BIOS:  bootloader.Extent{Start: w.parts.bios.Start, Size: w.parts.bios.Size}}
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
	f, err := os.Open(w.target.Path)
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
	return former.Save(filepath.Join(dir.Name(), pool.Former), m)
}

// besideLoaders reserves room in a BIOS boot partition that other systems use too, and keeps the boot record for the
// menu. Where these leave no room the error is gap.ErrNone, and all of it stays theirs.
func (w *work) besideLoaders(f *os.File, at bootloader.Extent) error {
	if w.divided == nil || !w.divided.others() || w.target.SectorSize != 512 {
		return nil
	}
	if w.divided.bios().Fate == plan.Stays {
		if err := bootloader.ReserveBIOS(f, os.DirFS(w.o.GRUB), at); err != nil {
			return err
		}
	}
	return bootloader.KeepRecord(f, at, w.parts.espDir)
}

// roomBesideLoaders refuses, before anything is written, a disk on which other loaders leave no room for GRUB for BIOS.
func (w *work) roomBesideLoaders() error {
	at := w.divided.biosStays()
	if at.Size == 0 {
		return nil
	}
	f, err := os.Open(w.target.Path)
	if err != nil {
		return fmt.Errorf("opening disk: %w", err)
	}
	defer f.Close()
	err = bootloader.CheckBIOS(f, os.DirFS(w.o.GRUB), at, w.target.SectorSize, true)
	if errors.Is(err, gap.ErrNone) {
		return fmt.Errorf("%w: %s: %w", ErrRefused, w.target, err)
	}
	return err
}

// biosStays is where GRUB for BIOS goes if others have been there: a BIOS boot partition that stays, or the gap of an
// MBR that stays; the zero value otherwise.
func (d *divided) biosStays() bootloader.Extent {
	planned := d.planned()
	for _, s := range d.plan.Steps {
		if s.Do == plan.MakeTable && s.Disk == planned.ID {
			return bootloader.Extent{}
		}
	}
	if d.table() == layout.MBR {
		const sector = 512
		first := int64(0)
		for _, p := range planned.After {
			if first == 0 || p.Start < first {
				first = p.Start
			}
		}
		return bootloader.Extent{Start: sector, Size: max(first-sector, 0)}
	}
	if p := d.bios(); p.Fate == plan.Stays {
		return bootloader.Extent{Start: p.Start, Size: p.Size}
	}
	return bootloader.Extent{}
}
