package layout

import (
	"fmt"
	"strings"
	"testing"
)

// good is a document without a mistake, which the cases of TestCheck change.
func good() Document {
	return Document{Version: 1, Disks: []Disk{{ID: "main", Match: Match{Size: Largest}, Partitions: []Partition{
		{ID: "windows", Match: &Which{Label: "Windows"}, Filesystem: "ntfs",
			Shrink: &Shrink{By: Size{Bytes: 60 << 30}}},
		{ID: "esp", Use: ESP},
		{ID: "pool", Use: Pool, Size: Size{Rest: true}},
		{ID: "srv", Use: Data, Size: Size{Percent: 20}, Mount: "/srv"},
	}}}}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if all := good().Check(); len(all) > 0 {
		t.Fatalf("Check of a good document = %v", all)
	}
	gib := Size{Bytes: 1 << 30}
	const gone = "the disk is wiped or blank, and no partition is on it; leave it out, or leave out wipe or blank of " +
		"the disk"
	for _, c := range []struct {
		name   string
		change func(d *Disk, parts []Partition)
		want   string
	}{
		{"version", nil, "version: this program knows version 1"},
		{"no pool", func(_ *Disk, p []Partition) { p[2].Use = Data },
			"disks: the layout has 0 partitions with use: pool, and needs one, or two for a mirror"},
		{"two pools", func(_ *Disk, p []Partition) { p[3] = Partition{ID: "two", Use: Pool, Size: gib} },
			"disks: the layout has 2 partitions with use: pool on one disk; for a mirror give each of two disks one " +
				"partition with use: pool"},
		{"no esp", func(_ *Disk, p []Partition) { p[1] = Partition{ID: "esp", Use: BIOS} },
			"disks[0].partitions: the disk of the pool has no esp, where GRUB has its configuration; add {id: esp, " +
				"use: esp}"},
		{"no match", func(d *Disk, _ []Partition) { d.Match = Match{} },
			"disks[0].match: it does not say which disk is meant; write match: {size: largest} for the largest disk"},
		{"pattern", func(d *Disk, _ []Partition) { d.Match = Match{Serial: "*?"} },
			`disks[0].match.serial: "*?" fits everything; leave it out, or write a part of the name`},
		{"range", func(d *Disk, _ []Partition) { d.Match.Size = "2T..1T" },
			`disks[0].match.size: "2T..1T" is not largest, smallest or a range such as 100G..2T`},
		{"path", func(d *Disk, _ []Partition) { d.Match.Path = "sda" },
			`disks[0].match.path: "sda" does not begin with /dev/`},
		{"transport", func(d *Disk, _ []Partition) { d.Match.Transport = "floppy" },
			`disks[0].match.transport: "floppy" is not one of nvme, sata, scsi, virtio, mmc, usb, firewire`},
		{"table", func(d *Disk, _ []Partition) { d.Table = "dos" }, `disks[0].table: "dos" is not gpt or mbr`},
		{"no partitions", func(d *Disk, _ []Partition) { d.Partitions = nil },
			"disks[0].partitions: 0 partitions are not between 1 and 64\n" +
				"disks: the layout has 0 partitions with use: pool, and needs one, or two for a mirror"},
		{"ids", func(d *Disk, p []Partition) { d.ID, p[1].ID, p[2].ID = "A", "pool", "pool" },
			`disks[0].id: "A" is not a name: a to z, 0 to 9 and hyphens, a letter first, at most 32` + "\n" +
				`disks[0].partitions[2].id: "pool" is the name of disks[0].partitions[1] too`},
		{"all of it", func(_ *Disk, p []Partition) { p[3].Size.Percent, p[1].Size = 60, Size{Percent: 50} },
			"disks[0].partitions[3].size: the sizes up to here are more than 100% of the disk"},
		{"two rests", func(_ *Disk, p []Partition) { p[3].Size = Size{Rest: true} },
			"disks[0].partitions[3].size: another partition of the disk has the rest"},
		{"two shrinks", func(_ *Disk, p []Partition) { p[3] = p[0]; p[3].ID = "again" },
			"disks[0].partitions[3].shrink: only one partition of a disk can be shrunk at a time; shrink the other " +
				"one " +
				"by another layout first"},
		{"wiped disk", func(d *Disk, p []Partition) { d.Wipe = true; p[1].Keep = true; p[0].Shrink = nil },
			"disks[0].partitions[0].match: " + gone + "\ndisks[0].partitions[1].keep: " + gone},
		{"wiped and blank", func(d *Disk, p []Partition) { d.Wipe, d.Blank, d.Partitions = true, true, p[1:] },
			"disks[0].blank: a disk that is blank has nothing to wipe; leave out one of them"},
		{"blank disk", func(d *Disk, p []Partition) { d.Blank, d.Partitions = true, p[1:]; p[1].Wipe = true },
			"disks[0].partitions[0].wipe: " + gone},
		{"bios on mbr", func(d *Disk, p []Partition) { d.Table = MBR; p[3] = Partition{ID: "bios", Use: BIOS} },
			"disks[0].partitions[3].use: a disk with an MBR has no BIOS boot partition; leave the partition out"},
		{"for nothing", func(_ *Disk, p []Partition) { p[3] = Partition{ID: "x"} },
			"disks[0].partitions[3]: it does not say what the partition is for, or which one is meant; add use: esp, " +
				"bios, pool, data, home, swap, boot, root, persistent, raid, lvm; or match"},
		{"unknown use", func(_ *Disk, p []Partition) { p[3].Use = "boat"; p[3].Mount = "" },
			`disks[0].partitions[3].use: "boat" is not one of esp, bios, pool, data, home, swap, boot, root, ` +
				`persistent, raid, lvm`},
		{"pool with ext4", func(_ *Disk, p []Partition) { p[2].Filesystem = "ext4" },
			"disks[0].partitions[2].filesystem: a pool is a btrfs; for ext4, have two partitions with use: root and " +
				"one with use: persistent in its place"},
		{"data with ntfs", func(_ *Disk, p []Partition) { p[3].Filesystem = "ntfs" },
			"disks[0].partitions[3].filesystem: a partition with use: data has ext4 or xfs or btrfs or vfat"},
		{"bios with ext4", func(_ *Disk, p []Partition) { p[3] = Partition{ID: "b", Use: BIOS, Filesystem: "ext4"} },
			"disks[0].partitions[3].filesystem: a partition with use: bios has no filesystem; leave it out"},
		{"label of the pool", func(_ *Disk, p []Partition) { p[2].Label = "x" },
			"disks[0].partitions[2].label: Griddle gives the label of a partition with use: pool; leave it out"},
		{"long label", func(_ *Disk, p []Partition) { p[3].Label = "seventeen letters" },
			`disks[0].partitions[3].label: as a label of ext4, "seventeen letters" has 17 bytes, 16 are ` +
				"allowed; give a shorter label"},
		{"long id", func(_ *Disk, p []Partition) { p[3].ID, p[3].Filesystem = "thirteen-long", "xfs" },
			`disks[0].partitions[3].id: as a label of xfs, "thirteen-long" has 13 bytes, 12 are allowed; give a ` +
				"shorter label"},
		{"keep and wipe", func(_ *Disk, p []Partition) { p[1].Keep, p[1].Wipe = true, true },
			"disks[0].partitions[1].wipe: a partition is kept or wiped; leave out one of them"},
		{"wipe for nothing", func(_ *Disk, p []Partition) {
			p[3] = Partition{ID: "x", Match: &Which{Number: 1},
				Wipe: true}
		},
			"disks[0].partitions[3].wipe: it does not say what the partition is for afterwards; add use: esp, bios, " +
				"pool, data, home, swap, boot, root, persistent, raid, lvm"},
		{"no size", func(_ *Disk, p []Partition) { p[3].Size = Size{} },
			"disks[0].partitions[3]: it does not say how large the partition is to be; add size: 20G, 25% or rest"},
		{"size and match", func(_ *Disk, p []Partition) { p[3].Match = &Which{Number: 4} },
			"disks[0].partitions[3].size: the partition is on the disk, and has its size; leave it out"},
		{"rest and keep", func(_ *Disk, p []Partition) { p[3].Keep = true },
			"disks[0].partitions[3].size: the partition is kept, and has its size; leave it out"},
		{"which", func(_ *Disk, p []Partition) { p[0].Match = &Which{} },
			"disks[0].partitions[0].match: it does not say which partition is meant; give number, name, label or " +
				"filesystem"},
		{"which number", func(_ *Disk, p []Partition) { p[0].Match = &Which{Number: 257, Label: "*"} },
			"disks[0].partitions[0].match.number: 257 is not between 1 and 256\n" +
				`disks[0].partitions[0].match.label: "*" fits everything; leave it out, or write a part of the name`},
		{"shrink and use", func(_ *Disk, p []Partition) { p[0].Use = Data },
			"disks[0].partitions[0].filesystem: a partition with use: data has ext4 or xfs or btrfs or vfat\n" +
				"disks[0].partitions[0].use: a partition that is shrunk keeps what it is; leave it out"},
		{"shrink xfs", func(_ *Disk, p []Partition) { p[0].Filesystem = "xfs" },
			`disks[0].partitions[0].filesystem: "xfs" cannot be shrunk, only ntfs, ext2, ext3, ext4, btrfs`},
		{"shrink how", func(_ *Disk, p []Partition) { p[0].Shrink.To = gib },
			"disks[0].partitions[0].shrink: it has 2 of to, by and leave, and needs exactly one"},
		{"shrink rest", func(_ *Disk, p []Partition) { p[0].Shrink.By = Size{Rest: true} },
			"disks[0].partitions[0].shrink: the rest is not a size here; write a size or a share"},
		{"mount", func(_ *Disk, p []Partition) { p[3].Mount = "srv/" },
			`disks[0].partitions[3].mount: path "srv/": it is not an absolute path of letters, digits and signs, ` +
				`without spaces and quotes`},
		{"mount of the pool", func(_ *Disk, p []Partition) { p[2].Mount = "/x" },
			"disks[0].partitions[2].mount: only partitions with use: data or home are mounted"},
		{"mounts", func(_ *Disk, p []Partition) {
			p[1], p[0] = Partition{ID: "more", Use: Data, Size: gib, Mount: "/srv"}, p[1]
		},
			`disks[0].partitions[3].mount: more is mounted at "/srv" too`},
		{"text", func(d *Disk, p []Partition) { d.Match.Model = "a\nb"; p[3].Label = "\x7f" },
			"disks[0].match.model: it has more than 128 bytes, or control characters\n" +
				"disks[0].partitions[3].label: it has more than 128 bytes, or control characters"},
	} {
		d := good()
		if c.change == nil {
			d.Version = 2
		} else {
			c.change(&d.Disks[0], d.Disks[0].Partitions)
		}
		lines := strings.Split(d.Check().Error(), "\n")
		if got := sorted(lines); got != sorted(strings.Split(c.want, "\n")) {
			t.Errorf("%s: Check =\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
	var many Document
	many.Version = 1
	if got := many.Check().Error(); got != "disks: 0 disks are not between 1 and 16" {
		t.Errorf("Check without disks = %s", got)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	m := Match{Size: Largest}
	for _, c := range []struct {
		form Form
		want string
	}{
		{Form{Layout: WholeDisk, Wipe: true}, "disk main: size largest; gpt; everything on it is lost\n" +
			"  bios, 1M, made where it does not exist\n  esp, 260M, vfat, made where it does not exist\n" +
			"  pool, rest, btrfs griddle, made where it does not exist\n"},
		{Form{Layout: WholeDisk, Table: MBR}, "disk main: size largest; mbr; nothing must be on it\n" +
			"  esp, 260M, vfat, made where it does not exist\n" +
			"  pool, rest, btrfs griddle, made where it does not exist\n"},
		{Form{Layout: FreeSpace}, "disk main: size largest; the table that it has; what the layout does not name " +
			"stays\n" +
			"  bios, 1M, made where it does not exist\n  esp, 260M, vfat, made where it does not exist\n" +
			"  pool, rest, btrfs griddle, made where it does not exist\n"},
		{Form{Layout: OnePartition, Partition: &Which{Number: 3, Label: "old"}, Wipe: true},
			"disk main: size largest; the table that it has; what the layout does not name stays\n" +
				"  esp, 260M, vfat, made where it does not exist\n" +
				"  pool, the partition with number 3, label old, btrfs griddle, what is in it is lost\n"},
		{Form{Layout: KeepPool}, "disk main: size largest; the table that it has; what the layout does not name " +
			"stays\n" +
			"  esp, vfat, must exist, and stays\n  pool, btrfs griddle, must exist, and stays\n"},
		{Form{Layout: Shrunk, Shrink: &Shrink{Leave: Size{Percent: 10}}},
			"disk main: size largest; the table that it has; what the layout does not name stays\n" +
				"  shrunk, the last one that can be shrunk, shrunk to leave 10%\n" +
				"  bios, 1M, made where it does not exist\n  esp, 260M, vfat, made where it does not exist\n" +
				"  pool, rest, btrfs griddle, made where it does not exist\n"},
	} {
		c.form.Version, c.form.Match = 1, m
		if all := c.form.Check(); len(all) > 0 {
			t.Errorf("Check of %+v = %v", c.form, all)
		}
		d := c.form.Document()
		if all := d.Check(); len(all) > 0 {
			t.Errorf("Check of the document of %+v = %v", c.form, all)
		}
		if got := d.String(); got != c.want {
			t.Errorf("the document of %s says\n%s\nwant\n%s", c.form.Layout, got, c.want)
		}
	}
	for _, c := range []struct {
		form Form
		want string
	}{
		{Form{Layout: FreeSpace, Table: GPT, Wipe: true, Partition: &Which{}, Shrink: &Shrink{}},
			"table: it is for layout whole-disk and mirror only; leave it out\n" +
				"wipe: it is for layout whole-disk, partition and mirror only; leave it out\n" +
				"partition: it is for layout partition and shrink only; leave it out\n" +
				"shrink: it is for layout shrink only; leave it out"},
		{Form{Layout: OnePartition}, "the key partition is missing: which partition is meant; write partition: " +
			"{label: …}, with number, name, label or filesystem"},
		{Form{Layout: OnePartition, Partition: &Which{Number: 1}}, "the partition is overwritten, and the key wipe " +
			"is " +
			"missing; if its content may be lost, write wipe: true"},
		{Form{Layout: Shrunk}, "the key shrink is missing: how far; write shrink: {by: 60G}, with to, by or leave"},
		{Form{Layout: Mirror}, "the key with is missing: which disk is the other one; write with: {path: " +
			"/dev/nvme1n1}, with the keys of match"},
	} {
		if got := c.form.Check().Error(); got != c.want {
			t.Errorf("Check of %s = %s\nwant %s", c.form.Layout, got, c.want)
		}
	}
}

func sorted(lines []string) string {
	seen := map[string]bool{}
	for _, l := range lines {
		seen[l] = true
	}
	return strings.ReplaceAll(fmt.Sprint(seen), " disks[", "\ndisks[")
}
