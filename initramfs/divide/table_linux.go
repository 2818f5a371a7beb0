package divide

import (
	"context"
	"errors"
	"fmt"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/entries"
)

// saveTable keeps all bytes of a table in the journal.
func saveTable(ctx context.Context, r *run, i int, h *held) (err error) {
	f, t, err := r.table(i, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return r.record(ctx, Entry{Step: i + 1, State: Begun, Table: t.Saved()})
}

// table claims a disk and reads its table, which must be that of the condition of step i.
func (r *run) table(i int, h *held) (device, *entries.Table, error) {
	f, err := r.claim(h)
	if err != nil {
		return nil, nil, err
	}
	t, err := entries.Read(f, h.disk.Size, h.disk.SectorSize)
	if err == nil {
		d := h.disk
		d.Table, d.TableID = t.Kind(), t.ID()
		want := r.plan.Steps[i].If
		if err = sameTable(want, d, r.tableID(i, r.plan.Steps[i].Disk)); err == nil {
			err = sameEntries(want.Entries, ofTable(t))
		}
		err = changed(h.disk, err)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, t, nil
}

// ofTable are the entries of a table as a plan has them.
func ofTable(t *entries.Table) (out []plan.Entry) {
	for _, e := range t.Entries() {
		out = append(out, plan.Entry{Number: e.Number, Start: e.Start, Size: e.Size, Type: e.Type, Name: e.Name})
	}
	return sorted(out)
}

// edit does set-size, add-entry and set-type. The journal has both tables before anything is written, so that what an
// interruption leaves is completed by them and by nothing else.
func edit(ctx context.Context, r *run, i int, h *held) error {
	s := r.plan.Steps[i]
	if s.Do == plan.SetSize {
		if err := r.fits(ctx, i, h); err != nil {
			return err
		}
	}
	if err := r.rewrite(ctx, i, h); err != nil {
		return err
	}
	if s.Do == plan.SetSize {
		return r.fitted(ctx, i)
	}
	return nil
}

// rewrite brings the table of a disk from before step i to after it, and tells the kernel.
func (r *run) rewrite(ctx context.Context, i int, h *held) (err error) {
	s, p := r.plan.Steps[i], r.past[i]
	var f device
	if p.begun {
		if f, err = r.claim(h); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := entries.Recover(f, h.disk.Size, h.disk.SectorSize, p.table, p.after); err != nil {
			return changed(h.disk, err)
		}
	} else {
		var t *entries.Table
		if f, t, err = r.table(i, h); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		before := t.Saved()
		if err := change(t, s); err != nil {
			return err
		}
		if err := sameEntries(after(s), ofTable(t)); err != nil {
			return fmt.Errorf("this is a defect of Griddle, please report it: %w", err)
		}
		e := Entry{Step: i + 1, State: Begun, Table: before, After: t.Saved()}
		if s.Do == plan.AddEntry {
			if e.Sum, err = sum(f, s.Start, s.Size); err != nil {
				return err
			}
		}
		if err := r.record(ctx, e); err != nil {
			return err
		}
		if err := t.Write(f); err != nil {
			return err
		}
	}
	uncache(f)
	t, err := entries.Read(f, h.disk.Size, h.disk.SectorSize)
	if err == nil {
		err = sameEntries(after(s), ofTable(t))
	}
	if err != nil {
		return fmt.Errorf("reading what was written: %w", err)
	}
	return r.announce(h, after(s))
}

// change does the step on a table in memory.
func change(t *entries.Table, s plan.Step) error {
	switch s.Do {
	case plan.SetSize:
		return t.SetSize(s.Number, s.Size)
	case plan.SetType:
		return t.SetType(s.Number, s.Type, s.Name)
	}
	return t.Add(entries.Entry{Number: s.Number, Start: s.Start, Size: s.Size, Type: s.Type, Name: s.Name,
		Active: s.Active})
}
