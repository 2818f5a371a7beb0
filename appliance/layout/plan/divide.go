package plan

import (
	"cmp"
	"slices"
	"strings"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

const mib = 1 << 20

// divide decides what becomes of the table and of each partition: the two truth tables of package layout.
func (t *target) divide() {
	d := t.have
	if d.SectorSize != 512 && d.SectorSize != 4096 {
		t.refuse("it has sectors of %d bytes; only 512 and 4096 are supported", d.SectorSize)
		return
	}
	if d.Size > 1<<60 || d.Size < 4*mib {
		t.refuse("it has %d bytes; only 4 MiB to 1 EiB are supported", d.Size)
		return
	}
	if !t.whole() {
		return
	}
	if !t.fresh {
		t.today()
		if len(t.refusals) > 0 {
			return
		}
	}
	var made []layout.Partition
	for _, e := range t.want.Partitions {
		if e.Use == layout.BIOS && t.table == layout.MBR {
			continue // GRUB is in front of the first partition
		}
		if found := t.find(e); t.decide(e, found) {
			made = append(made, e)
		}
	}
	t.onePool()
	if len(t.refusals) == 0 {
		t.place(made)
	}
	if len(t.refusals) == 0 {
		t.bootable()
	}
}

// whole decides about the disk, and says whether its partitions can be decided about.
func (t *target) whole() bool {
	d := t.have
	t.fresh, t.table = t.want.Wipe || d.Blank(), cmp.Or(t.want.Table, layout.GPT)
	if t.fresh {
		return true
	}
	const wipe = "to lose everything on it, write wipe: true"
	switch {
	case t.want.Blank:
		t.add("", wipe, "it is not blank: it holds %s", d.Loss())
	case d.Unfinished != "" && !slices.ContainsFunc(d.Partitions, func(p job.Partition) bool {
		return p.Unfinished == d.Unfinished // then only that partition belongs to the install
	}):
		t.add("", wipe, "an install on it did not finish")
	case d.Damaged != "":
		t.add("", "repair it, or "+wipe, "its %s partition table is damaged: %s", job.Printable(d.Table),
			job.Sentence(d.Damaged))
	case d.Table == "" || d.Signature != "":
		t.add("", wipe, "it holds %s", d.Loss())
	case d.Table != layout.GPT && d.Table != layout.MBR:
		t.add("", wipe, "its partition table is of another kind: %s", job.Printable(d.Table))
	case t.want.Table != "" && t.want.Table != d.Table:
		t.add("", wipe, "it has a table of kind %s, and the layout says %s", d.Table, t.want.Table)
	default:
		t.table = d.Table
		return true
	}
	return false
}

// today takes over the partitions that the disk has, and refuses a table that cannot be right.
func (t *target) today() {
	from, to := t.usable()
	sector := int64(t.have.SectorSize)
	for _, p := range t.have.Partitions {
		p.Used, p.Minimum = min(max(0, p.Used), p.Size), min(max(0, p.Minimum), p.Size)
		fate := Stays
		if p.Type == "extended" {
			fate = Extended
		}
		t.parts = append(t.parts, part{Partition: p, fate: fate, to: p.Size})
		switch {
		case p.Number < 1 || p.Start < from || p.Size <= 0 || p.Size > to-p.Start || p.Start%sector+p.Size%sector != 0:
			t.refuse("its partition table is damaged: partition %d is not within the disk", p.Number)
		case p.Type == "GPT protective":
			t.refuse("its partition table is damaged: it is what is left of a GPT")
		case dynamic(p):
			t.refuse("it is a dynamic disk of Windows or a part of its Storage Spaces, which are not changed")
		}
	}
	if len(t.refusals) > 0 {
		return
	}
	for i, p := range t.parts {
		framed := !logical(t.table, p.Number)
		for _, q := range t.parts[:i] {
			frame := q.fate == Extended && !framed && p.end() <= q.end()
			framed = framed || frame
			switch {
			case p.Number == q.Number:
				t.refuse("its partition table is damaged: two partitions have number %d", p.Number)
			case p.Start < q.end() && !frame:
				t.refuse("its partition table is damaged: partitions %d and %d overlap", q.Number, p.Number)
			}
		}
		if !framed {
			t.refuse("its partition table is damaged: partition %d is in no extended one", p.Number)
		}
	}
}

// dynamic says whether Windows divides the disk by itself, and this is one of the partitions that say so.
func dynamic(p job.Partition) bool {
	return p.Filesystem == "ldm" || strings.Contains(p.Type, "Windows dynamic disk") || p.Type == "Windows Storage "+
		"Spaces"
}

// logical says whether the partition is within the extended one of an MBR.
func logical(table string, number int) bool { return table == layout.MBR && number > 4 }

// hasSystem says whether an entry of the layout is what a disk is known by as that of the system: the pool, or what
// roots share that are partitions.
func hasSystem(e layout.Partition) bool { return e.Use == layout.Pool || e.Use == layout.Persistent }

// onePool refuses a second pool on the disk: no one could say which of the two starts.
func (t *target) onePool() {
	if !slices.ContainsFunc(t.want.Partitions, hasSystem) {
		return
	}
	for _, p := range t.parts {
		marked := t.have.HasPool(p.Partition) || p.Unfinished != ""
		if marked && p.fate != Emptied && (p.entry == nil || p.entry.Use != layout.Pool) {
			t.refuse("%s is a pool that the layout does not use, and a disk can have one; use it, or empty it with "+
				"wipe: true", what(p.Partition))
		}
	}
}

// usable is from where to where the table of today lets partitions be, in bytes.
func (t *target) usable() (from, to int64) {
	d, sector := t.have, int64(t.have.SectorSize)
	sectors := d.Size / sector
	if t.table == layout.MBR {
		return sector, min(sectors, 1<<32) * sector
	}
	entries := 128 * 128 / sector // sectors of the 128 entries
	from, to = (2+entries)*sector, (sectors-1-entries)*sector
	if d.UsableTo > d.UsableFrom && d.UsableFrom > 0 {
		from, to = max(from, d.UsableFrom), min(to, d.UsableTo)
	}
	return from, to
}

// members are the filesystems by the names of blkid, and the types of partitions, that are parts of something larger.
var (
	members = []string{"bcache", "ceph_bluestore", "drbd", "stratis", "vdo", "DM_snapshot_cow", "oracleasm", "VMFS"}
	parted  = []string{"Linux RAID", "Linux LVM", "ZFS", "Ceph OSD", "VMware VMFS", "Apple Core Storage"}
)

// member says what a partition is a part of, or "".
func member(p job.Partition) string {
	switch f := p.Filesystem; {
	case strings.HasSuffix(f, "_member") || slices.Contains(members, f):
		return job.Printable(f)
	case f == "" && slices.Contains(parted, p.Type):
		return p.Type
	}
	return ""
}
