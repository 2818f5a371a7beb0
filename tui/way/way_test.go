package way

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

// TestWays: what each disk offers, and why it does not offer the rest.
func TestWays(t *testing.T) {
	t.Parallel()
	const yes, none = "", "the disk has no pool"
	for _, c := range []struct {
		name                           string
		disk                           job.Disk
		pool, free, beside, one, whole string // a part of the reason
	}{
		{"Windows", windows(), none, "pool: too small", yes, yes, yes},
		{"Windows, with free space behind it", with(func(d *job.Disk) { d.Size *= 2 }), none, yes, yes, yes, yes},
		{"hibernated", with(func(d *job.Disk) { d.Partitions[2].Unfit = job.Hibernated }), none, "too small",
			"Windows is hibernated, or was shut down with fast startup; start Windows, choose Restart", yes, yes},
		{"BitLocker", with(func(d *job.Disk) { d.Partitions[2].Filesystem = "BitLocker" }), none, "too small",
			"is encrypted by BitLocker; decrypt it in Windows", yes, yes},
		{"nothing known", with(func(d *job.Disk) { d.Partitions[2].Minimum = 0 }), none, "too small",
			"did not report how far it can be shrunk", yes, yes},
		{"full", with(func(d *job.Disk) { d.Partitions[2].Minimum = d.Partitions[2].Size - gib }), none,
			"too small", "pool: too small", yes, yes},
		{"no filesystem that shrinks", with(func(d *job.Disk) { d.Partitions[2].Filesystem = "xfs" }), none,
			"too small", "no NTFS, ext4 or btrfs", yes, yes},
		{"full ESP", with(func(d *job.Disk) { d.Partitions[0].Used = 99 * mib }), none, "is too full",
			"is too full", "is too full", yes},
		{"no ESP, and no room for one", with(func(d *job.Disk) { d.Partitions[0].Type = "Linux filesystem" }),
			none, "EFI system partition: it needs", yes, "EFI system partition: it needs", yes},
		{"a pool", pooled(), yes, "Existing pool", "Existing pool", yes, yes},
		{"blank", blank(), none, "is blank", "no NTFS", "there is no partition", yes},
		{"damaged", with(func(d *job.Disk) { d.Damaged = "only its backup copy is left" }), "table is damaged: only",
			"table is damaged: only", "table is damaged", "table is damaged", yes},
		{"not finished", with(func(d *job.Disk) { d.Unfinished = "j1" }), "did not finish", "did not finish",
			"did not finish", "did not finish", yes},
		{"unknown content", job.Disk{Path: "/dev/sda", Serial: "U", Size: 20 * gib, SectorSize: 512,
			Sampled: "data at byte 4096"}, "it holds unknown content", "unknown content", "no NTFS", "no partition",
			yes},
		{"too small", job.Disk{Path: "/dev/sda", Serial: "U", Size: gib, SectorSize: 512, Sampled: job.Ones}, "no pool",
			"is blank", "no NTFS", "no partition", "too small"},
	} {
		m := Of(c.disk, []job.Disk{c.disk}, Computer{Need: need})
		first := -1
		for i, want := range []string{c.pool, c.free, c.beside, c.one, c.whole} {
			o := m.now().options[i]
			why := strings.Join(o.why, "|")
			if (want == "") != (why == "") || !strings.Contains(why, want) {
				t.Errorf("%s: %s is refused by %q, want %q", c.name, o.name, why, want)
			}
			if strings.Contains(why, "wipe") || strings.Contains(why, "disk main") || strings.Contains(why, "layout") {
				t.Errorf("%s: %s is refused in the words of layouts: %q", c.name, o.name, why)
			}
			if _, decided, refused := m.Pick(i); (refused == "") != (why == "") || decided && why != "" {
				t.Errorf("%s: Pick of %s = %v, %q", c.name, o.name, decided, refused)
			}
			if why == "" && first < 0 {
				first = i
			}
		}
		if m.Row() != max(0, first) {
			t.Errorf("%s: row %d is chosen at first, want %d", c.name, m.Row(), first)
		}
	}
}

