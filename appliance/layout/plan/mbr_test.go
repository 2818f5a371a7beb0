package plan

import (
	"fmt"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// old is a disk with an MBR: a primary partition, and a logical one in an extended.
func old() job.Disk {
	return job.Disk{Path: "/dev/sda", Serial: "O1", Size: 100 * gib, SectorSize: 512, Table: "mbr", TableID: "1234abcd",
		Partitions: []job.Partition{
			{Number: 1, Start: 63 * 512, Size: 20*gib - 63*512, Type: "NTFS or exFAT", Filesystem: "ntfs", Label: "XP",
				Minimum: 5 * gib},
			{Number: 2, Start: 20 * gib, Size: 20 * gib, Type: "extended"},
			{Number: 5, Start: 20*gib + mib, Size: 10 * gib, Type: "Linux filesystem", Filesystem: "ext4",
				Label:   "more",
				Minimum: gib},
			{Number: 6, Start: 31 * gib, Size: gib, Type: "NTFS or exFAT", Filesystem: "ntfs", Label: "files",
				Minimum: mib},
		}}
}

func TestMBR(t *testing.T) {
	p := planned(t, form(layout.Form{Layout: layout.WholeDisk, Table: layout.MBR}), blank(20*gib, 512))
	if p.Steps[0].Table != "mbr" || !p.Steps[1].Active || p.Steps[2].Active || p.Disks[0].After[0].Start != mib ||
		p.Disks[0].After[0].Name+p.Disks[0].After[1].Name != "" {
		t.Errorf("the plan is\n%s", p.Text(80))
	}
	// Beside others: primary ones, outside of the extended one.
	p = planned(t, form(layout.Form{Layout: layout.FreeSpace}), old())
	var got []string
	for _, a := range p.Disks[0].After {
		got = append(got, fmt.Sprint(a.Number, " ", a.Start/mib, " ", a.Fate))
	}
	if want := "1 0 stays, 2 20480 extended, 5 20481 stays, 6 31744 stays, 3 40960 made, 4 41220 " +
		"made"; strings.Join(got,
		", ") != want {
		t.Errorf("the disk will have %s, want %s", strings.Join(got, ", "), want)
	}
	full := old()
	full.Partitions = append(full.Partitions, job.Partition{Number: 3, Start: 99 * gib, Size: gib / 2})
	refused(t, "four", form(layout.Form{Layout: layout.FreeSpace}), "partition pool: its table has no entry left: "+
		"an MBR has four",
		full)

	// Logical partitions stay, and can be emptied where their type does not change.
	doc := of(layout.Partition{ID: "d", Use: layout.Data, Match: &layout.Which{Number: 5}, Wipe: true}, esp, pool)
	if p := planned(t, doc, old()); !strings.Contains(fates(p.Disks[0]), `ext4 "d" emptied`) {
		t.Errorf("the disk will have %s", fates(p.Disks[0]))
	}
	doc.Disks[0].Partitions[0].Match.Number = 6
	refused(t, "type", doc, "is a logical partition of type NTFS or exFAT, and needs type Linux filesystem", old())
	refused(t, "shrink", form(layout.Form{Layout: layout.Shrunk, Partition: &layout.Which{Number: 5},
		Shrink: &layout.Shrink{To: size(5 * gib)}}), "logical partition, and these are not shrunk", old())
	stray := old()
	stray.Partitions[3].Start = 50 * gib
	refused(t, "stray", form(layout.Form{Layout: layout.FreeSpace}), "partition 6 is in no extended one", stray)
	out := old()
	out.Partitions[3].Size = 15 * gib
	refused(t, "out", form(layout.Form{Layout: layout.FreeSpace}), "overlap", out)
	last := old()
	last.Partitions = last.Partitions[:1]
	p = planned(t, form(layout.Form{Layout: layout.Shrunk, Shrink: &layout.Shrink{To: size(10 * gib)}}), last)
	if a := p.Disks[0].After; a[0].Size != 10*gib || a[1].Start != 10*gib+mib {
		t.Errorf("the plan is\n%s", p.Text(80))
	}
}

// TestLargeMBR: an MBR has 32 bits for sectors, which are 2 TiB or 16 TiB.
func TestLargeMBR(t *testing.T) {
	for sector, reach := range map[int]int64{512: 2 << 40, 4096: 16 << 40} {
		p := planned(t, form(layout.Form{Layout: layout.WholeDisk, Table: layout.MBR}), blank(20<<40, sector))
		last := p.Disks[0].After[1]
		if last.Start+last.Size != reach || len(p.Notes) != 1 || !strings.Contains(p.Notes[0],
			"an MBR reaches only the first") {
			t.Errorf("the plan is\n%s", p.Text(80))
		}
	}
	doc := of(esp, layout.Partition{ID: "pool", Use: layout.Pool, Size: size(2 << 40)})
	doc.Disks[0].Table = layout.MBR
	refused(t, "too large", doc, "partition pool: it needs 2.20 TB", blank(20<<40, 512))
}
