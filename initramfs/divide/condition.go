package divide

import (
	"cmp"
	"fmt"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
)

// holds checks the condition of s on its disk as it is now: step i, or what that does on one of its disks.
func (r *run) holds(i int, s plan.Step, d job.Disk) error {
	return changed(d, differs(s, r.planned(s.Disk), d, r.tableID(i, s.Disk)))
}

// holdsTable checks of the condition of s what it says of the table.
func (r *run) holdsTable(i int, s plan.Step, d job.Disk) error {
	if d.Damaged != "" {
		return changed(d, fmt.Errorf("its partition table is damaged: %s", job.Sentence(d.Damaged)))
	}
	return changed(d, sameTable(s.If, d, r.tableID(i, s.Disk)))
}

// changed says that a disk is not as it was planned, if err says so.
func changed(d job.Disk, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w; nothing more was written to it", ErrChanged, d, err)
}

// tableID is the ID of the table that a step before step i gave a disk, "" if none did.
func (r *run) tableID(i int, id string) string {
	for j := i - 1; j >= 0; j-- {
		if s := r.plan.Steps[j]; s.Disk == id && s.Do == plan.MakeTable {
			ids := r.past[j].tableIDs
			return ids[len(ids)-1]
		}
	}
	return ""
}

// differs says what of a step's condition does not hold on a disk, nil if all of it holds. made is the ID of a table
// that an earlier step made, or "".
func differs(s plan.Step, planned plan.Disk, d job.Disk, made string) error {
	if s.Do == plan.MakeTable {
		return lost(s, planned, d)
	}
	if d.Damaged != "" {
		return fmt.Errorf("its partition table is damaged: %s", job.Sentence(d.Damaged))
	}
	if d.Signature != "" {
		return fmt.Errorf("it has a filesystem of the whole disk: %s", job.Printable(d.Signature))
	}
	if err := sameTable(s.If, d, made); err != nil {
		return err
	}
	if s.Number == 0 || s.Do == plan.AddEntry {
		return nil
	}
	at := slices.IndexFunc(d.Partitions, func(p job.Partition) bool { return p.Number == s.Number })
	if at < 0 {
		return fmt.Errorf("it has no partition %d", s.Number)
	}
	p := d.Partitions[at]
	if s.If.Unfinished != "" && p.Unfinished != s.If.Unfinished {
		return fmt.Errorf("partition %d does not have the unfinished install of job %s that was planned: that was "+
			"finished since, or there is another one", s.Number, s.If.Unfinished)
	}
	if s.If.Cleared || fateOf(planned, s.Number) != plan.Made {
		return sameFilesystem(p, s.If.Filesystem, s.If.UUID)
	}
	return nil
}

func fateOf(planned plan.Disk, number int) plan.Fate {
	for _, p := range planned.After {
		if p.Number == number {
			return p.Fate
		}
	}
	return ""
}

func sameFilesystem(p job.Partition, filesystem, uuid string) error {
	switch {
	case p.Filesystem != filesystem:
		return fmt.Errorf("partition %d has %s, and %s was planned", p.Number, kind(p.Filesystem), kind(filesystem))
	case uuid != "" && p.UUID != uuid:
		return fmt.Errorf("partition %d has another %s than was planned: its UUID is %q, not %q", p.Number,
			kind(filesystem), job.Printable(p.UUID), uuid)
	}
	return nil
}

func kind(filesystem string) string {
	if filesystem == "" {
		return "no filesystem that is known"
	}
	return job.Printable(filesystem)
}

// sameTable compares the table of a disk with a condition.
func sameTable(want plan.Condition, d job.Disk, made string) error {
	id := cmp.Or(want.TableID, made)
	switch {
	case d.Table != want.Table:
		return fmt.Errorf("it has a table of kind %q, and %q was planned", job.Printable(d.Table), want.Table)
	case id != "" && d.TableID != "" && d.TableID != id:
		return fmt.Errorf("its table has the ID %s, and %s was planned", job.Printable(d.TableID), id)
	}
	return sameEntries(want.Entries, entriesOf(d))
}

// entriesOf are the entries of a table as a plan has them.
func entriesOf(d job.Disk) (out []plan.Entry) {
	for _, p := range d.Partitions {
		out = append(out, plan.Entry{Number: p.Number, Start: p.Start, Size: p.Size, Type: p.Type, Name: p.Name})
	}
	return sorted(out)
}

func sorted(entries []plan.Entry) []plan.Entry {
	slices.SortStableFunc(entries, func(a, b plan.Entry) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Number, b.Number))
	})
	return entries
}

// sameEntries says in words what two lists of entries differ in. Both are sorted.
func sameEntries(want, have []plan.Entry) error {
	for i := range max(len(want), len(have)) {
		switch {
		case i >= len(have):
			return fmt.Errorf("partition %d is missing", want[i].Number)
		case i >= len(want):
			return fmt.Errorf("it has a partition %d that was not planned", have[i].Number)
		case want[i] != have[i]:
			return fmt.Errorf("it has %s, and %s was planned", words(have[i]), words(want[i]))
		}
	}
	return nil
}

func words(e plan.Entry) string {
	return fmt.Sprintf("partition %d at byte %d with %d bytes, type %q, name %q", e.Number, e.Start, e.Size,
		job.Printable(e.Type), job.Printable(e.Name))
}

// lost compares a disk on which everything is given up with what the plan says of it: no one agreed to lose more.
func lost(s plan.Step, planned plan.Disk, d job.Disk) error {
	if err := sameTable(s.If, d, ""); err != nil {
		return err
	}
	if len(planned.Before) == 0 {
		if !d.Blank() {
			return fmt.Errorf("it was blank, and has %s", d.Loss())
		}
		return nil
	}
	for _, before := range planned.Before {
		if before.Number == 0 {
			if d.Signature != before.Filesystem || d.Label != before.Label {
				return fmt.Errorf("it has %s, and %s was planned", d.Loss(), kind(before.Filesystem))
			}
			continue
		}
		for _, p := range d.Partitions {
			if p.Number != before.Number || p.Start != before.Start {
				continue
			}
			if err := sameFilesystem(p, before.Filesystem, before.UUID); err != nil {
				return err
			}
		}
	}
	return nil
}

// after is the table that a disk has after a step.
func after(s plan.Step) []plan.Entry {
	out := slices.Clone(s.If.Entries)
	switch s.Do {
	case plan.MakeTable:
		return nil
	case plan.AddEntry:
		out = append(out, plan.Entry{Number: s.Number, Start: s.Start, Size: s.Size, Type: s.Type, Name: s.Name})
	case plan.SetSize, plan.SetType:
		for i := range out {
			switch {
			case out[i].Number != s.Number:
			case s.Do == plan.SetSize:
				out[i].Size = s.Size
			default:
				out[i].Type, out[i].Name = s.Type, s.Name
			}
		}
	}
	return sorted(out)
}
