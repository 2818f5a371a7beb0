package divide

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/entries"
)

// makeTable gives a disk a new, empty table. The first thing that it writes is the mark of the job in the last sector
// of the disk: one sector, which is old or new. With the mark the disk belongs to the job, whatever else is on it. It
// goes when the new table is written, whose ID the journal has.
func makeTable(ctx context.Context, r *run, i int, h *held) (err error) {
	s, d := r.plan.Steps[i], h.disk
	f, err := r.claim(h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if r.past[i].begun {
		if err := r.ownTable(i, h, f); err != nil {
			return err
		}
	}
	t, err := entries.New(s.Table, d.Size, d.SectorSize)
	if err != nil {
		return err
	}
	if err := r.record(ctx, Entry{Step: i + 1, State: Begun, TableID: t.ID()}); err != nil {
		return err
	}
	mark, err := content.BegunSector(r.Job, d.SectorSize)
	if err != nil {
		return err
	}
	last := (d.Size/int64(d.SectorSize) - 1) * int64(d.SectorSize)
	if err := write(f, mark, last); err != nil {
		return fmt.Errorf("marking disk as begun: %w", err)
	}
	if err := wipeDisk(f, h.planned, last); err != nil {
		return err
	}
	if err := t.Write(f); err != nil {
		return err
	}
	uncache(f)
	if now := content.ReadTable(f, d.Size, d.SectorSize); now.Table != s.Table || now.Damaged != "" ||
		len(now.Partitions) > 0 {
		return fmt.Errorf("reading what was written: the disk has a table of kind %q: %s", now.Table, now.Damaged)
	}
	return r.announce(h, nil)
}

// ownTable says whether what is on a disk is what makeTable left of step i.
func (r *run) ownTable(i int, h *held, f device) error {
	c, err := content.Inspect(f, h.disk.Size, h.disk.SectorSize)
	if err != nil {
		return err
	}
	id := c.GUID
	if t, err := entries.Read(f, h.disk.Size, h.disk.SectorSize); err == nil {
		id = t.ID()
	}
	if c.Begun == r.Job || id != "" && slices.Contains(r.past[i].tableIDs, id) {
		return nil
	}
	return r.holds(i, r.plan.Steps[i], h.disk)
}

// wipeDisk fills with zeros what of a disk, and of the partitions that it had, has signatures. The mark of the job is
// in its last sector, and stays.
func wipeDisk(f device, planned plan.Disk, mark int64) error {
	parts := append([]plan.Part{{Size: planned.Size}}, planned.Before...)
	for _, p := range parts {
		end := min(p.Start+p.Size, mark)
		if p.Start < 0 || p.Start >= end {
			continue
		}
		if err := wipe(f, p.Start, p.Start, end); err != nil {
			return err
		}
	}
	return nil
}
