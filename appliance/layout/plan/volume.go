package plan

import (
	"slices"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Volume is a device that is made of partitions, or of earlier volumes of the plan. All of it is new.
type Volume struct {
	ID         string   `json:"id"` // in the layout
	Kind       Kind     `json:"kind"`
	On         []Device `json:"on"`
	Size       int64    `json:"size"`            // bytes that it has for what is made in it
	Group      string   `json:"group,omitempty"` // of Logical: ID and name of its volume group
	Use        string   `json:"use,omitempty"`   // as layout.Content.Use; "" for a volume group
	Filesystem string   `json:"filesystem,omitempty"`
	Label      string   `json:"label,omitempty"`
	Mount      string   `json:"mount,omitempty"`
}

// Kind is how a volume is made of its members.
type Kind string

// The kinds of volumes.
const (
	Raid1   Kind = "raid1"     // an array of the kernel (md), level 1, metadata 1.2, data from RaidOffset on
	Group   Kind = "lvm-group" // a volume group of LVM
	Logical Kind = "lvm"       // a linear logical volume of one
)

// Device is what a volume is made of: a partition, or another volume.
type Device struct {
	Disk   string `json:"disk,omitempty"`   // Disk.ID
	Number int    `json:"number,omitempty"` // of the partition
	Volume string `json:"volume,omitempty"` // Volume.ID
}

// What the kinds keep for themselves, and the unit in which a group gives space out; in bytes.
const (
	RaidOffset  = 4 * mib // before the data in each member of an array: superblock, bitmap, list of bad blocks
	GroupOffset = mib     // before the extents in each member of a group: label and metadata
	Extent      = 4 * mib
)

// volumes plans the arrays and volume groups of the layout.
func (m *maker) volumes() (out []Volume) {
	for _, r := range m.Layout.Raids {
		v := Volume{ID: r.ID, Kind: Raid1}
		least := int64(0)
		for _, id := range r.Devices {
			t, p := m.member(id)
			if size := p.to - RaidOffset; least == 0 || size < least {
				least = size
			}
			v.On = append(v.On, Device{Disk: t.want.ID, Number: p.Number})
		}
		v.holds(r.ID, least, r.Content)
		if t, _ := m.member(r.Devices[0]); r.Use != layout.LVM {
			t.large(r.ID, v)
		}
		out = append(out, v)
	}
	for _, g := range m.Layout.Groups {
		out = append(out, m.group(g, out)...)
	}
	return out
}

// member is the partition of tomorrow that has an ID of the layout.
func (m *maker) member(id string) (*target, part) {
	for _, t := range m.targets {
		for _, p := range t.parts {
			if p.entry != nil && p.entry.ID == id {
				return t, p
			}
		}
	}
	return m.targets[0], part{} // the layout would not be valid
}

// holds is what is made in the volume.
func (v *Volume) holds(id string, size int64, c layout.Content) {
	v.Size = size
	if v.Use = c.Use; c.Use == layout.LVM {
		return
	}
	made := c.Partition(id).Made()
	v.Filesystem, v.Label, v.Mount = made.Filesystem, made.Label, made.Mount
}

// group plans a volume group on partitions and on earlier arrays, and its volumes.
func (m *maker) group(g layout.Group, arrays []Volume) []Volume {
	v := Volume{ID: g.ID, Kind: Group}
	var first *target
	for _, id := range g.Devices {
		t, p := m.member(id)
		size, on := p.to, Device{Disk: t.want.ID, Number: p.Number}
		if at := slices.IndexFunc(arrays, func(v Volume) bool { return v.ID == id }); at >= 0 {
			size, on = arrays[at].Size, Device{Volume: id}
			t, _ = m.member(m.Layout.Raids[at].Devices[0])
		}
		if first == nil {
			first = t
		}
		if first.have.SectorSize != t.have.SectorSize { // LVM refuses it (lvm.conf, allow_mixed_block_sizes)
			first.refusePart(layout.Partition{ID: g.ID}, "its devices are on disks with sectors of %d and of %d bytes",
				first.have.SectorSize, t.have.SectorSize)
		}
		extents := (size - GroupOffset) / Extent * Extent
		if extents < Extent {
			t.refusePart(layout.Partition{ID: id}, "too small for a volume group: it gets %s, and %s are needed",
				job.Bytes(size), job.Bytes(GroupOffset+Extent))
		}
		v.Size += max(0, extents)
		v.On = append(v.On, on)
	}
	if where := m.hasGroup(g.ID); where != "" {
		first.refusePart(layout.Partition{ID: g.ID}, "%s has a volume group with this name, which stays; take "+
			"another id",
			where)
	}
	return append([]Volume{v}, first.logicals(g, v)...)
}

// hasGroup says where a volume group has a name, of those that stay.
func (m *maker) hasGroup(name string) string {
	is := func(filesystem, label string) bool { return filesystem == "LVM2_member" && label == name }
	for _, d := range m.Disks {
		at := slices.IndexFunc(m.targets, func(t *target) bool { return t.have.Path == d.Path })
		if at >= 0 && m.targets[at].fresh {
			continue
		}
		if is(d.Signature, d.Label) {
			return describe(d)
		}
		for _, p := range d.Partitions {
			if is(p.Filesystem, p.Label) {
				return what(p) + " of " + describe(d)
			}
		}
	}
	return ""
}

// logicals are the volumes of a group. Sizes are rounded up to whole extents, shares and the rest down.
func (t *target) logicals(g layout.Group, group Volume) (out []Volume) {
	left, rest := group.Size, -1
	for i, l := range g.Volumes {
		v := Volume{ID: l.ID, Kind: Logical, Group: g.ID, On: []Device{{Volume: g.ID}}}
		n := (l.Size.Bytes + Extent - 1) / Extent * Extent
		switch {
		case l.Size.Rest:
			rest, n = i, 0
		case l.Size.Percent > 0:
			n = max(Extent, group.Size/100*int64(l.Size.Percent)/Extent*Extent)
		}
		if n > left {
			needs, has := apart(n, left)
			t.refusePart(layout.Partition{ID: l.ID}, "it needs %s, and the volume group %s has %s left", needs, g.ID,
				has)
			return nil
		}
		left -= n
		v.holds(l.ID, n, l.Content)
		out = append(out, v)
	}
	if rest >= 0 {
		out[rest].Size = left
	}
	for _, v := range out {
		t.large(v.ID, v)
	}
	return out
}

// large refuses a volume that is too small for its filesystem.
func (t *target) large(id string, v Volume) {
	least := t.least(layout.Partition{Use: v.Use, Filesystem: v.Filesystem})
	if v.Size < max(least, 1) {
		gets, needs := apart(max(v.Size, 0), least)
		t.refusePart(layout.Partition{ID: id}, "too small: it gets %s, and needs %s", gets, needs)
	}
}

// volumeSteps are the steps that make volumes, in an order in which each has its members.
func (p Plan) volumeSteps() (out []Step) {
	for _, v := range p.Volumes {
		s := Step{Do: MakeVolume, Volume: v.ID, Kind: v.Kind, Size: v.Size}
		out = append(out, s)
		if v.Filesystem != "" {
			s.Do = Clear
			out = append(out, s)
			s.Do, s.Filesystem, s.Label, s.If.Cleared = MakeFilesystem, v.Filesystem, v.Label, true
			out = append(out, s)
		}
	}
	return out
}
