package plan

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// TestDiskTruth has every cell of the table of disks in the doc of package layout.
func TestDiskTruth(t *testing.T) {
	gpt := job.Disk{Table: "gpt", Partitions: []job.Partition{{Number: 1, Start: mib, Size: gib, Filesystem: "ext4",
		Label: "mine"}}}
	mbr := gpt
	mbr.Table = "mbr"
	for _, c := range []struct {
		name        string
		on          job.Disk // what is on it
		table       string
		kept, wiped string // what becomes of it without and with wipe: true; "" is made
	}{
		{name: "blank", on: job.Disk{Sampled: job.Zeros}},
		{name: "blank, of ones", on: job.Disk{Sampled: job.Ones}, table: "mbr"},
		{name: "GPT", on: gpt, kept: "kept", wiped: "partition 1: ext4, 1.07 GB, ext4 \"mine\""},
		{name: "GPT, and gpt", on: gpt, table: "gpt", kept: "kept", wiped: "lost"},
		{name: "GPT, and mbr", on: gpt, table: "mbr", kept: "kind gpt, and the layout says mbr", wiped: "lost"},
		{name: "MBR", on: mbr, kept: "kept", wiped: "lost"},
		{name: "MBR, and mbr", on: mbr, table: "mbr", kept: "kept", wiped: "lost"},
		{name: "MBR, and gpt", on: mbr, table: "gpt", kept: "kind mbr, and the layout says gpt", wiped: "lost"},
		{name: "damaged", on: job.Disk{Table: "gpt", Damaged: "only its backup copy is left"},
			kept: "its gpt partition table is damaged: only its backup copy is left", wiped: "lost"},
		{name: "another kind", on: job.Disk{Table: "sun"}, kept: "its partition table is of another kind: sun",
			wiped: "lost"},
		{name: "filesystem", on: job.Disk{Signature: "ext4", Label: "x"}, kept: `it holds whole disk: ext4 "x"`,
			wiped: "lost"},
		{name: "LVM", on: job.Disk{Signature: "LVM2_member"}, kept: "it holds whole disk: LVM physical volume",
			wiped: "lost"},
		{name: "fake RAID over a table", on: func() job.Disk { d := gpt; d.Signature = "isw_raid_member"; return d }(),
			kept: "it holds whole disk: member of an Intel RST", wiped: "lost"},
		{name: "unfinished", on: job.Disk{Table: "gpt", Unfinished: "5b2f"}, kept: "an install on it did not finish",
			wiped: "lost"},
		{name: "unknown content", on: job.Disk{Sampled: "there is data at 4096"}, kept: "it holds unknown content: " +
			"there is",
			wiped: "lost"},
		{name: "not read", kept: "it holds unknown content: the disk was not read", wiped: "lost"},
	} {
		d := c.on
		d.Path, d.Serial, d.Size, d.SectorSize = "/dev/vda", "V1", 20*gib, 512
		doc := of(esp, pool)
		doc.Disks[0].Table = c.table
		switch {
		case c.kept == "" || c.kept == "kept":
			p := planned(t, doc, d)
			made := strings.Contains(p.Text(80), "make an empty table of kind "+map[bool]string{true: "mbr",
				false: "gpt"}[c.table == "mbr"])
			if made != (c.kept == "") || len(p.Losses) > 0 || len(p.Disks[0].After) != 2+len(d.Partitions) {
				t.Errorf("%s: the plan is\n%s", c.name, p.Text(80))
			}
		default:
			refused(t, c.name, doc, c.kept, d)
		}
		doc.Disks[0].Blank = true
		if c.wiped == "" {
			planned(t, doc, d)
		} else {
			refused(t, c.name+", blank", doc, "it is not blank: it holds ", d)
		}
		doc.Disks[0].Wipe, doc.Disks[0].Blank = true, false
		p := planned(t, doc, d)
		if got := len(p.Losses) > 0; got != (c.wiped != "") || p.Steps[len(p.Steps)-1].Do != MakeFilesystem ||
			len(p.Disks[0].After) != 2 {
			t.Errorf("%s, wiped: the plan is\n%s", c.name, p.Text(80))
		}
	}
	// What the layout does not name is untouched.
	other := windows()
	other.Size = gib
	p := planned(t, of(esp, pool), blank(20*gib, 512), other)
	if len(p.Disks) != 1 || p.Disks[0].Path != "/dev/vda" || p.Keeps[0] != "all of the other disk" {
		t.Errorf("beside another disk the plan is\n%s", p.Text(80))
	}
}

