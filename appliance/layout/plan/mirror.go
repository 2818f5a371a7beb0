package plan

import (
	"fmt"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Member is a partition of a step that is of several disks at once, beside the one that the step itself names.
type Member struct {
	Disk   string    `json:"disk"` // Disk.ID
	If     Condition `json:"if"`
	Number int       `json:"number"`
	Start  int64     `json:"start"` // bytes
	Size   int64     `json:"size"`  // bytes
}

// Each are the steps of one disk each that make up s: itself, and one for each member.
func (s Step) Each() []Step {
	out := []Step{s}
	for _, m := range s.With {
		one := s
		one.Disk, one.If, one.Number, one.Start, one.Size, one.With = m.Disk, m.If, m.Number, m.Start, m.Size, nil
		out = append(out, one)
	}
	return out
}

// everywhere are the steps of the plan, each on one disk.
func (p Plan) everywhere() (out []Step) {
	for _, s := range p.Steps {
		out = append(out, s.Each()...)
	}
	return out
}

// half is one half of a mirror: the partition of the pool on a disk.
type half struct {
	on   *target
	part *part
}

// made says whether the half gets a new filesystem.
func (h half) made() bool { return h.part.fate == Made || h.part.fate == Emptied }

// mirror decides about a pool on two disks: either all of it is made, or all of it stays.
func (m *maker) mirror() {
	var all []half
	for _, t := range m.targets {
		for i, p := range t.parts {
			if p.entry != nil && p.entry.Use == layout.Pool {
				all = append(all, half{t, &t.parts[i]})
			}
		}
	}
	if len(all) != 2 || len(m.refusals) > 0 {
		return
	}
	a, b := all[0], all[1]
	switch {
	case a.made() && b.made():
		if fit(a, b) {
			combine(a, b)
			return
		}
		m.refusals = append(m.refusals, a.on.refusals...)
	case a.made() || b.made():
		b.on.refusePart(*b.part.entry, "one half of a mirror would be made, and the other one stays; a mirror is "+
			"made of two halves that are new")
	case a.part.UUID == "" || a.part.UUID != b.part.UUID:
		b.on.refusePart(*b.part.entry, "it is another pool than that of disk %s, and a mirror is one pool",
			a.on.want.ID)
	}
	m.refusals = append(m.refusals, b.on.refusals...)
}

// fit refuses a half that mkfs.btrfs finds too small. It makes chunks of up to a tenth of both halves together, at most
// 1 GiB, and each needs its place on both; a test in package divide has the bounds.
func fit(a, b half) bool {
	small, large := a, b
	if small.part.to > large.part.to {
		small, large = b, a
	}
	least := min(roundUp(large.part.to/4), 1280*mib)
	if small.part.to >= least {
		return true
	}
	has, needs := apart(small.part.to, least)
	small.on.refusePart(*small.part.entry, "too small: it has %s, and as a mirror of %s on disk %s it needs %s", has,
		job.Bytes(large.part.to), large.on.want.ID, needs)
	return false
}

// combine makes two halves one mirror, and notes what a person may not expect of it.
func combine(a, b half) {
	a.part.mirrored, b.part.mirrored = true, true
	a.on.notes = append(a.on.notes, fmt.Sprintf("disks %s and %s: the pool is a mirror: each disk has all of it, and "+
		"the machine starts from each of them", a.on.want.ID, b.on.want.ID))
	small, large := a, b
	if small.part.to > large.part.to {
		small, large = b, a
	}
	if unused := large.part.to - small.part.to; unused >= 1<<30 {
		large.on.note("%s of partition %d stay unused, because the other half of the mirror is smaller",
			job.Bytes(unused), large.part.Number)
	}
}

// mirrored is the step that makes the filesystem of a mirror. It comes last: all its partitions are there then.
func mirrored(all []*writer) []Step {
	var out *Step
	for _, w := range all {
		for _, p := range w.parts {
			if !p.mirrored {
				continue
			}
			s := w.step(MakeMirror, p)
			s.If.Cleared = true
			if out != nil {
				out.With = append(out.With, Member{Disk: s.Disk, If: s.If, Number: s.Number, Start: s.Start,
					Size: s.Size})
				continue
			}
			made := p.entry.Made()
			s.Filesystem, s.Label = made.Filesystem, made.Label
			out = &s
		}
	}
	if out == nil {
		return nil
	}
	return []Step{*out}
}
