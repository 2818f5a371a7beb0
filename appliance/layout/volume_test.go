package layout

import (
	"testing"

	"griddle/appliance/job"
)

// volumes is a valid layout with an array, and a volume group on a partition and on an array.
func volumes() Document {
	disk := func(id, bus string, parts ...Partition) Disk {
		return Disk{ID: id, Match: job.Match{Transport: bus}, Partitions: parts}
	}
	part := func(id, use string) Partition { return Partition{ID: id, Use: use, Size: Size{Bytes: 1 << 30}} }
	return Document{Version: 1, Disks: []Disk{
		disk("a", "nvme", Partition{ID: "esp", Use: ESP}, part("pool", Pool), part("h1", RAID), part("d1", RAID),
			part("pv", LVM)),
		disk("b", "sata", part("h2", RAID), part("d2", RAID)),
	}, Raids: []Raid{
		{ID: "home", Level: 1, Devices: []string{"h1", "h2"}, Content: Content{Use: Home, Filesystem: "xfs"}},
		{ID: "md", Level: 1, Devices: []string{"d1", "d2"}, Content: Content{Use: LVM}},
	}, Groups: []Group{{ID: "vg0", Devices: []string{"md", "pv"}, Volumes: []Logical{
		{ID: "srv", Size: Size{Percent: 40}, Content: Content{Use: Data, Mount: "/srv"}},
		{ID: "swap", Size: Size{Rest: true}, Content: Content{Use: Swap}},
	}}}}
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	if all := volumes().Check(); len(all) > 0 {
		t.Errorf("a valid layout: %v", all)
	}
	const sentences = `raid home: level 1, on h1 and h2, xfs home, at /home
raid md: level 1, on d1 and d2, for a volume group
lvm_volgroup vg0: on md and pv
  srv, 40%, ext4 srv, at /srv
  swap, rest, swap swap
`
	got := volumes().String()
	if i := len(got) - len(sentences); i < 0 || got[i:] != sentences {
		t.Errorf("in words it is\n%s\nwant at its end\n%s", got, sentences)
	}
	for _, c := range []struct {
		name  string
		spoil func(*Document)
		want  string
	}{
		{"level", func(d *Document) { d.Raids[0].Level = 5 },
			"raid[0].level: an array with level 5 is not supported yet; write level: 1"},
		{"one device", func(d *Document) { d.Raids[0].Devices = d.Raids[0].Devices[:1] },
			"raid[0].devices: 1 devices are not between 2 and 8\ndisks[1].partitions[0].use: h2 is in no raid; add " +
				"it " +
				"to devices of a raid"},
		{"one disk", func(d *Document) { d.Raids[0].Devices[1], d.Raids[1].Devices[0] = "d1", "h2" },
			"raid[0].devices[1]: h1 and d1 are on the same disk; take a partition of another disk\n" +
				"raid[1].devices[1]: h2 and d2 are on the same disk; take a partition of another disk"},
		{"unknown", func(d *Document) { d.Raids[0].Devices[1] = "pool" },
			"raid[0].devices[1]: the layout has nothing with id: pool and use: raid\n" +
				"disks[1].partitions[0].use: h2 is in no raid; add it to devices of a raid"},
		{"twice", func(d *Document) { d.Raids[1].Devices = append(d.Raids[1].Devices, "h2") },
			"raid[1].devices[2]: h2 is in home already"},
		{"no group", func(d *Document) { d.Groups = nil },
			"disks[0].partitions[4].use: pv is in no lvm_volgroup; add it to devices of a lvm_volgroup\n" +
				"raid[1].use: md is in no lvm_volgroup; add it to devices of a lvm_volgroup"},
		{"pool", func(d *Document) { d.Raids[0].Use = Pool },
			`raid[0].use: "pool" is not one of data, home, swap: nothing else is made in a volume so far; put the ` +
				"pool into a partition"},
		{"filesystem", func(d *Document) { d.Raids[0].Filesystem = "vfat" },
			"raid[0].filesystem: a partition with use: home has ext4 or xfs or btrfs"},
		{"same mount", func(d *Document) { d.Groups[0].Volumes[0].Mount = "/home" },
			`lvm_volgroup[0].lvm_partitions[0].mount: home is mounted at "/home" too`},
		{"mount of LVM", func(d *Document) { d.Raids[1].Mount = "/x" },
			"raid[1].mount: an array with use: lvm is a part of a volume group; leave it out"},
		{"id", func(d *Document) { d.Groups[0].Volumes[0].ID = "pool" },
			`lvm_volgroup[0].lvm_partitions[0].id: "pool" is the name of disks[0].partitions[1] too`},
		{"name in /dev", func(d *Document) { d.Groups[0].ID = "mapper" },
			"lvm_volgroup[0].id: a volume group cannot be called mapper, as something in /dev is; take another one, " +
				"such as vg0"},
		{"reserved", func(d *Document) { d.Groups[0].Volumes[0].ID = "snapshot1" },
			"lvm_volgroup[0].lvm_partitions[0].id: LVM reserves names that begin with snapshot or pvmove; take " +
				"another " +
				"one"},
		{"no size", func(d *Document) { d.Groups[0].Volumes[0].Size = Size{} },
			"lvm_volgroup[0].lvm_partitions[0]: it does not say how large the volume is to be; add size: 20G, 25% or " +
				"rest"},
		{"two rests", func(d *Document) { d.Groups[0].Volumes[0].Size = Size{Rest: true} },
			"lvm_volgroup[0].lvm_partitions[1].size: another volume of the group has the rest"},
		{"shares", func(d *Document) {
			d.Groups[0].Volumes[0].Size, d.Groups[0].Volumes[1].Size = Size{Percent: 60}, Size{Percent: 41}
		}, "lvm_volgroup[0].lvm_partitions[1].size: the sizes up to here are more than 100% of the group"},
		{"no volumes", func(d *Document) { d.Groups[0].Volumes = nil },
			"lvm_volgroup[0].lvm_partitions: 0 volumes are not between 1 and 32"},
		{"label of a member", func(d *Document) { d.Disks[1].Partitions[0].Label = "x" },
			"disks[1].partitions[0].label: a partition with use: raid is a part of a volume that is made; leave it " +
				"out"},
		{"match", func(d *Document) {
			d.Disks[1].Partitions[0].Match, d.Disks[1].Partitions[0].Size = &Which{Number: 3}, Size{}
		}, "disks[1].partitions[0].match: volumes are made, and not kept so far: what is in the partition is lost; " +
			"if " +
			"its content may be lost, add wipe: true"},
	} {
		d := volumes()
		if c.spoil(&d); d.Check().Error() != c.want {
			t.Errorf("%s: the mistakes are\n%v\nwant\n%s", c.name, d.Check(), c.want)
		}
	}
}
