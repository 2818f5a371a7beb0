package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"griddle/appliance/job"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/bootloader/bootenv"
	"griddle/initramfs/disk"
	"griddle/initramfs/disk/table"
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
	f, old, err := w.claim()
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
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
	if err := w.openFormer(ctx, p.Dir()); err != nil {
		return err
	}
	if err := w.startVolumes(ctx, p.Dir()); err != nil {
		return err
	}
	_, err = update.Run(ctx, w.update(p))
	return err
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
	conf.Args = newroot.Args(w.spec, w.settings)
	conf = w.place.Config(conf, w.spec.ID)
	images := os.DirFS(w.o.GRUB)
	if err := bootloader.InstallESP(esp, images, conf); err != nil {
		return err
	}
	at := bootloader.Extent{Start: w.place.BIOS.Start, Size: w.place.BIOS.Size}
	if at.Size == 0 {
		return nil // it boots only by UEFI
	}
	f, err := os.OpenFile(w.target.Path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening disk: %w", err)
	}
	return errors.Join(w.installBIOS(f, at), f.Close())
}

// adopt makes the pool this job's, after nothing of it is mounted: the label for UEFI, then the mark. An EFI system
// partition that others share keeps its label.
func (w *work) adopt() (err error) {
	w.enter(job.PhaseFinish, "marking %s as installed", w.target.Path)
	place, err := pool.On(w.target.Path)
	if err == nil && place.ESPID == "" {
		err = disk.LabelFAT(place.ESP, job.ESPLabel(w.spec.ID))
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(w.target.Path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return table.Adopt(f, w.target.Size, w.target.SectorSize, w.target.Installed, w.spec.ID)
}