// TestDecision: each way ends in a layout that is valid, that means this disk among others, and whose plan is the one
// that was shown.
func TestDecision(t *testing.T) {
	t.Parallel()
	twin := windows()
	twin.Path, twin.Serial = "/dev/nvme1n1", "S2"
	free := with(func(d *job.Disk) { d.Size *= 2 })
	for _, c := range []struct {
		name           string
		disk           job.Disk
		rows           []string
		want           string
		loses, shrinks bool
	}{
		{"keep", pooled(), []string{"Existing pool"}, `stays BIOS boot, stays EFI system, stays btrfs "griddle"`, false,
			false},
		{"free", free, []string{"Free space"}, `stays EFI system, stays Microsoft reserved, stays ntfs "Windows", ` +
			`stays Windows recovery, made BIOS boot, made btrfs "griddle"`, false, false},
		{"beside", windows(), []string{"Beside another system", "10.7 GB"},
			`stays EFI system, stays Microsoft reserved, ` +
				`shrunk ntfs "Windows", made BIOS boot, made btrfs "griddle", stays Windows recovery`, false, true},
		{"one", windows(), []string{"One partition", "Partition 3"}, `LOST ntfs "Windows", stays EFI system, ` +
			`stays Microsoft reserved, emptied btrfs "griddle", stays Windows recovery`, true, false},
		{"whole", windows(), []string{"Whole disk"}, `LOST EFI system, LOST Microsoft reserved, LOST ntfs "Windows", ` +
			`LOST Windows recovery, made BIOS boot, made EFI system, made btrfs "griddle"`, true, false},
		{"one beside a BIOS boot partition", pooled(), []string{"One partition", "Partition 3"},
			`LOST btrfs "griddle", stays BIOS boot, stays EFI system, emptied btrfs "griddle"`, true, false},
		{"blank", blank(), []string{"Whole disk"}, `made BIOS boot, made EFI system, made btrfs "griddle"`, true,
			false},
	} {
		disks := []job.Disk{twin, c.disk}
		m := pick(t, Of(c.disk, disks, Computer{Need: need}), c.rows...)
		if got := tomorrow(m); got != c.want || m.Loses() != c.loses || m.Shrinks() != c.shrinks {
			t.Errorf("%s: the disk will have\n%s\nwant\n%s\nloses %v, shrinks %v", c.name, got, c.want, m.Loses(),
				m.Shrinks())
		}
		raw, p := m.Decision()
		doc, err := layout.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		again, err := plan.Make(plan.Input{Layout: doc, Disks: disks, Pool: need})
		if err != nil || again.Hash != p.Hash || p.Disks[0].Path != c.disk.Path {
			t.Errorf("%s: the plan of the layout is %s of %s, %v; want %s of %s", c.name, again.Hash, p.Disks[0].Path,
				err,
				p.Hash, c.disk.Path)
		}
	}
}