// TestPartitionTruth has every cell of the table of partitions in the doc of package layout.
func TestPartitionTruth(t *testing.T) {
	const missing, other, large, two = "there is none on the disk", "the layout says ext4", "leave out size",
		"2 partitions fit"
	data := layout.Partition{ID: "d", Use: layout.Data, Size: size(gib)}
	match := layout.Partition{ID: "d", Use: layout.Data, Match: &layout.Which{Label: "d"}}
	keep := func(p layout.Partition) layout.Partition { p.Keep = true; return p }
	wipe := func(p layout.Partition) layout.Partition { p.Wipe = true; return p }
	shrink := layout.Partition{ID: "s", Match: &layout.Which{Label: "d"}, Filesystem: "ext4",
		Shrink: &layout.Shrink{To: size(768 * mib)}}
	for _, c := range []struct {
		name  string
		entry layout.Partition
		// on a disk where it is missing, agrees, holds another thing, has another size, and is there twice
		want [5]string
	}{
		{"no match", data, [5]string{"made", "stays", other, large, two}},
		{"no match, keep", keep(data), [5]string{missing, "stays", other, large, two}},
		{"no match, wipe", wipe(data), [5]string{"made", "emptied", "emptied", large, two}},
		{"match", match, [5]string{missing, "stays", other, "stays", two}},
		{"match, keep", keep(match), [5]string{missing, "stays", other, "stays", two}},
		{"match, wipe", wipe(match), [5]string{missing, "emptied", "emptied", "emptied", two}},
		{"shrink", shrink, [5]string{missing, "shrunk", other, "shrunk", two}},
	} {
		has := job.Partition{Number: 7, Start: mib, Size: gib, Type: "Linux filesystem", Filesystem: "ext4", Label: "d",
			UUID: "u", Minimum: mib}
		another, larger, twice := has, has, has
		another.Filesystem, larger.Size, twice.Number, twice.Start = "xfs", 2*gib, 8, 3*gib
		foreign := job.Partition{Number: 9, Start: 6 * gib, Size: gib, Filesystem: "zfs", Label: "foreign"}
		for i, parts := range [5][]job.Partition{{}, {has}, {another}, {larger}, {has, twice}} {
			d := job.Disk{Path: "/dev/vda", Serial: "V1", Size: 20 * gib, SectorSize: 512, Table: "gpt",
				Partitions: append(parts, foreign)}
			doc := of(c.entry, esp, pool)
			if c.entry.Shrink != nil { // everything that is made must fit behind it
				doc.Disks[0].Partitions[1].Size, doc.Disks[0].Partitions[2].Size = size(100*mib), size(130*mib)
			}
			switch want := c.want[i]; want {
			case "made", "stays", "emptied", "shrunk":
				p := planned(t, doc, d)
				got := ""
				for _, a := range p.Disks[0].After {
					if a.Label == "d" {
						got = string(a.Fate)
					}
					if a.Number == 9 && (a.Fate != Stays || a.Start != foreign.Start || a.Size != foreign.Size) {
						t.Errorf("%s, %d: a partition that the layout does not mention is %+v", c.name, i, a)
					}
				}
				if got != want {
					t.Errorf("%s, %d: it is %s, want %s\n%s", c.name, i, got, want, p.Text(80))
				}
			default:
				refused(t, c.name, doc, want, d)
			}
		}
	}
}

