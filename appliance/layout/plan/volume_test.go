package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// volumes is a layout of two disks with an array, and a volume group on a partition and on an array.
func volumes() layout.Document {
	part := func(id, use string, s layout.Size) layout.Partition {
		return layout.Partition{ID: id, Use: use, Size: s}
	}
	return layout.Document{Version: 1, Disks: []layout.Disk{
		{ID: "a", Match: job.Match{Transport: "virtio"}, Partitions: []layout.Partition{esp,
			part("pool", layout.Pool, size(20*gib)), part("home-a", layout.RAID, size(10*gib)),
			part("md-a", layout.RAID, size(10*gib)), part("pv", layout.LVM, rest)}},
		{ID: "b", Match: job.Match{Transport: "sata"}, Partitions: []layout.Partition{
			part("home-b", layout.RAID, size(11*gib)), part("md-b", layout.RAID, size(10*gib))}},
	}, Raids: []layout.Raid{
		{ID: "home", Level: 1, Devices: []string{"home-a", "home-b"},
			Content: layout.Content{Use: layout.Home, Filesystem: "xfs"}},
		{ID: "md", Level: 1, Devices: []string{"md-a", "md-b"}, Content: layout.Content{Use: layout.LVM}},
	}, Groups: []layout.Group{{ID: "vg0", Devices: []string{"md", "pv"}, Volumes: []layout.Logical{
		{ID: "srv", Size: layout.Size{Percent: 40}, Content: layout.Content{Use: layout.Data, Mount: "/srv"}},
		{ID: "odd", Size: size(4*gib + 1), Content: layout.Content{Use: layout.Data, Mount: "/odd"}},
		{ID: "swap", Size: rest, Content: layout.Content{Use: layout.Swap}},
	}}}}
}

// twoBlank are the disks for it.
func twoBlank() []job.Disk {
	second := blank(32*gib, 512)
	second.Path, second.Serial, second.Bus = "/dev/sda", "W1", "sata"
	return []job.Disk{blank(50*gib, 512), second}
}

// TestVolumes plans arrays and volume groups: what each is made of, its size, and the steps behind all others.
func TestVolumes(t *testing.T) {
	p := planned(t, volumes(), twoBlank()...)
	whole := int64(0) // on the array, and on the rest of the disk, which has 260 MiB of an ESP and a MiB at each end
	for _, size := range []int64{10*gib - RaidOffset, 10*gib - 262*mib} {
		whole += (size - GroupOffset) / Extent * Extent
	}
	share := whole / 100 * 40 / Extent * Extent
	want := []Volume{
		{ID: "home", Kind: Raid1, On: []Device{{Disk: "a", Number: 3}, {Disk: "b", Number: 1}},
			Size: 10*gib - RaidOffset,
			Use:  "home", Filesystem: "xfs", Label: "home", Mount: "/home"},
		{ID: "md", Kind: Raid1, On: []Device{{Disk: "a", Number: 4}, {Disk: "b", Number: 2}}, Size: 10*gib - RaidOffset,
			Use: "lvm"},
		{ID: "vg0", Kind: Group, On: []Device{{Volume: "md"}, {Disk: "a", Number: 5}}, Size: whole},
		{ID: "srv", Kind: Logical, Group: "vg0", On: []Device{{Volume: "vg0"}}, Size: share, Use: "data",
			Filesystem: "ext4", Label: "srv", Mount: "/srv"},
		{ID: "odd", Kind: Logical, Group: "vg0", On: []Device{{Volume: "vg0"}}, Size: 4*gib + Extent, Use: "data",
			Filesystem: "ext4", Label: "odd", Mount: "/odd"},
		{ID: "swap", Kind: Logical, Group: "vg0", On: []Device{{Volume: "vg0"}}, Size: whole - share - 4*gib - Extent,
			Use: "swap", Filesystem: "swap", Label: "swap"},
	}
	if !reflect.DeepEqual(p.Volumes, want) {
		t.Errorf("the volumes are\n%+v\nwant\n%+v", p.Volumes, want)
	}
	var steps []string
	for _, s := range p.Steps {
		if s.Volume != "" {
			steps = append(steps, fmt.Sprint(s.Do, " ", s.Volume))
		} else if steps != nil {
			t.Errorf("step %v follows one of a volume", s)
		}
	}
	if got, want := strings.Join(steps, ", "), "make-volume home, clear home, make-filesystem home, make-volume md, "+
		"make-volume vg0, make-volume srv, clear srv, make-filesystem srv, make-volume odd, clear odd, "+
		"make-filesystem odd, make-volume swap, clear swap, make-filesystem swap"; got != want {
		t.Errorf("the steps of volumes are %s, want %s", got, want)
	}
	b, err := json.Marshal(p)
	var again Plan
	if err != nil || json.Unmarshal(b, &again) != nil || !reflect.DeepEqual(p, again) || again.Verify() != nil {
		t.Errorf("as JSON the plan is %s, %v, and Verify() = %v", b, err, again.Verify())
	}
	other := volumes()
	other.Groups[0].Volumes[1].Size = size(8 * gib)
	if planned(t, other, twoBlank()...).Hash == p.Hash {
		t.Error("the hash is the same with a volume of another size")
	}
}

