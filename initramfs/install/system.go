package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/setting"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/bootloader/gap"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/hook"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/reset"
	"griddle/initramfs/subvolume"
)

// bootable makes the image at dir a system with a bootloader, and with the kernel of the image at kernel if that is not
// "".
func (w *work) bootable(ctx context.Context, dir, kernel string) error {
	w.enter(job.PhaseBootable, "creating the system and its bootloader")
	name := filepath.Base(dir)
	roots := filepath.Join(w.parts.poolDir, newroot.Folder)
	if err := os.MkdirAll(roots, 0o700); err != nil {
		return fmt.Errorf("making folder of roots: %w", err)
	}
	if err := subvolume.Snapshot(dir, roots, name); err != nil {
		return err
	}
	o := w.rootOptions(name)
	o.Image, o.Kernel, o.Reset = dir, kernel, w.spec.Reset.After("")
	if err := newroot.Make(ctx, filepath.Join(roots, name), o); err != nil {
		return err
	}
	if err := w.bootloader(name); err != nil {
		return err
	}
	if w.spec.Reset.After("") == "" {
		return nil
	}
	return w.fresh(ctx, name)
}

// rootOptions say what a root becomes.
func (w *work) rootOptions(name string) newroot.Options {
	var settings *setting.Settings
	if w.o.Settings != nil {
		settings = &w.settings
	}
	_, local := w.localTime()
	return newroot.Options{
		Top: w.parts.poolDir, Node: w.parts.pool, PoolID: w.parts.poolID, ESPID: w.parts.espID,
		Name: name, Ref: w.img.Ref(),
		Spec: w.spec, Settings: settings, Machine: w.machine(), Person: w.o.Person,
		Event: func(level job.Level, text string) {
			w.report.Event(job.Event{Job: w.spec.ID, Phase: w.phase, Level: level, Message: text})
		},
		Arguments: &arguments.Arguments{All: newroot.Args(w.spec, w.settings), Job: w.spec.Args},
		Agent:     w.o.Agent, CA: w.o.CA, Site: w.o.Site, GRUB: w.o.GRUB, Resolv: w.o.Resolv, LocalTime: local,
	}
}

// fresh makes the first roots of a machine that is reset at each start.
func (w *work) fresh(ctx context.Context, base string) error {
	p, err := pool.Open(pool.Place{Job: w.spec.ID, Pool: w.parts.pool, ESP: w.parts.espDir})
	if err != nil {
		return err
	}
	if err = reset.First(ctx, p, base, 2); err == nil {
		err = p.Ready(base, 1, 2)
	}
	return errors.Join(err, p.Close())
}

// machine is what hooks may know.
func (w *work) machine() hook.Machine {
	m := hook.Machine{Name: w.o.Name, Hostname: w.hostname(), Image: w.img.Ref(), Disk: w.target.Path,
		Firmware: "uefi", Serial: w.o.Machine.Serial, UUID: w.o.Machine.UUID, Job: w.spec.ID}
	if w.o.BIOS {
		m.Firmware = "bios"
	}
	if len(w.o.Machine.MACs) > 0 {
		m.MAC = w.o.Machine.MACs[0]
	}
	return m
}

func (w *work) bootloader(root string) error {
	conf := bootloader.Config{
		ESP: job.ESPLabel(w.spec.ID), PoolID: w.parts.poolID, Root: newroot.Folder + "/" + root,
		Args: newroot.Args(w.spec, w.settings),
	}
	if w.divided != nil {
		conf.Own = w.divided.ownRoots()
		conf.Others = w.divided.others()
		if !w.divided.made.ESP.Fresh {
			conf.ESP, conf.ESPID = "", w.parts.espID // which keeps the label that others know it by
		}
	}
	if err := w.keepFormer(); err != nil {
		return err
	}
	if err := bootloader.InstallESP(w.parts.espDir, os.DirFS(w.o.GRUB), conf); err != nil {
		return err
	}
	switch {
	case conf.ESPID != "":
		w.bootEntry(bootloader.Loader)
	case w.divided != nil:
		w.bootEntry(bootloader.Fallback)
	}
	if w.parts.bios.Size == 0 {
		return nil // it starts by UEFI only, as the plan says
	}
	f, err := w.open()
	if err != nil {
		return err
	}
	defer f.Close()
	at := bootloader.Extent{Start: w.parts.bios.Start, Size: w.parts.bios.Size}
	err = w.besideLoaders(f, at)
	if err == nil {
		err = w.installBIOS(f, at)
	}
	if errors.Is(err, gap.ErrNone) && !w.o.BIOS {
		w.warn("%v", err)
		return nil
	}
	return err
}

// installBIOS writes GRUB's parts for a BIOS to the disk.
func (w *work) installBIOS(f *os.File, at bootloader.Extent) error {
	err := bootloader.InstallBIOS(f, os.DirFS(w.o.GRUB), at, w.target.SectorSize)
	if errors.Is(err, bootloader.ErrSectorSize) {
		w.warn("%v: this disk boots only on UEFI", err)
		return nil
	}
	if err == nil && w.o.BIOS && !w.hasMBR() { // whose active partition is that of its owner
		err = table.Activate(f)
	}
	return err
}

// hasMBR says whether the disk has an MBR.
func (w *work) hasMBR() bool {
	if w.divided != nil {
		return w.divided.table() == layout.MBR
	}
	return w.place.Table == layout.MBR
}