// TestNames has what a use names without match.
func TestNames(t *testing.T) {
	part := func(p job.Partition) job.Disk {
		p.Number, p.Start, p.Size = 1, mib, 400*mib
		d := job.Disk{Path: "/dev/vda", Serial: "V1", Size: 20 * gib, SectorSize: 512, Table: "gpt",
			Installed: p.Installed, Unfinished: p.Unfinished, Partitions: []job.Partition{p}}
		if p.Name == job.PoolName {
			d.Installed = jobID
		}
		return d
	}
	for _, c := range []struct {
		name  string
		entry layout.Partition
		has   job.Partition
		want  string // what becomes of it; other partitions are made
	}{
		{"esp", esp, job.Partition{Type: "EFI system", Filesystem: "vfat"}, "EFI system stays"},
		{"not an esp", esp, job.Partition{Type: "Microsoft basic data", Filesystem: "vfat"},
			"vfat stays, EFI system made, btrfs \"griddle\" made"},
		{"pool of a whole disk", pool, job.Partition{Name: job.PoolName, Filesystem: "btrfs"}, "btrfs stays"},
		{"pool by its mark", pool, job.Partition{Installed: jobID, Label: "griddle", Filesystem: "btrfs"},
			`btrfs "griddle" stays`},
		{"pool that did not finish", pool, job.Partition{Unfinished: jobID, Filesystem: "btrfs"},
			`btrfs "griddle" emptied`},
		{"not a pool", pool, job.Partition{Label: "griddle", Filesystem: "ext4"}, `ext4 "griddle" stays, btrfs ` +
			`"griddle" made, EFI system made`},
		{"bios", layout.Partition{ID: "bios", Use: layout.BIOS}, job.Partition{Type: "BIOS boot"}, "BIOS boot stays"},
		{"swap", layout.Partition{ID: "swap", Use: layout.Swap, Size: size(400 * mib)},
			job.Partition{Filesystem: "swap", Label: "swap"}, "swap stays"},
		{"home", layout.Partition{ID: "home", Use: layout.Home, Size: size(400 * mib)},
			job.Partition{Filesystem: "ext4", Label: "home"}, `ext4 "home" stays`},
	} {
		parts := []layout.Partition{c.entry}
		for _, p := range []layout.Partition{esp, pool} {
			if p.Use != c.entry.Use {
				parts = append(parts, p)
			}
		}
		p := planned(t, of(parts...), part(c.has))
		if got := fates(p.Disks[0]); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: the disk will have %s, want %s", c.name, got, c.want)
		}
	}
	refused(t, "an esp with ext4", of(esp, pool), "the layout says vfat",
		part(job.Partition{Type: "EFI system", Filesystem: "ext4"}))
	refused(t, "not of the type", of(layout.Partition{ID: "esp", Use: layout.ESP, Match: &layout.Which{Number: 1}},
		pool),
		"it is not an EFI system partition", part(job.Partition{Filesystem: "vfat"}))
	refused(t, "not Griddle's", of(esp, layout.Partition{ID: "pool", Use: layout.Pool,
		Match: &layout.Which{Number: 1}}),
		"it has no mark of an install that Griddle finished", part(job.Partition{Filesystem: "btrfs"}))
	for _, p := range []job.Partition{{Name: layout.NamePool, Filesystem: "btrfs"},
		{Label: layout.PoolLabel, Filesystem: "btrfs"}} {
		refused(t, "no mark", of(esp, pool), "it has no mark of an install that Griddle finished; to lose it, write "+
			"wipe: true", part(p))
	}
	half := part(job.Partition{Unfinished: jobID, Filesystem: "btrfs"})
	refused(t, "unfinished, keep", form(layout.Form{Layout: layout.KeepPool}), "its install did not finish", half)
	refused(t, "unfinished, match", of(esp, layout.Partition{ID: "pool", Use: layout.Pool,
		Match: &layout.Which{Number: 1}}), "its install did not finish", half)
	for _, d := range []job.Disk{half, part(job.Partition{Installed: jobID, Filesystem: "btrfs"})} {
		d.Partitions = append(d.Partitions, job.Partition{Number: 2, Start: gib, Size: gib, Filesystem: "ext4"})
		refused(t, "a second pool", of(esp, layout.Partition{ID: "pool", Use: layout.Pool, Wipe: true,
			Match: &layout.Which{Number: 2}}), "partition 1, btrfs, 419 MB is a pool that the layout does not use", d)
	}
	refused(t, "a label", of(esp, pool, layout.Partition{ID: "d", Use: layout.Data, Label: "e",
		Match: &layout.Which{Number: 1}}), "the layout says the label e", part(job.Partition{Filesystem: "ext4"}))
	refused(t, "named twice", of(esp, layout.Partition{ID: "d", Use: layout.Pool, Match: &layout.Which{Number: 1},
		Wipe: true},
		layout.Partition{ID: "e", Match: &layout.Which{Number: 1}, Keep: true}), "is partition d of the layout too",
		part(job.Partition{Filesystem: "ext4"}))
}
