// Package newdisk takes a new disk into the mirror of an installed machine, in the place of one that is missing, on the
// system that runs or from the boot image.
//
// Call Take with the place of the pool and the new disk, or Complete for what an interruption left.
//
//	plan       a table with room for both kinds of firmware, an EFI system partition, one for the pool (package plan)
//	divide     it is carried out (package divide); the disk must be blank, or given up by a person
//	replace    the kernel copies to the new partition what the missing disk had (btrfs-replace(8))
//	mark       the new partition gets the mark of a finished install; the copy has cleared that of the division
//	complete   GRUB is installed on both disks, the firmware has an entry for each and none for the old disk, they say
//	           the same about what boots, and what was written to one disk only is copied to the other one
//	           (btrfs-balance(8), with the filter soft)
//
// The disks of the pool lose nothing at any time: they are only read, but for the filesystem's own record of its
// devices. If the copy is interrupted, the kernel continues it when the pool is mounted the next time, and Complete
// does the rest. If it is interrupted before the copy, the new disk has nothing of value.
package newdisk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/bootloader"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
	"griddle/initramfs/divide"
	"griddle/initramfs/nvram"
	"griddle/initramfs/pool"
	"griddle/initramfs/superblock"
)

// Options say what is taken in. All fields are required.
type Options struct {
	Pool func() (pool.Place, error) // the place of the pool, as it is now
	Disk job.Disk                   // the new disk, one of those that Find finds
	// Erase gives up what is on the new disk. Without it the disk must be blank.
	Erase bool
	// Find looks at all disks of the machine now.
	Find func(context.Context) ([]job.Disk, error)
	// Bootloader installs GRUB on all disks of a pool.
	Bootloader func(*pool.Pool) error
	// Firmware opens what the UEFI firmware starts; without UEFI it is nvram.ErrNone.
	Firmware func() (*nvram.Vars, error)
	Say      func(text string) // what is done, for a person
}

// ErrWhole means that no disk of the mirror is missing.
var ErrWhole = errors.New("no disk of the mirror is missing")

// Take takes the disk in. Errors before the first write say so.
func Take(ctx context.Context, o Options) error {
	place, err := o.Pool()
	if err != nil {
		return err
	}
	missing, err := missingOf(place)
	if err != nil {
		return fmt.Errorf("%w; nothing was written", err)
	}
	p, err := o.plan(ctx, place, missing.Size)
	if err != nil {
		return fmt.Errorf("taking %s into the mirror: %w; nothing was written", o.Disk, err)
	}
	o.Say(p.Text(100))
	made, err := divide.Run(ctx, divide.Options{Job: place.Job, Plan: p, Journal: none{}, Find: o.Find, Sys: "/sys",
		Progress: func(now divide.Progress) { o.Say(fmt.Sprintf("step %d of %d: %s", now.Step, now.Steps, now.Text)) }})
	if err != nil {
		return err
	}
	o.Say("the data of the mirror is copied to " + made.Pool.Node)
	err = with(place, func(p *pool.Pool) error {
		return run(ctx, "btrfs", "replace", "start", "-B", "-f", fmt.Sprint(missing.ID), made.Pool.Node, p.Dir())
	})
	if err != nil {
		return err
	}
	if err := Complete(ctx, o); err != nil {
		return err
	}
	if _, err := o.Firmware(); err == nil && !missing.Loader {
		o.Say("the firmware may still have a boot entry for the disk that was replaced, and it is not known which " +
			"one: delete it in its setup, or with efibootmgr")
	}
	return nil
}

// missing is the device that a mirror lacks.
type missing struct {
	ID     uint64
	Size   int64 // bytes
	Loader bool  // the pool knows by which partition the firmware started from it
}

func missingOf(place pool.Place) (out missing, err error) {
	err = with(place, func(p *pool.Pool) error {
		m, err := p.Mirror()
		if err != nil {
			return err
		}
		d := m.Missing()
		if d == nil {
			return ErrWhole
		}
		out = missing{d.ID, d.Size, p.KnowsMissing()}
		return nil
	})
	return out, err
}

// with opens the pool for a moment.
func with(place pool.Place, do func(*pool.Pool) error) error {
	p, err := pool.Open(place)
	if err != nil {
		return err
	}
	return errors.Join(do(p), p.Close())
}

