package install

import (
	"context"
	"encoding/json"
	"fmt"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
	"griddle/initramfs/divide"
)

// Journal keeps what package divide records of a job with a layout where it survives a power cut of this computer: on
// the server.
type Journal interface {
	// Record returns when a record is kept.
	Record(ctx context.Context, record json.RawMessage) error
	// Records are those of the job so far, in their order.
	Records(ctx context.Context) ([]json.RawMessage, error)
}

// divided is what a job with a layout has beyond others.
type divided struct {
	plan plan.Plan
	past []divide.Entry
	made divide.Made

	records []json.RawMessage // those with the plan and the tables of before
}

// layout carries out the plan of a layout and installs into its pool.
func (w *work) layout(ctx context.Context) error {
	if err := checkJob(w.spec, w.img); err != nil {
		return err
	}
	if err := w.makePlan(ctx); err != nil {
		return err
	}
	pool := w.divided.pool()
	if w.target.Installed == w.spec.ID {
		w.already = true
		w.say("this job is already finished on %s", w.target.Path)
		return nil
	}
	w.warnOfBIOS()
	w.warnOfHealth()
	if err := w.secrets(ctx); err != nil {
		return err
	}
	if pool.Fate == plan.Stays {
		if err := w.checkPool(); err != nil {
			return err
		}
		if err := w.startsVolumes(ctx, nil); err != nil {
			return err
		}
		if err := w.divide(ctx); err != nil {
			return err
		}
		return w.keep(ctx)
	}
	if err := w.startsHere(); err != nil {
		return err
	}
	manifest, err := w.prepare(ctx)
	if err != nil {
		return err
	}
	if err := w.startsVolumes(ctx, manifest); err != nil {
		return err
	}
	if err := w.divide(ctx); err != nil {
		return err
	}
	if w.divided.own() {
		return w.ownSystem(ctx, manifest)
	}
	if err := w.fill(); err != nil {
		return err
	}
	return w.system(ctx, manifest)
}

