package plan

import (
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// find returns the partitions of today that an entry of the layout names, as indexes of t.parts.
func (t *target) find(e layout.Partition) (out []int) {
	for i, p := range t.parts {
		if p.fate != Extended && t.names(e, p.Partition) {
			out = append(out, i)
		}
	}
	if e.Match == nil && e.Shrink != nil && len(out) > 0 {
		out = out[len(out)-1:] // the last one
	}
	return out
}

// names says whether an entry of the layout names p.
func (t *target) names(e layout.Partition, p job.Partition) bool {
	switch {
	case e.Match != nil:
		return len(e.Match.Among([]job.Partition{p})) == 1
	case e.Shrink != nil:
		return slices.Contains(layout.Shrinkable, p.Filesystem) && p.Type != "Windows recovery" &&
			p.Type != "EFI system"
	case e.Use == layout.ESP:
		return p.Type == "EFI system"
	case e.Use == layout.BIOS:
		return p.Type == "BIOS boot"
	case e.Use == layout.Pool:
		return t.isPool(p)
	case e.Use == layout.RAID || e.Use == layout.LVM:
		kind, _ := typeOf(e.Use)
		return p.Type == kind && (t.table == layout.MBR || p.Name == tableName(e.ID)) // an MBR has no names
	}
	return p.Label == e.Made().Label
}

// isPool says whether p is a pool, or was to become one.
func (t *target) isPool(p job.Partition) bool {
	return t.have.HasPool(p) || p.Unfinished != "" || p.Name == layout.NamePool ||
		p.Filesystem == "btrfs" && p.Label == layout.PoolLabel
}

// begun says whether p is what an install left that did not finish, and e makes it again: no data of people is in it.
func begun(e layout.Partition, p job.Partition) bool {
	return p.Unfinished != "" && e.Use == layout.Pool && e.Match == nil && e.Shrink == nil && !e.Keep
}

// decide applies the row of the truth table that the entry has. It says whether the partition has to be made.
func (t *target) decide(e layout.Partition, found []int) (made bool) {
	switch {
	case len(found) > 1:
		names := ""
		for _, i := range found[:min(len(found), 4)] {
			names += "; " + what(t.parts[i].Partition)
		}
		t.add(e.ID, "give match: {number: …}", "%d partitions fit: %s", len(found), names[2:])
		return false
	case len(found) == 0 && e.Match == nil && e.Shrink == nil && !e.Keep:
		return true
	case len(found) == 0:
		t.refusePart(e, "there is none on the disk, which has %s", t.list())
		return false
	}
	p := &t.parts[found[0]]
	if p.entry != nil {
		t.refusePart(e, "%s is partition %s of the layout too", what(p.Partition), p.entry.ID)
		return false
	}
	p.entry = &e
	differs := t.differs(e, p.Partition)
	switch m := member(p.Partition); {
	case e.Size.Bytes > 0 && roundUp(e.Size.Bytes) != p.Size:
		t.refusePart(e, "%s is there, with %d bytes, and the layout says %d; leave out size to take it as it is",
			what(p.Partition), p.Size, roundUp(e.Size.Bytes))
	case m != "" && (e.Wipe || e.Shrink != nil):
		t.refusePart(e, "%s is a part of something larger (%s); take it out of that first", what(p.Partition), m)
	case e.Shrink != nil:
		t.shrink(e, p, differs)
	case e.Wipe || begun(e, p.Partition):
		t.empty(e, p)
	case e.Use == layout.RAID || e.Use == layout.LVM:
		t.add(e.ID, "leave it and its volume out of the layout, then both stay", "%s is there, and volumes are "+
			"made, and not taken over so far", what(p.Partition))
	case differs != "":
		t.add(e.ID, "to lose it, write wipe: true", "%s is there, and %s", what(p.Partition), differs)
	default:
		t.keep(e, p)
	}
	return false
}

// differs is what of the layout p does not agree with, in words.
func (t *target) differs(e layout.Partition, p job.Partition) string {
	want := e.Filesystem
	if e.Use != "" {
		want = e.Outside()
	}
	switch {
	case e.Use == layout.Pool && e.LUKS == nil && p.Filesystem == layout.Encrypted && t.have.HasPool(p):
		return "it is an encrypted pool: to keep it, give it luks as when it was made"
	case want != "" && want != p.Filesystem:
		return "the layout says " + want
	case e.Use == layout.Root || e.Use == layout.Persistent:
		return "the layout makes it again, with a system of its own"
	case e.Label != "" && e.Label != p.Label:
		return "the layout says the label " + e.Label
	case e.Use == layout.Pool && p.Unfinished != "":
		return "its install did not finish"
	case e.Use == layout.Pool && !t.have.HasPool(p):
		return "it has no mark of an install that Griddle finished"
	case e.Use == layout.ESP && p.Type != "EFI system":
		return "it is not an EFI system partition"
	case e.Use == layout.BIOS && p.Type != "BIOS boot":
		return "it is not a BIOS boot partition"
	}
	return ""
}

// espNeeds is how much space an ESP that is shared must have: shim, GRUB, its configuration, and as much again.
const espNeeds = 16 * mib

// keep keeps what the layout mentions, if it can be used.
func (t *target) keep(e layout.Partition, p *part) {
	switch {
	case e.Use == layout.ESP && p.Size-p.Used < espNeeds:
		t.refusePart(e, "%s is too full: %s are free, and %s are needed; delete files in it that no system needs",
			what(p.Partition), job.Bytes(p.Size-p.Used), job.Bytes(espNeeds))
	case e.Use == layout.Boot && p.Size < layout.MinBoot:
		t.refusePart(e, "%s is too small: it has %s, and %s are needed", what(p.Partition), job.Bytes(p.Size),
			job.Bytes(layout.MinBoot))
	case e.Use == layout.Pool && p.Size < t.pool:
		has, needs := apart(p.Size, t.pool)
		t.refusePart(e, "%s is too small: it has %s, and %s are needed", what(p.Partition), has, needs)
	}
}

// empty gives p a new filesystem.
func (t *target) empty(e layout.Partition, p *part) {
	p.fate = Emptied
	if least := t.least(e); p.Size < least {
		has, needs := apart(p.Size, least)
		t.refusePart(e, "%s is too small: it has %s, and %s are needed", what(p.Partition), has, needs)
	}
	kind, _ := typeOf(e.Use)
	if logical(t.table, p.Number) && p.Type != kind {
		t.refusePart(e, "%s is a logical partition of type %s, and needs type %s; change the type first, for example "+
			"with fdisk", what(p.Partition), job.Printable(p.Type), kind)
	}
}

// list is the partitions of today, for people.
func (t *target) list() string {
	out := ""
	for i, p := range t.parts {
		if i == 8 {
			return out + "; …"
		}
		out += "; " + what(p.Partition)
	}
	if out == "" {
		return "no partitions"
	}
	return out[2:]
}
