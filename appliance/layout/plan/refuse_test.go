package plan

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// TestRefusals has what is refused whatever the truth tables say.
func TestRefusals(t *testing.T) {
	free := form(layout.Form{Layout: layout.FreeSpace})
	with := func(change func(d *job.Disk)) job.Disk {
		d := windows()
		d.Size *= 2
		change(&d)
		return d
	}
	for _, c := range []struct {
		name, want string
		disk       job.Disk
	}{
		{"sectors", "it has sectors of 520 bytes", with(func(d *job.Disk) { d.SectorSize = 520 })},
		{"huge", "only 4 MiB to 1 EiB", with(func(d *job.Disk) { d.Size = 1 << 62 })},
		{"tiny", "only 4 MiB to 1 EiB", with(func(d *job.Disk) { d.Size = mib })},
		{"beyond the end", "partition 4 is not within the disk",
			with(func(d *job.Disk) { d.Partitions[3].Size = 600 * gib })},
		{"far beyond", "partition 4 is not within", with(func(d *job.Disk) { d.Partitions[3].Start = 1<<63 - 512 })},
		{"negative", "partition 4 is not within", with(func(d *job.Disk) { d.Partitions[3].Size = -512 })},
		{"of nothing", "partition 4 is not within", with(func(d *job.Disk) { d.Partitions[3].Size = 0 })},
		{"on the table", "partition 1 is not within", with(func(d *job.Disk) { d.Partitions[0].Start = 33 * 512 })},
		{"on the backup", "partition 4 is not within", with(func(d *job.Disk) {
			d.Partitions[3].Size = d.Size - 33*512 + 512 - d.Partitions[3].Start
		})},
		{"beyond what the table lets", "partition 4 is not within", with(func(d *job.Disk) {
			d.UsableFrom, d.UsableTo = mib, d.Partitions[3].Start+512
		})},
		{"no whole sector", "partition 2 is not within", with(func(d *job.Disk) { d.Partitions[1].Start += 100 })},
		{"number 0", "partition 0 is not within", with(func(d *job.Disk) { d.Partitions[1].Number = 0 })},
		{"number twice", "two partitions have number 1", with(func(d *job.Disk) { d.Partitions[1].Number = 1 })},
		{"overlap", "partitions 1 and 2 overlap", with(func(d *job.Disk) { d.Partitions[1].Start -= 512 })},
		{"GPT behind an MBR", "it is what is left of a GPT", with(func(d *job.Disk) {
			d.Partitions[1].Type = "GPT " +
				"protective"
		})},
		{"dynamic disk", "dynamic disk of Windows", with(func(d *job.Disk) {
			d.Partitions[1].Type = "metadata of a " +
				"Windows dynamic disk (LDM)"
		})},
		{"full ESP", "is too full: 8.39 MB are free, and 16.8 MB are needed",
			with(func(d *job.Disk) { d.Partitions[0].Used = 92 * mib })},
		{"small table", "its table has no entry left: this GPT has 5 that are used", with(func(d *job.Disk) {
			d.Slots, d.Partitions = 5, append(d.Partitions, job.Partition{Number: 5, Start: 900 * gib, Size: gib})
		})},
		{"two ESPs", "partition esp: 2 partitions fit: partition 1, vfat, 105 MB; partition 2", with(func(d *job.Disk) {
			d.Partitions[1].Type = "EFI system"
		})},
	} {
		refused(t, c.name, free, c.want, c.disk)
	}
	if p := planned(t, free, with(func(d *job.Disk) { d.Partitions[0].Used = 84 * mib })); len(p.Disks) != 1 {
		t.Error("an ESP with just enough space is refused")
	}
	for name, kind := range map[string]job.Partition{"md": {Filesystem: "linux_raid_member"},
		"LVM": {Filesystem: "LVM2_member"},
		"ZFS": {Filesystem: "zfs_member"}, "ceph": {Filesystem: "ceph_bluestore"}, "by type": {Type: "Linux RAID"}} {
		d := with(func(d *job.Disk) {
			d.Partitions[2].Filesystem, d.Partitions[2].Type, d.Partitions[2].Label = kind.Filesystem, kind.Type, ""
		})
		refused(t, name, form(layout.Form{Layout: layout.OnePartition, Partition: &layout.Which{Number: 3},
			Wipe: true}),
			"is a part of something larger (", d)
		if p := planned(t, free, d); !strings.Contains(fates(p.Disks[0]), "Windows recovery stays") {
			t.Errorf("%s: beside it the disk will have %s", name, fates(p.Disks[0]))
		}
		p := planned(t, form(layout.Form{Layout: layout.WholeDisk, Wipe: true}), d)
		if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "it is a part of something larger (") {
			t.Errorf("%s: the notes are %q", name, p.Notes)
		}
	}
}

