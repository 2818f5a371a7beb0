package dividetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

// Asked is a layout, and what it gives up of the disks of today.
type Asked struct {
	layout.Document
	Wiped map[string]bool // by the serial of a disk: everything on it
	// Parts are the partitions that are emptied or shrunk, by the serial of their disk and their number.
	Parts map[string]map[int]plan.Fate
}

func (a *Asked) part(serial string, number int, fate plan.Fate) {
	if a.Parts[serial] == nil {
		a.Parts[serial] = map[int]plan.Fate{}
	}
	a.Parts[serial][number] = fate
}

// unfinished are the pools of a disk whose installs did not finish: no one has data in them, and a pool may take their
// place.
func (a *Asked) unfinished(d job.Disk) {
	for _, p := range d.Partitions {
		if p.Unfinished != "" {
			a.part(d.Serial, p.Number, plan.Emptied)
		}
	}
}

// Ways are layout.Forms in the order in which they are tried. That of a whole disk, which always fits, is mostly the
// last one, and a mirror rarely the first one.
func Ways(r *rand.Rand) []string {
	all := slices.Clone(layout.Forms)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if at := slices.Index(all, layout.WholeDisk); r.IntN(8) > 0 {
		all = append(slices.Delete(all, at, at+1), layout.WholeDisk)
	}
	if at := slices.Index(all, layout.Mirror); r.IntN(3) > 0 {
		all = append(slices.Delete(all, at, at+1), layout.Mirror)
	}
	return all
}

// Ask makes a layout for the first of some disks, as a machine reports them, and sometimes for the second one too.
func Ask(r *rand.Rand, way string, disks []job.Disk) Asked {
	d := disks[0]
	a := Asked{Wiped: map[string]bool{}, Parts: map[string]map[int]plan.Fate{}}
	f := layout.Form{Version: 1, Layout: way, Match: job.Match{Serial: d.Serial}}
	one := job.Partition{Number: 1}
	if len(d.Partitions) > 0 {
		one = pick(r, d.Partitions...)
	}
	which := pick(r, layout.Which{Number: one.Number}, layout.Which{Number: one.Number, Filesystem: one.Filesystem})
	switch f.Layout {
	case layout.WholeDisk:
		f.Table, f.Wipe = pick(r, "", "mbr"), len(d.Partitions) > 0 || r.IntN(2) == 0
		a.Wiped[d.Serial] = f.Wipe
	case layout.Mirror:
		with := disks[len(disks)-1] // of a machine with one disk it is the same, and the layout does not fit
		f.Table, f.Wipe, f.With = pick(r, "", "mbr"), r.IntN(4) > 0, &job.Match{Serial: with.Serial}
		a.Wiped[d.Serial], a.Wiped[with.Serial] = f.Wipe, f.Wipe
	case layout.OnePartition:
		f.Partition, f.Wipe = &which, true
		a.part(d.Serial, one.Number, plan.Emptied)
	case layout.Shrunk:
		for _, p := range d.Partitions {
			if p.Minimum > 0 && p.Minimum < p.Size && r.IntN(3) > 0 {
				one = p
			}
		}
		f.Partition = &layout.Which{Number: one.Number}
		room := max(mib, one.Size-one.Minimum)
		f.Shrink = pick(r, &layout.Shrink{To: sized(max(mib, one.Minimum))},
			&layout.Shrink{To: sized(max(mib, one.Minimum) + between(r, 1, room))},
			&layout.Shrink{By: sized(between(r, room/2, room))}, &layout.Shrink{Leave: sized(between(r, mib, room))})
		a.part(d.Serial, one.Number, plan.Shrunk)
	}
	a.Document = f.Document()
	main := &a.Disks[0]
	if r.IntN(2) == 0 {
		main.Partitions = append(main.Partitions, more(r, "x")...)
	}
	if !main.Wipe && len(d.Partitions) > 0 && r.IntN(3) == 0 {
		other := pick(r, d.Partitions...)
		main.Partitions = append(main.Partitions, layout.Partition{ID: "other", Use: pick(r, layout.Data, layout.Swap),
			Wipe: true, Match: &layout.Which{Number: other.Number}})
		a.part(d.Serial, other.Number, plan.Emptied)
	}
	if !main.Wipe && f.Layout != layout.KeepPool {
		a.unfinished(d)
	}
	if len(disks) > 1 && f.Layout != layout.Mirror && r.IntN(2) == 0 {
		second := layout.Disk{ID: "second", Match: job.Match{Serial: disks[1].Serial}, Wipe: r.IntN(2) == 0,
			Partitions: more(r, "y")}
		if second.Wipe {
			second.Table = pick(r, "", "gpt", "mbr")
		}
		if f.Layout == layout.FreeSpace && r.IntN(2) == 0 { // the other half of a mirror
			second.Partitions = append([]layout.Partition{{ID: "bios2", Use: layout.BIOS},
				{ID: "esp2", Use: layout.ESP}, {ID: "pool2", Use: layout.Pool, Size: sized(between(r, 128*mib, gib))}},
				second.Partitions...)
			a.unfinished(disks[1])
		}
		a.Wiped[disks[1].Serial] = second.Wipe
		a.Disks = append(a.Disks, second)
	}
	return a
}

// more are some partitions with data, home or swap.
func more(r *rand.Rand, id string) (out []layout.Partition) {
	for i := range 1 + r.IntN(3) {
		p := layout.Partition{ID: fmt.Sprint(id, i), Use: pick(r, layout.Data, layout.Data, layout.Swap),
			Size: pick(r, sized(between(r, mib, 2*gib)), sized(between(r, 300*mib, gib)),
				layout.Size{Percent: 1 + r.IntN(30)})}
		if p.Use == layout.Data {
			p.Filesystem = pick(r, "", "ext4", "xfs", "btrfs", "vfat")
			if p.Filesystem != "vfat" {
				p.Mount = "/srv/" + p.ID
			}
		}
		if r.IntN(2) == 0 {
			p.Label = pick(r, "DATA", "a-b_c", "Größe", "12345678901") + fmt.Sprint(i)
			if p.Filesystem == "vfat" {
				p.Label = fmt.Sprint("STICK", i)
			}
		}
		out = append(out, p)
	}
	return out
}

func sized(n int64) layout.Size { return layout.Size{Bytes: n} }
