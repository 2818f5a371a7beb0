package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/setting"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/arguments"
	"griddle/initramfs/bootloader/bootenv"
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
	if err := w.copyKernels(); err != nil {
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
	encrypted, _ := w.dividedBoot()
	return newroot.Options{
		Copied: encrypted != nil,
		Top:    w.parts.poolDir, Node: w.parts.pool, PoolID: w.parts.poolID, ESPID: w.parts.espID,
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
	p, err := pool.Open(w.newPool())
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
	conf := bootloader.Config{PoolID: w.parts.poolID, Root: newroot.Folder + "/" + root,
		Args: newroot.Args(w.spec, w.settings)}
	all := w.halves()
	if w.divided != nil {
		conf.Own = w.divided.ownRoots()
		conf.Others = w.divided.others()
		conf.Boot, _ = w.divided.boot()
	}
	if len(all) > 1 {
		for _, h := range all {
			conf.Mirror = append(conf.Mirror, h.esp.UUID)
		}
	}
	if err := w.keepFormer(); err != nil {
		return err
	}
	var dirs []string
	for _, h := range slices.Backward(all) { // the firmware has the entry that was added last before the others
		title := pool.Title
		if h.espDir != all[0].espDir {
			title = pool.OtherTitle
		}
		if err := w.bootloaderESP(h, title, conf); err != nil {
			return err
		}
		dirs = append(dirs, h.espDir)
	}
	if len(all) > 1 { // both say from the beginning that they are as new
		slices.Reverse(dirs)
		e, err := bootenv.ReadAll(dirs)
		if err == nil {
			err = bootenv.WriteAll(dirs, e)
		}
		if err != nil {
			return err
		}
	}
	for _, h := range all {
		if err := w.bootloaderBIOS(h); err != nil {
			return err
		}
	}
	return nil
}

// bootloaderESP installs GRUB for UEFI on one disk, with an entry of the firmware for a disk that others share.
func (w *work) bootloaderESP(h half, title string, conf bootloader.Config) error {
	conf.ESP = job.ESPLabel(w.spec.ID)
	if w.divided != nil && !h.esp.Fresh {
		conf.ESP, conf.ESPID = "", h.esp.UUID // which keeps the label that others know it by
	}
	if err := bootloader.InstallESP(h.espDir, os.DirFS(w.o.GRUB), conf); err != nil {
		return err
	}
	switch {
	case conf.ESPID != "":
		w.bootEntry(h, title, bootloader.Loader)
	case w.divided != nil:
		w.bootEntry(h, title, bootloader.Fallback)
	}
	return nil
}

// bootloaderBIOS installs GRUB for BIOS on one disk.
func (w *work) bootloaderBIOS(h half) error {
	if h.bios.Size == 0 {
		return nil // it starts by UEFI only, as the plan says
	}
	f, err := w.open(h.disk)
	if err != nil {
		return err
	}
	defer f.Close()
	at := bootloader.Extent{Start: h.bios.Start, Size: h.bios.Size}
	err = w.besideLoaders(f, h, at)
	if err == nil {
		err = w.installBIOS(f, at, h.disk.SectorSize, w.hasMBR(h))
	}
	if errors.Is(err, gap.ErrNone) && !w.o.BIOS {
		w.warn("%v", err)
		return nil
	}
	return err
}

// installBIOS writes GRUB's parts for a BIOS to a disk.
func (w *work) installBIOS(f *os.File, at bootloader.Extent, sector int, mbr bool) error {
	err := bootloader.InstallBIOS(f, os.DirFS(w.o.GRUB), at, sector)
	if errors.Is(err, bootloader.ErrSectorSize) {
		w.warn("%v: this disk boots only on UEFI", err)
		return nil
	}
	if err == nil && w.o.BIOS && !mbr { // whose active partition is that of its owner
		err = table.Activate(f)
	}
	return err
}

// hasMBR says whether a disk has an MBR.
func (w *work) hasMBR(h half) bool {
	return w.divided != nil && w.divided.table(h.planned) == layout.MBR
}
