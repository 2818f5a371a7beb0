package plan

import (
	"fmt"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// Identity is what tells a disk from all others of its machine, and from another one in its place.
type Identity struct {
	Serial     string `json:"serial,omitempty"`
	WWN        string `json:"wwn,omitempty"`
	Place      string `json:"place,omitempty"` // job.Disk.Place; only where there is neither serial nor WWN
	Size       int64  `json:"size"`            // bytes
	SectorSize int    `json:"sectorSize"`      // logical, bytes
	Table      string `json:"table,omitempty"` // of today: "gpt", "mbr", the name of another one, or ""
	TableID    string `json:"tableId,omitempty"`
}

func identity(d job.Disk) Identity {
	i := Identity{Serial: d.Serial, WWN: d.WWN, Size: d.Size, SectorSize: d.SectorSize, Table: d.Table,
		TableID: d.TableID}
	if d.Serial == "" && d.WWN == "" {
		i.Place = d.Place
	}
	return i
}

// Is says whether d is the disk of the plan, by what stays when its table is changed.
func (i Identity) Is(d job.Disk) bool {
	o := identity(d)
	o.Table, o.TableID = i.Table, i.TableID
	return o == i
}

// identities refuses disks that are not to be told from others, and disks that two entries of the layout mean.
func (m *maker) identities() {
	seen := map[string]string{}
	for _, t := range m.targets {
		if first, twice := seen[t.have.Path]; twice {
			t.refuse("it is the disk of %s too; make match of one of them narrower", first)
		}
		seen[t.have.Path] = t.want.ID
		for _, d := range m.Disks {
			if d.Path == t.have.Path {
				continue
			}
			switch i := identity(t.have); {
			case d.Serial == i.Serial && d.WWN == i.WWN && d.Serial+d.WWN != "":
				t.refuse("%s has the same serial and WWN: they may be one disk by two ways, or the serials are wrong; "+
					"take one of them away", describe(d))
			case i.Serial == "" && i.WWN == "" && i.Is(d):
				t.refuse("%s has the same size and place, and neither of them has a serial: after the next start "+
					"no one can say which is which; take one of them away", describe(d))
			}
		}
	}
}

// target is a disk of the layout, and how it is divided.
type target struct {
	want     layout.Disk
	have     job.Disk
	pool     int64 // bytes that the pool must have
	fresh    bool  // the table is made
	table    string
	parts    []part // of today, and made ones
	notes    []string
	refusals []error
}

// part is a partition of today that has a fate, or one that is made.
type part struct {
	job.Partition
	entry *layout.Partition // of the layout; nil where that does not mention it
	fate  Fate
	to    int64 // the size of tomorrow
	// mirrored says that another disk has the other half of its filesystem, which is made on both at once.
	mirrored bool
}

// end is where the partition of tomorrow ends.
func (p part) end() int64 { return p.Start + p.to }

// describe is a disk in an error. The path is what people type.
func describe(d job.Disk) string { return "disk " + d.String() }

// whole is what, with the system that is in the partition.
func whole(p job.Partition) string {
	if s := job.Sentence(p.System); s != "" {
		return what(p) + ", " + s
	}
	return what(p)
}

// what is a partition for people.
func what(p job.Partition) string {
	kind := job.Printable(p.Filesystem)
	if kind == "" {
		kind = job.Printable(p.Type)
	}
	if kind == "" {
		kind = "unknown content"
	}
	if l := job.Printable(p.Label); l != "" {
		kind += fmt.Sprintf(" %q", l)
	}
	return fmt.Sprintf("partition %d, %s, %s", p.Number, kind, job.Bytes(p.Size))
}