// TestTwins has disks that look the same.
func TestTwins(t *testing.T) {
	doc := form(layout.Form{Layout: layout.WholeDisk})
	one := blank(20*gib, 512)
	other := func(change func(d *job.Disk)) []job.Disk {
		d := blank(20*gib, 512)
		d.Path = "/dev/vdb"
		change(&d)
		a := one
		if d.Serial == "" {
			a.Serial = ""
		}
		return []job.Disk{a, d}
	}
	doc.Disks[0].Match = job.Match{Path: "/dev/vda"}
	refused(t, "one serial", doc, "disk /dev/vdb, 21.5 GB, serial V1 has the same serial and WWN",
		other(func(*job.Disk) {})...)
	refused(t, "one serial, two sizes", doc, "has the same serial and WWN",
		other(func(d *job.Disk) { d.Size = gib })...)
	refused(t, "no serials", doc, "after the next start no one can say which is which",
		other(func(d *job.Disk) { d.Serial = "" })...)
	for name, change := range map[string]func(d *job.Disk){
		"serials": func(d *job.Disk) { d.Serial = "V2" }, "WWNs": func(d *job.Disk) { d.WWN = "naa.1" },
		"sizes": func(d *job.Disk) { d.Serial, d.Size = "", 21*gib },
		"place": func(d *job.Disk) { d.Serial, d.Place = "", "pci-0000:00:05.0" },
	} {
		if p := planned(t, doc, other(change)...); p.Disks[0].Path != "/dev/vda" {
			t.Errorf("%s: the plan is for %s", name, p.Disks[0].Path)
		}
	}
	two := doc
	two.Disks = append(two.Disks, layout.Disk{ID: "two", Match: job.Match{Serial: "V1"},
		Partitions: []layout.Partition{
			{ID: "home", Use: layout.Home, Size: rest}}})
	refused(t, "one disk by two names", two, "disk two (/dev/vda, 21.5 GB, serial V1): it is the disk of main too", one)
	refused(t, "no disk", doc, "disk main: choosing the disk: no disk fits; this machine has /dev/nvme0n1", windows())
	bad := doc
	bad.Version = 9
	refused(t, "not valid", bad, "version: this program knows version 1", one)
}

// TestTooSmall is by the sector.
func TestTooSmall(t *testing.T) {
	const need = 400 * mib
	doc := of(esp, layout.Partition{ID: "pool", Use: layout.Pool, Size: size(need)})
	has := func(end int64) job.Disk { // an end of the free area
		d := windows()
		d.Size = 2 * 512 * gib
		d.Partitions = append(d.Partitions[:1:1], job.Partition{Number: 9, Start: end, Size: d.Size - end - mib})
		return d
	}
	fits := 101*mib + int64(need)
	if p := planned(t, doc, has(fits)); p.Disks[0].After[1].Size != need {
		t.Errorf("the plan is\n%s", p.Text(80))
	}
	refused(t, "a sector less", doc, "partition pool: it needs 419 MB, and the largest free area of the disk "+
		"has 418 MB left", has(fits-512))
	if _, err := Make(Input{Layout: of(esp, pool), Disks: []job.Disk{has(fits)}, Pool: need}); err != nil {
		t.Error(err)
	}
	if _, err := Make(Input{Layout: of(esp, pool), Disks: []job.Disk{has(fits)}, Pool: need + 1}); err == nil ||
		!strings.Contains(err.Error(), "too small: it gets 419 MB, and needs 420 MB") {
		t.Errorf("Make for a pool of one byte more = %v", err)
	}
	// A pool that is there, and one that is emptied.
	d := has(fits)
	d.Partitions[1].Installed, d.Partitions[1].Filesystem, d.Partitions[1].Size = jobID, "btrfs", gib
	for _, p := range []layout.Partition{{ID: "p", Use: layout.Pool, Keep: true},
		{ID: "p", Use: layout.Pool, Match: &layout.Which{Number: 9}, Wipe: true}} {
		if _, err := Make(Input{Layout: of(esp, p), Disks: []job.Disk{d}, Pool: gib}); err != nil {
			t.Error(err)
		}
		if _, err := Make(Input{Layout: of(esp, p), Disks: []job.Disk{d}, Pool: gib + 1}); err == nil ||
			!strings.Contains(err.Error(), "is too small") {
			t.Errorf("Make with a pool that is too small = %v", err)
		}
	}
}
