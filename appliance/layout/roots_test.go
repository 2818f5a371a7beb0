package layout

import (
	"strings"
	"testing"
)

// apart is a document without a mistake whose systems are in partitions of their own.
func apart() Document {
	gib := Size{Bytes: 20 << 30}
	return Document{Version: 1, Disks: []Disk{{ID: "main", Match: Match{Size: Largest}, Partitions: []Partition{
		{ID: "esp", Use: ESP},
		{ID: "one", Use: Root, Size: gib, Filesystem: "xfs"},
		{ID: "two", Use: Root, Size: gib},
		{ID: "both", Use: Persistent, Size: Size{Rest: true}},
	}}}}
}

func TestRoots(t *testing.T) {
	t.Parallel()
	d := apart()
	if all := d.Check(); len(all) > 0 || !d.HasRoots() || good().HasRoots() {
		t.Fatalf("Check of a good document = %v, HasRoots %v", all, d.HasRoots())
	}
	if p := d.Disks[0].Partitions[2].Made(); p.Filesystem != "ext4" || p.Label != "two" {
		t.Errorf("Made = %+v, want an ext4 with its ID as label", p)
	}
	const need = "; have two partitions with use: root and one with use: persistent"
	for _, c := range []struct {
		name   string
		change func(d *Disk, p []Partition)
		want   string
	}{
		{"one root", func(d *Disk, p []Partition) { d.Partitions = append(p[:1:1], p[2], p[3]) },
			"disks[0].partitions: it has 1 partitions with use: root and 1 with use: persistent" + need},
		{"nothing shared", func(d *Disk, p []Partition) { d.Partitions = p[:3] },
			"disks[0].partitions: it has 2 partitions with use: root and 0 with use: persistent" + need},
		{"only shared", func(d *Disk, p []Partition) { d.Partitions = append(p[:1:1], p[3]) },
			"disks[0].partitions: it has 0 partitions with use: root and 1 with use: persistent" + need},
		{"no esp", func(d *Disk, p []Partition) { d.Partitions = p[1:] },
			"disks[0].partitions: the disk of the roots has no esp, where GRUB has its configuration; add {id: esp, " +
				"use: esp}"},
		{"a pool too", func(_ *Disk, p []Partition) { p[0] = Partition{ID: "esp", Use: Pool, Size: p[1].Size} },
			"disks[0].partitions: the disk of the pool has no esp, where GRUB has its configuration; add {id: esp, " +
				"use: esp}\ndisks: the layout has a pool, and roots that are partitions; leave out one of them\n" +
				"disks[0].partitions: the disk of the roots has no esp, where GRUB has its configuration; add {id: " +
				"esp, use: esp}"},
		{"btrfs", func(_ *Disk, p []Partition) { p[1].Filesystem = "btrfs" },
			"disks[0].partitions[1].filesystem: a partition with use: root has ext4 or xfs"},
		{"shared xfs", func(_ *Disk, p []Partition) { p[3].Filesystem = "xfs" },
			"disks[0].partitions[3].filesystem: a partition with use: persistent has ext4"},
		{"mount", func(_ *Disk, p []Partition) { p[3].Mount = "/srv" },
			"disks[0].partitions[3].mount: only partitions with use: data or home are mounted"},
		{"keep", func(_ *Disk, p []Partition) { p[1].Keep, p[1].Size = true, Size{} },
			"disks[0].partitions[1]: a layout makes roots and what they share, and cannot keep them so far; leave " +
				"out keep and match, or write wipe: true"},
		{"match", func(_ *Disk, p []Partition) { p[3].Match, p[3].Size = &Which{Number: 4}, Size{} },
			"disks[0].partitions[3]: a layout makes roots and what they share, and cannot keep them so far; leave " +
				"out keep and match, or write wipe: true"},
		{"match, wipe", func(_ *Disk, p []Partition) {
			p[3].Match, p[3].Size, p[3].Wipe = &Which{Number: 4}, Size{}, true
		}, ""},
		{"label", func(_ *Disk, p []Partition) { p[1].Label = "root" },
			"disks[0].partitions[1].label: Griddle gives the label of a partition with use: root; leave it out"},
	} {
		d := apart()
		c.change(&d.Disks[0], d.Disks[0].Partitions)
		var got []string
		for _, m := range d.Check() {
			got = append(got, m.Error())
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, strings.Join(got, "\n"), c.want)
		}
	}
	two := apart()
	two.Disks = append(two.Disks, apart().Disks[0])
	two.Disks[1].ID, two.Disks[1].Match.Size = "more", Smallest
	for i := range two.Disks[1].Partitions {
		two.Disks[1].Partitions[i].ID += "-b"
	}
	if all := two.Check(); len(all) != 1 || !strings.Contains(all[0].Error(), "another disk has ") {
		t.Errorf("roots on two disks: %v", all)
	}
}
