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
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/divide"
	"griddle/initramfs/newroot"
	"griddle/initramfs/pool"
	"griddle/initramfs/subvolume"
	"griddle/initramfs/update"

	"github.com/google/uuid"
)

// keep adds a root to the pool that the disk has. The disk keeps the mark of the earlier job until the end, so that
// this job begins again after a power cut.
func (w *work) keep(ctx context.Context) error {
	if err := w.unmountLeftovers(); err != nil {
		return err
	}
	old, err := w.has()
	if err != nil {
		return err
	}
	if old.Finished() != w.target.Installed {
		return fmt.Errorf("%w: %s has changed: it has no longer the install of job %s", ErrRefused, w.target,
			job.Printable(w.target.Installed))
	}
	if old.Damaged != "" {
		return fmt.Errorf("%w: %s has changed: its partition table is damaged: %s; start the job again", ErrRefused,
			w.target, old.Damaged)
	}
	if w.place, err = w.o.Place(w.target.Path); err != nil {
		return w.unusable(err)
	}
	if err := w.openPool(ctx); err != nil {
		return err
	}
	_, w.place.Boot = w.dividedBoot()
	p, err := pool.Open(w.place)
	if err != nil {
		return w.unusable(err)
	}
	w.undo = append(w.undo, p.Close)
	if _, err := p.ESP(); err != nil {
		return w.unusable(err)
	}
	if err := w.report.Started(ctx, recorded(w.spec, w.target, w.disks)); err != nil {
		return fmt.Errorf("reporting the disk before writing to it: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.place.Missing > 0 {
		w.warn("a disk of the mirror is missing: what is installed now is on %s only", w.target)
	}
	w.say("%s has a pool: /home and /persistent stay", w.target)
	w.kept = true
	if err := w.persistent(p.Dir()); err != nil {
		return err
	}
	if w.divided != nil {
		if err := w.beside(p.Dir()); err != nil {
			return err
		}
	}
	if err := w.opens(ctx, p.Dir()); err != nil {
		return err
	}
	_, err = update.Run(ctx, w.update(p))
	return err
}

// has is what the disk has, which must be as it was when it was chosen, and not in use. What package divide opened or
// started of it is in use by this job.
func (w *work) has() (content.Content, error) {
	open := disk.Claim
	opened := func(p divide.Place) bool { return p.Volume != "" || p.Disk == "" } // encrypted, or an array or a volume
	if w.divided != nil && slices.ContainsFunc(w.divided.made.Parts, opened) {
		open = os.Open
	}
	f, err := open(w.target.Path)
	if err != nil {
		return content.Content{}, err
	}
	old, err := w.unchanged(f)
	return old, errors.Join(err, f.Close())
}

// unusable is an error about a pool that cannot be kept.
func (w *work) unusable(err error) error {
	_, name := w.target.NameAmong(w.disks)
	return fmt.Errorf("%w: disk %s has a pool that cannot be used: %w; to overwrite it, add --erase %s", ErrRefused,
		w.target, err, name)
}

// update is how package update adds the root.
func (w *work) update(p *pool.Pool) update.Options {
	o := update.Options{
		Pool: p, Place: w.place, Spec: w.spec, Event: w.updates, Reinstall: true,
		Open: func(ctx context.Context, have []string) (update.Image, error) {
			if w.o.Plan == nil {
				return w.img, nil
			}
			return w.o.Plan(ctx, have)
		},
		Boot: func(root string) error { return w.bootsPool(p, root) },
		Name: w.o.Name, Machine: w.o.Machine, BIOS: w.o.BIOS, Person: w.o.Person, Agent: w.o.Agent, CA: w.o.CA,
		Site: w.o.Site, GRUB: w.o.GRUB, Resolv: w.o.Resolv, Mount: w.newRoot(),
		Wire: w.o.Wire, Ways: w.o.Ways, Spool: w.o.Spool,
	}
	if w.o.Kernel != nil {
		o.Kernel = func(ctx context.Context, have []string) (update.Image, error) { return w.o.Kernel(ctx, have) }
	}
	if w.o.Settings != nil {
		o.Settings = w.own
	}
	return o
}

// newRoot is the folder where package update mounts the root that it makes.
func (w *work) newRoot() string { return filepath.Join(w.o.Mount, "root") }

// updates reports the events of package update, in the phases of an install.
func (w *work) updates(e job.Event) {
	if e.Phase == job.PhaseSwitch {
		e.Phase = job.PhaseFinish
	}
	if e.Progress == nil {
		w.phase = e.Phase
	}
	w.report.Event(e)
}

// bootsPool installs GRUB again, with the kernel arguments and the label of this job. Which root boots stays.
func (w *work) bootsPool(p *pool.Pool, root string) error {
	esp, err := p.ESP()
	if err != nil {
		return err
	}
	c, err := p.Read()
	if err != nil {
		return err
	}
	conf, err := bootloader.ReadConfig(esp)
	boot, err2 := w.bootsEncrypted(p, conf.Boot)
	if err2 != nil {
		return err2
	}
	others := slices.ContainsFunc(c.Roots, func(r pool.Root) bool { return r.Kernel && r.Name != root })
	if err != nil || c.NoBoots != nil || !others {
		// What grubenv says is of no use: InstallESP makes another one, by which the new root boots.
		for _, name := range bootenv.Names {
			_ = os.Remove(filepath.Join(esp, bootenv.Folder, name))
		}
		if len(w.place.Own) > 0 {
			return w.unusable(errors.New("no other root of it starts"))
		}
		id, err := subvolume.Filesystem(p.Dir())
		if err != nil {
			return err
		}
		conf = bootloader.Config{PoolID: uuid.UUID(id).String(), Root: newroot.Folder + "/" + root,
			Others: w.place.Shared}
	} else if err := p.Convert(); err != nil { // InstallESP keeps a grubenv, which an old grub.cfg does not look at
		return err
	}
	conf.Args, conf.Boot = newroot.Args(w.spec, w.settings), boot
	return p.Each(conf, w.spec.ID, func(h pool.Half, conf bootloader.Config) error {
		if err := bootloader.InstallESP(h.Dir, os.DirFS(w.o.GRUB), conf); err != nil {
			return err
		}
		if h.BIOS.Size == 0 {
			return nil // it boots only by UEFI
		}
		f, err := os.OpenFile(h.Disk, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("opening disk: %w", err)
		}
		at := bootloader.Extent{Start: h.BIOS.Start, Size: h.BIOS.Size}
		return errors.Join(w.installBIOS(f, at, h.SectorSize, h.Table == layout.MBR), f.Close())
	})
}

// bootsEncrypted is what GRUB needs of a pool that stays, which is encrypted if that is not nil. If the partition for
// kernels is another one than so far, it has those of all roots before grub.cfg names it.
func (w *work) bootsEncrypted(p *pool.Pool, now *bootloader.Boot) (*bootloader.Boot, error) {
	if !w.place.Encrypted() {
		return nil, nil
	}
	if now == nil {
		return nil, w.unusable(errors.New("it is encrypted, and its grub.cfg is lost: open it in the rescue shell, " +
			"and have Maintenance on the screen install the boot loader again"))
	}
	next, _ := w.dividedBoot()
	if next == nil || next.ID == now.ID {
		return now, nil
	}
	return next, p.CopyKernels()
}

// adopt makes the pool this job's, after nothing of it is mounted: the label for UEFI, then the mark. An EFI system
// partition that others share keeps its label. Of a mirror the target comes last.
func (w *work) adopt() error {
	w.enter(job.PhaseFinish, "marking %s as installed", w.target.Path)
	place, err := pool.On(w.target.Path)
	if err != nil {
		return err
	}
	for _, o := range place.Others {
		if err := w.adoptOn(o); err != nil {
			w.warn("%s has another mark than the other disk of the mirror: %v", o.Disk, err)
		}
	}
	return w.adoptOn(place)
}

// adoptOn is adopt for one disk.
func (w *work) adoptOn(place pool.Place) (err error) {
	if place.ESPID == "" {
		if err := disk.LabelFAT(place.ESP, job.ESPLabel(w.spec.ID)); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(place.Disk, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return table.Adopt(f, place.Size, place.SectorSize, place.Job, w.spec.ID)
}