// makePlan takes the plan that the journal has, and else makes one of what is on the disks now, to which a person must
// have agreed.
func (w *work) makePlan(ctx context.Context) error {
	if w.o.Journal == nil || w.o.Look == nil {
		return fmt.Errorf("%w: the job has a layout, and this agent cannot carry one out: serve a newer boot image",
			ErrRefused)
	}
	doc, err := layout.Decode(w.spec.Layout)
	if err != nil {
		return fmt.Errorf("%w: the layout of the job: %w", ErrRefused, err)
	}
	d := &divided{}
	w.divided = d
	if d.past, err = w.past(ctx); err != nil {
		return err
	}
	if len(d.past) > 0 {
		d.plan = *d.past[0].Plan
		w.say("the disks are divided further, where an earlier start of this job was interrupted")
	} else {
		for _, want := range doc.Disks {
			if picked, err := want.Match.Pick(w.disks); err == nil {
				w.sample(ctx, picked)
			}
		}
		d.plan, err = plan.Make(plan.Input{Layout: doc, Disks: w.disks, Pool: job.DiskNeeds(w.img.Size())})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	// Also to the plan of the journal: the order may be another one than that which it was begun for.
	if err := agreed(w.spec, d.plan); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	w.target, err = d.disk(d.planned(), w.disks)
	return err
}

// past reads the journal of the job.
func (w *work) past(ctx context.Context) ([]divide.Entry, error) {
	records, err := w.o.Journal.Records(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for what was done of this layout before: %w", err)
	}
	out := make([]divide.Entry, len(records))
	for i, r := range records {
		if err := json.Unmarshal(r, &out[i]); err != nil {
			return nil, fmt.Errorf("%w: record %d of this job: %w; give the machine a new job", ErrRefused, i+1, err)
		}
		if err := w.divided.remember(w.o, out[i], r); err != nil {
			return nil, err
		}
	}
	if len(out) > 0 && out[0].Plan == nil {
		return nil, fmt.Errorf("%w: the first record of this job has no plan; give the machine a new job", ErrRefused)
	}
	return out, nil
}

// agreed refuses a plan to which no one agreed. One that loses and shrinks nothing needs no agreement.
func agreed(spec job.Spec, p plan.Plan) error {
	switch {
	case spec.Plan == p.Hash:
		return nil
	case spec.Plan != "":
		return fmt.Errorf("the disks are no longer as they were when the plan was agreed to: it was %s, and now it "+
			"would be %s; look at the plan with `griddle machine plan`, and order it again",
			job.Sentence(spec.Plan), p.Hash)
	case len(p.Losses) > 0:
		return fmt.Errorf("by the layout, this would be lost, and no one agreed to it: %s; look at the plan "+
			"with `griddle machine plan`, and order it again", p.Losses[0])
	case len(p.Shrinks) > 0:
		return fmt.Errorf("by the layout, this would become smaller, and no one agreed to it: %s; look at the plan "+
			"with `griddle machine plan`, and order it again", p.Shrinks[0])
	}
	return nil
}

// pool is the partition that the system is in, or that its roots share, as planned; of a mirror that of the first
// disk.
func (d *divided) pool() plan.Part {
	if d.own() {
		return d.part(layout.Persistent)
	}
	return d.part(layout.Pool)
}

// part is the planned partition with a use on the disk of the pool, zero if there is none.
func (d *divided) part(use string) plan.Part {
	for _, p := range d.planned().After {
		if p.Use == use {
			return p
		}
	}
	return plan.Part{}
}

// bios is the BIOS boot partition on a planned disk, zero if there is none. The layout need not mention it.
func biosOf(planned plan.Disk) plan.Part {
	for _, p := range planned.After {
		if p.Type == "BIOS boot" {
			return p
		}
	}
	return plan.Part{}
}

// planned is the disk of the pool, of a mirror the first one.
func (d *divided) planned() plan.Disk {
	if all := d.pools(); len(all) > 0 {
		return all[0]
	}
	return plan.Disk{}
}

// table is the kind of table that a planned disk will have.
func (d *divided) table(planned plan.Disk) string {
	for _, s := range d.plan.Steps {
		if s.Do == plan.MakeTable && s.Disk == planned.ID {
			return s.Table
		}
	}
	return planned.Table
}

// disk is a disk of the plan, as it is now.
func (d *divided) disk(planned plan.Disk, disks []job.Disk) (job.Disk, error) {
	for _, have := range disks {
		if planned.Is(have) {
			return have, nil
		}
	}
	return job.Disk{}, fmt.Errorf("%w: the disk of the plan, %s, is not in this machine any more", ErrRefused,
		job.Disk{Path: planned.Path, Size: planned.Size, Serial: planned.Serial, Model: planned.Model})
}

// checkPool refuses a pool that this machine must not keep.
func (w *work) checkPool() error {
	d := w.target
	if d.Installed == "" {
		return fmt.Errorf("%w: the pool on %s has no finished install: to make it again, write wipe: true", ErrRefused,
			d)
	}
	return checkOwner(w.spec, d, w.disks)
}

// startsHere refuses, before anything is written, a layout from which the firmware that runs now starts nothing.
func (w *work) startsHere() error {
	for _, planned := range w.divided.pools() {
		disk, err := w.divided.disk(planned, w.disks)
		if err != nil {
			return err
		}
		if !w.o.BIOS || disk.SectorSize != 512 {
			continue
		}
		if w.divided.table(planned) != layout.MBR && biosOf(planned).Number == 0 {
			return fmt.Errorf("%w: this machine runs a BIOS, and would not start from %s: a GPT needs a partition for "+
				"GRUB; add {id: bios, use: bios} to the layout, or switch the machine to UEFI", ErrRefused, disk)
		}
		if err := w.roomBesideLoaders(half{disk: disk, planned: planned}); err != nil {
			return err
		}
	}
	return nil
}