func TestVolumesRefuse(t *testing.T) {
	in := func(change func(d *layout.Document)) layout.Document {
		d := volumes()
		change(&d)
		return d
	}
	same := func(*layout.Document) {}
	refused(t, "large volume", in(func(d *layout.Document) { d.Groups[0].Volumes[1].Size = size(40 * gib) }),
		"disk a (/dev/vda, 53.7 GB, serial V1): partition odd: it needs 42.9 GB, and the volume group vg0 has",
		twoBlank()...)
	refused(t, "small array", in(func(d *layout.Document) {
		d.Disks[0].Partitions[2].Size = size(200 * mib)
	}), "partition home: too small: it gets 206 MB, and needs 315 MB", twoBlank()...)
	refused(t, "small member of a group", in(func(d *layout.Document) {
		d.Disks[0].Partitions[4].Size = size(4 * mib)
	}), "partition pv: too small for a volume group: it gets 4.19 MB, and 5.24 MB are needed", twoBlank()...)
	other := twoBlank()
	other[1].SectorSize = 4096
	refused(t, "sectors", in(func(d *layout.Document) {
		d.Groups[0].Devices, d.Disks[1].Partitions[1].Use = []string{"pv", "md-b"}, layout.LVM
		d.Disks[0].Partitions[3] = layout.Partition{ID: "x", Use: layout.Swap, Size: size(gib)}
		d.Raids = d.Raids[:1]
	}), "partition vg0: its devices are on disks with sectors of 512 and of 4096 bytes", other...)
	third := job.Disk{Path: "/dev/sdz", Serial: "Z", Bus: "scsi", Size: gib, SectorSize: 512, Table: "gpt",
		Partitions: []job.Partition{{Number: 2, Start: mib, Size: 100 * mib, Filesystem: "LVM2_member", Label: "vg0"}}}
	refused(t, "a group of the same name", volumes(), "partition vg0: partition 2, LVM2_member \"vg0\", 105 MB of "+
		"disk "+
		"/dev/sdz, 1.07 GB, serial Z has a volume group with this name, which stays; take another id",
		append(twoBlank(), third)...)
	// After the plan is carried out, the same layout finds its members, and touches nothing.
	p := planned(t, volumes(), twoBlank()...)
	again := twoBlank()
	for i := range again {
		again[i].Table, again[i].Sampled = "gpt", ""
		for _, a := range p.Disks[i].After {
			again[i].Partitions = append(again[i].Partitions, job.Partition{Number: a.Number, Start: a.Start,
				Size: a.Size,
				Type: a.Type, Name: a.Name, Filesystem: a.Filesystem, Label: a.Label})
		}
	}
	refused(t, "again", in(same), "partition home-b: partition 1, Linux RAID, 11.8 GB is there, and volumes are made, "+
		"and not taken over so far; leave it and its volume out of the layout, then both stay", again...)
}

// TestDamagedVolumes refuses plans whose volumes would touch what is not theirs.
func TestDamagedVolumes(t *testing.T) {
	for want, spoil := range map[string]func(p *Plan){
		"volume home: partition 2 of disk a is not for it": func(p *Plan) { p.Volumes[0].On[0].Number = 2 },
		"volume home: disk a has no partition 9":           func(p *Plan) { p.Volumes[0].On[0].Number = 9 },
		"volume home: it has no disk \"x\"":                func(p *Plan) { p.Volumes[0].On[0].Disk = "x" },
		"volume home: it is larger than partition 3":       func(p *Plan) { p.Volumes[0].Size++ },
		"volume md has a member that another one has":      func(p *Plan) { p.Volumes[1].On[0].Number = 3 },
		"volume vg0: its member srv is not made before it": func(p *Plan) { p.Volumes[2].On[0].Volume = "srv" },
		"volume vg0: its member home has a filesystem":     func(p *Plan) { p.Volumes[2].On[0].Volume = "home" },
		"volume srv: its member md is of the wrong kind":   func(p *Plan) { p.Volumes[3].On[0].Volume = "md" },
		"volume vg0: a member is two things":               func(p *Plan) { p.Volumes[2].On[0].Disk = "a" },
		"two volumes have the ID \"home\"":                 func(p *Plan) { p.Volumes[1].ID = "home" },
		"volume home has no members or no size":            func(p *Plan) { p.Volumes[0].On = nil },
		"its last steps do not make its volumes":           func(p *Plan) { p.Steps = slices.Delete(p.Steps, 20, 21) },
	} {
		p := planned(t, volumes(), twoBlank()...)
		for i, v := range p.Volumes {
			p.Volumes[i].On = slices.Clone(v.On)
		}
		spoil(&p)
		p.Hash = p.hash()
		if err := p.Verify(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify() = %v, want %q", err, want)
		}
	}
}
