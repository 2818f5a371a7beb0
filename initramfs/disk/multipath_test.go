package disk

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/disk/content"
)

// TestJoinPaths: what is one disk is listed once, and what may be two disks is not.
func TestJoinPaths(t *testing.T) {
	lun := Disk{Bus: "scsi", WWN: "naa.6", Serial: "S", Size: 1 << 40, SectorSize: 512}
	named := func(name string, change func(*Disk)) Disk {
		d := lun
		d.Name, d.Path = name, "/dev/"+name
		change(&d)
		return d
	}
	same := func(*Disk) {}
	ext4 := func(d *Disk) { d.Signature = content.Signature{Type: "ext4"} }
	for _, c := range []struct {
		name   string
		disks  []Disk
		failed []bool
		want   string
	}{
		{"two paths", []Disk{named("sda", same), named("sdb", same)}, nil, "sda[/dev/sda /dev/sdb]"},
		{"three, with others between", []Disk{named("sda", same), named("sdb", func(d *Disk) { d.Serial = "T" }),
			named("sdc", same), named("sdd", same)}, nil, "sda[/dev/sda /dev/sdc /dev/sdd] sdb[]"},
		{"the first one cannot be read", []Disk{named("sda", same), named("sdb", ext4)}, []bool{true, false},
			"sdb[/dev/sdb /dev/sda]"},
		{"the second one cannot be read", []Disk{named("sda", ext4), named("sdb", same)}, []bool{false, true},
			"sda[/dev/sda /dev/sdb]"},
		{"other content", []Disk{named("sda", same), named("sdb", ext4)}, nil, "sda[] sdb[]"},
		{"other size", []Disk{named("sda", same), named("sdb", func(d *Disk) { d.Size++ })}, nil, "sda[] sdb[]"},
		{"no WWN", []Disk{named("sda", func(d *Disk) { d.WWN = "" }), named("sdb", func(d *Disk) { d.WWN = "" })}, nil,
			"sda[] sdb[]"},
		{"no serial", []Disk{named("sda", func(d *Disk) { d.Serial = "" }),
			named("sdb", func(d *Disk) { d.Serial = "" })}, nil, "sda[] sdb[]"},
		{"two sticks of a maker with one serial", []Disk{named("sda", func(d *Disk) { d.Bus = "usb" }),
			named("sdb", func(d *Disk) { d.Bus = "usb" })}, nil, "sda[] sdb[]"},
		{"two SATA disks with one serial", []Disk{named("sda", func(d *Disk) { d.Bus = "sata" }),
			named("sdb", func(d *Disk) { d.Bus = "sata" })}, nil, "sda[] sdb[]"},
	} {
		failed := c.failed
		if failed == nil {
			failed = make([]bool, len(c.disks))
		}
		var got []string
		for _, d := range joinPaths(slices.Clone(c.disks), failed) {
			got = append(got, fmt.Sprintf("%s%v", d.Name, d.Paths))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// TestJoinedIsBlankOnlyIfAllAre: samples are of random places, so one path may find what the other missed.
func TestJoinedIsBlankOnlyIfAllAre(t *testing.T) {
	d := Disk{Bus: "nvme", WWN: "eui.1", Serial: "S", Size: 1 << 30, SectorSize: 512}
	for _, c := range []struct {
		a, b string
		want bool
	}{{content.Zeros, content.Zeros, true}, {content.Zeros, "data at byte 5", false},
		{"data at byte 5", content.Zeros, false}} {
		one, two := d, d
		one.Path, one.Sampled, two.Path, two.Sampled = "/dev/nvme0n1", c.a, "/dev/nvme1n1", c.b
		got := joinPaths([]Disk{one, two}, []bool{false, false})
		if len(got) != 1 || got[0].Blank() != c.want {
			t.Errorf("%q and %q: %+v, want blank %v", c.a, c.b, got, c.want)
		}
	}
}