// TestMatch: the layout means its disk, whatever disks share and however they are called.
func TestMatch(t *testing.T) {
	t.Parallel()
	disk := func(n int, serial, wwn, place string) job.Disk {
		d := blank()
		d.Path, d.Serial, d.WWN, d.Place = "/dev/sd"+string(rune('a'+n)), serial, wwn, place
		return d
	}
	for _, c := range []struct {
		name  string
		disks []job.Disk // the first one is meant
		want  job.Match
	}{
		{"serials", []job.Disk{disk(0, "A", "", ""), disk(1, "B", "", "")}, job.Match{Serial: "A"}},
		{"one serial, two WWNs", []job.Disk{disk(0, "A", "eui.1", ""), disk(1, "A", "eui.2", "")},
			job.Match{WWN: "eui.1"}},
		{"two places", []job.Disk{disk(0, "", "", "pci-1"), disk(1, "", "", "pci-2")},
			job.Match{Path: "/dev/disk/by-path/pci-1"}},
		{"paths alone", []job.Disk{disk(0, "", "", ""), disk(1, "", "", "")}, job.Match{Path: "/dev/sda"}},
		{"a pattern that fits another disk", []job.Disk{disk(0, "A*", "", ""), disk(1, "AB", "", "")},
			job.Match{Path: "/dev/sda"}},
		{"a pattern that fits it alone", []job.Disk{disk(0, "A*", "", ""), disk(1, "B", "", "")},
			job.Match{Serial: "A*"}},
		{"a pattern of everything", []job.Disk{disk(0, "*", "", "")}, job.Match{Path: "/dev/sda"}},
		{"a hostile serial", []job.Disk{disk(0, "A\x1b[2J", "", ""), disk(1, "A", "", "")},
			job.Match{Path: "/dev/sda"}},
		{"another's path as its serial", []job.Disk{disk(0, "/dev/sdb", "", ""), disk(1, "B", "", "")},
			job.Match{Path: "/dev/sda"}},
	} {
		if got := match(c.disks[0], c.disks); got != c.want {
			t.Errorf("%s: match = %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestAmounts: the page has amounts that each have a plan, from what the image needs to all that there is.
func TestAmounts(t *testing.T) {
	t.Parallel()
	m, _, _ := Of(windows(), []job.Disk{windows()}, Computer{Need: need}).Pick(2)
	var got []string
	for _, o := range m.now().options {
		got = append(got, strings.Join(strings.Fields(o.name+" | "+o.says), " "))
	}
	want := []string{
		"3.22 GB, 3.00 GiB | 546 GB, 508 GiB 449 GB",
		"5.37 GB, 5.00 GiB | 543 GB, 506 GiB 447 GB",
	}
	if len(got) != 8 || got[0] != want[0] || got[1] != want[1] || !strings.HasSuffix(got[7],
		"107 GB, 100 GiB 10.7 GB") {
		t.Errorf("the amounts are\n%s", strings.Join(got, "\n"))
	}
	if usual := m.now().options[m.Row()]; !strings.HasPrefix(usual.name, "215 GB") {
		t.Errorf("the usual amount is %s", usual.name)
	}
	// The layout has the new size: carried out again it means the same.
	m = pick(t, m, "215 GB")
	raw, p := m.Decision()
	if !strings.Contains(string(raw), `"to":"`) || len(p.Shrinks) != 1 {
		t.Errorf("the layout is %s", raw)
	}
	// Where the image needs most of it, there is that alone.
	tight := with(func(d *job.Disk) { d.Partitions[2].Minimum = d.Partitions[2].Size - 3*gib })
	m, _, refused := Of(tight, []job.Disk{tight}, Computer{Need: need}).Pick(2)
	if refused != "" || m.Len() != 1 {
		t.Errorf("%d amounts are offered, refused %q", m.Len(), refused)
	}
}

// TestMirror: another disk makes a mirror, and both are named by what stays with them. A disk without another one has
// no mirror, and a computer that can have none shows no such line.
func TestMirror(t *testing.T) {
	t.Parallel()
	can := Computer{Need: need, Mirror: true}
	other := blank()
	other.Path, other.Serial = "/dev/vdc", "V3"
	tiny := job.Disk{Path: "/dev/sda", Serial: "U", Size: gib, SectorSize: 512, Sampled: job.Zeros}
	disks := []job.Disk{windows(), blank(), other, tiny}
	for _, c := range []struct {
		disk         job.Disk
		with, blocks string
		blank        bool
	}{{windows(), "/dev/vda", "/dev/sda", false}, {blank(), "/dev/vdc", "/dev/sda", true}} {
		m := Of(c.disk, disks, can)
		asked, _, _ := m.Pick(row(t, m, "Mirror of two disks"))
		if asked.Len() != 3 {
			t.Errorf("%s: %d other disks are shown, want 3", c.disk.Path, asked.Len())
		}
		if why := asked.now().options[row(t, asked, c.blocks)].why; !strings.Contains(strings.Join(why, "|"),
			"too small") {
			t.Errorf("%s: a disk that is too small is refused by %q", c.disk.Path, why)
		}
		m = pick(t, m, "Mirror of two disks", c.with)
		raw, p := m.Decision()
		doc, err := layout.Decode(raw)
		if err != nil || !doc.Mirrors() || len(p.Disks) != 2 || len(m.Disks()) != 2 || m.Disks()[1].Path != c.with {
			t.Errorf("%s: the layout is %s, %v, with a plan of %d disks", c.disk.Path, raw, err, len(p.Disks))
		}
		if !m.Loses() || (len(p.Losses) == 0) != c.blank {
			t.Errorf("%s: loses %v: %q", c.disk.Path, m.Loses(), p.Losses)
		}
		again, err := plan.Make(plan.Input{Layout: doc, Disks: disks, Pool: need})
		if err != nil || again.Hash != p.Hash {
			t.Errorf("%s: the layout has the plan %s, %v; want %s", c.disk.Path, again.Hash, err, p.Hash)
		}
	}
	half, otherHalf, another := pooled(), pooled(), pooled()
	otherHalf.Path, otherHalf.Serial, another.Path, another.Serial = "/dev/vdd", "V4", "/dev/vde", "V5"
	half.Partitions[2].UUID, otherHalf.Partitions[2].UUID, another.Partitions[2].UUID = "one", "one", "two"
	kept := Of(half, []job.Disk{half, otherHalf, another}, can)
	if o := kept.now().options[0]; len(o.why) > 0 || !strings.HasSuffix(o.about,
		" The pool is a mirror: its other disk, /dev/vdd, gets the new system too.") {
		t.Errorf("a pool on two disks is offered as %q, refused by %q", o.about, o.why)
	}
	alone := Of(blank(), []job.Disk{blank()}, can)
	if why := alone.now().options[row(t, alone, "Mirror")].why; len(why) != 1 || why[0] != "this machine has no other "+
		"disk" {
		t.Errorf("a disk alone has no mirror because of %q", why)
	}
	for _, o := range Of(blank(), disks, Computer{Need: need}).now().options {
		if strings.HasPrefix(o.name, "Mirror") {
			t.Error("a computer that can have no mirror offers one")
		}
	}
}

// TestBack: Esc opens the page before with what was chosen on it, and Pick of what does not exist changes nothing.
func TestBack(t *testing.T) {
	t.Parallel()
	both := with(func(d *job.Disk) {
		d.Size *= 2
		d.Partitions = append(d.Partitions, job.Partition{Number: 5, Start: 512 * gib, Size: 100 * gib,
			Type: "Linux filesystem", Filesystem: "ext4", Label: "debian", Used: gib, Minimum: 2 * gib})
	})
	m := Of(both, []job.Disk{both}, Computer{Need: need})
	asked, _, _ := m.Pick(row(t, m, "Beside"))
	amounts, _, _ := asked.Pick(row(t, asked, "Partition 5"))
	if asked.Depth() != 2 || asked.Len() != 2 || amounts.Depth() != 3 {
		t.Fatalf("pages %d and %d deep, %d rows", asked.Depth(), amounts.Depth(), asked.Len())
	}
	back, is := amounts.Back()
	if !is || back.Row() != 1 || back.Depth() != 2 {
		t.Errorf("Back = row %d of page %d, %v", back.Row(), back.Depth(), is)
	}
	back, is = back.Back()
	if !is || back.Row() != row(t, m, "Beside") {
		t.Errorf("Back = row %d, %v", back.Row(), is)
	}
	if back, is = back.Back(); is || back.Depth() != 1 {
		t.Errorf("the first page goes back to page %d, %v", back.Depth(), is)
	}
	for _, n := range []int{-1, 99} {
		if next, decided, refused := m.Pick(n); decided || refused != "" || next.Depth() != 1 {
			t.Errorf("Pick(%d) = %v, %q", n, decided, refused)
		}
	}
	if raw, p := m.Decision(); raw != nil || p.Hash != "" || m.Loses() {
		t.Errorf("without a decision there is %s, %s", raw, p.Hash)
	}
	if empty := (Model{}); empty.Len() != 0 || empty.Row() != 0 {
		t.Error("the zero value has rows")
	}
}

// TestBIOS: on a machine that a BIOS starts, a way that makes a disk without a place for GRUB is not offered.
func TestBIOS(t *testing.T) {
	t.Parallel()
	for _, bios := range []bool{false, true} {
		m := Of(windows(), []job.Disk{windows()}, Computer{Need: need, BIOS: bios})
		one := m.now().options[row(t, m, "One partition")]
		if refused := strings.Contains(strings.Join(one.why, "|"), "starts by BIOS"); refused != bios {
			t.Errorf("started by BIOS %v: one partition is refused by %q", bios, one.why)
		}
		for _, name := range []string{"Beside another system", "Whole disk"} {
			if why := m.now().options[row(t, m, name)].why; len(why) > 0 {
				t.Errorf("started by BIOS %v: %s is refused by %q", bios, name, why)
			}
		}
	}
	m := pick(t, Of(pooled(), []job.Disk{pooled()}, Computer{Need: need, BIOS: true}), "One partition", "Partition 3")
	_, p := m.Decision()
	if after := p.Disks[0].After; after[0].Use != layout.BIOS || after[0].Fate != plan.Stays {
		t.Errorf("the layout does not name the place of GRUB for BIOS: %+v", after)
	}
	m = Of(pooled(), []job.Disk{pooled()}, Computer{Need: need, BIOS: true})
	if why := m.now().options[0].why; len(why) > 0 {
		t.Errorf("a pool that a BIOS starts is refused by %q", why)
	}
}

// TestManyPartitions: the first page of a disk with as many partitions as a GPT has needs few plans, and the next one
// has all of them.
func TestManyPartitions(t *testing.T) {
	t.Parallel()
	d := with(func(d *job.Disk) {
		d.Size = 4096 * gib
		for i := range 124 {
			d.Partitions = append(d.Partitions, job.Partition{Number: 5 + i, Start: int64(520+20*i) * gib,
				Size: 10 * gib, Type: "Microsoft basic data", Filesystem: "ntfs", Label: "x", Used: gib,
				Minimum: 2 * gib})
		}
	})
	d.Partitions = d.Partitions[:126] // two entries for the new system
	m := Of(d, []job.Disk{d}, Computer{Need: need})
	for name, want := range map[string]int{"One partition": 126, "Beside another system": 123} {
		next, _, refused := m.Pick(row(t, m, name))
		if next.Len() != want || next.Depth() != 2 {
			t.Errorf("%s: the page has %d rows, want %d, refused %q", name, next.Len(), want, refused)
		}
	}
}