// plan is how the new disk is divided: as an install divides a whole disk, with room for what the missing one had.
func (o Options) plan(ctx context.Context, place pool.Place, size int64) (plan.Plan, error) {
	d := o.Disk
	if !o.Erase && !d.Blank() {
		return plan.Plan{}, fmt.Errorf("it is not blank: it holds %s; to lose all of that, add --erase", d.Loss())
	}
	for _, used := range append(place.Others, place) {
		if used.Disk == d.Path {
			return plan.Plan{}, errors.New("it is a disk of the mirror already")
		}
	}
	disks, err := o.Find(ctx)
	if err != nil {
		return plan.Plan{}, err
	}
	f := layout.Form{Version: layout.Version, Layout: layout.WholeDisk, Match: job.Match{Path: d.Path},
		Table: place.Table, Wipe: o.Erase}
	return plan.Make(plan.Input{Layout: f.Document(), Disks: disks, Pool: size})
}

// none is the journal of a division that is begun again after an interruption.
type none struct{}

// Record keeps nothing.
func (none) Record(context.Context, divide.Entry) error { return nil }

// Complete does for a mirror whose disks are all there what is still to do: marks, GRUB, and data that is on one disk
// only. Where there is nothing to do it changes nothing but GRUB's files.
func Complete(ctx context.Context, o Options) error {
	place, err := o.Pool()
	if err != nil {
		return err
	}
	if place.Missing > 0 {
		return errors.New("a disk of the mirror is missing: give a new one, as in `griddle-agent mirror /dev/sdb`")
	}
	for _, half := range append(place.Others, place) {
		if err := finish(half); err != nil {
			return err
		}
	}
	return with(place, func(p *pool.Pool) error {
		o.Say("GRUB is installed on all disks of the mirror")
		if err := o.Bootloader(p); err != nil {
			return err
		}
		o.entries(p)
		if err := p.Agree(); err != nil {
			return err
		}
		m, err := p.Mirror()
		if err != nil || m.Single == 0 {
			return err
		}
		o.Say("what is on one disk only is copied to the other one")
		return run(ctx, "btrfs", "balance", "start", "-dconvert=raid1,soft", "-mconvert=raid1,soft", p.Dir())
	})
}

// entries has the firmware start GRUB from each disk of the mirror, and from no other that it once had. Where that
// fails, a person can choose the loader: data on both disks is worth more than an entry.
func (o Options) entries(p *pool.Pool) {
	vars, err := o.Firmware()
	var done []string
	if err == nil {
		done, err = p.Entries(vars)
	}
	for _, text := range done {
		o.Say(text)
	}
	if err != nil && !errors.Is(err, nvram.ErrNone) {
		o.Say(fmt.Sprintf("the firmware does not have boot entries for all disks of the mirror: %v; add one for %s "+
			"of each disk in its setup", err, bootloader.Fallback))
	}
}

// finish gives a disk of the mirror the mark of a finished install, if it does not have it.
func finish(place pool.Place) (err error) {
	f, err := os.OpenFile(place.Disk, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	c, err := content.Inspect(f, place.Size, place.SectorSize)
	if err != nil || c.Finished() != "" {
		return err
	}
	if c.Unfinished() == "" { // the copy has cleared it
		number, err := numberOf(place, c)
		if err == nil {
			err = table.Begin(f, place.Size, place.SectorSize, number, place.Job)
		}
		if err != nil {
			return err
		}
	}
	return table.Mark(f, place.Size, place.SectorSize, place.Job)
}

// numberOf is the number of the pool's partition on a disk.
func numberOf(place pool.Place, c content.Content) (int, error) {
	f, err := os.Open(place.Pool)
	if err != nil {
		return 0, fmt.Errorf("opening the pool: %w", err)
	}
	defer f.Close()
	s, ok := superblock.Read(f)
	for _, p := range c.Partitions {
		if ok && p.UUID == s.Filesystem {
			return p.Number, nil
		}
	}
	return 0, fmt.Errorf("looking for the pool on %s: no partition has it", place.Disk)
}

// run runs a program of btrfs-progs.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("running %s: it is missing in this system: install the package btrfs-progs, or do this in "+
			"the rescue shell of a network boot", name)
	}
	if err != nil {
		return fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
