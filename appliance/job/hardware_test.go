package job

import (
	"strings"
	"testing"
)

func TestHardware(t *testing.T) {
	for want, d := range map[string]Disk{
		"":                                    {},
		"SSD, transport nvme, firmware 4B2Q":  {Bus: "nvme", Rotational: Solid, Firmware: "4B2Q", SectorSize: 512},
		"transport usb, removable":            {Bus: "usb", Removable: true, SectorSize: 512, PhysicalSector: 512},
		"sectors of 4096 bytes (4Kn)":         {SectorSize: 4096, PhysicalSector: 4096},
		"firmware [2J":                        {Firmware: "\x1b[2J"},
		"beside it /dev/mmcblk0boot0, /dev/b": {BootAreas: []string{"/dev/mmcblk0boot0", "/dev/b"}},
		"hard disk, transport sata, sectors of 512 bytes, 4096 inside (512e)": {Bus: "sata", Rotational: Rotates,
			SectorSize: 512, PhysicalSector: 4096},
	} {
		if got := d.Hardware(); got != want {
			t.Errorf("Hardware() = %q, want %q", got, want)
		}
	}
}

// TestSeveralPaths: a disk with several paths is chosen only by name, by each of its names, and says so.
func TestSeveralPaths(t *testing.T) {
	lun := Disk{Path: "/dev/sda", Paths: []string{"/dev/sda", "/dev/sdc"}, Serial: "L", WWN: "naa.6", Size: 2e12}
	own := Disk{Path: "/dev/sdb", Serial: "B", Size: 1e12}
	disks := []Disk{lun, own}
	for rule, want := range map[DiskRule]string{"largest": "/dev/sdb", "smallest": "/dev/sdb", "serial:L": "/dev/sda",
		"wwn:naa.6": "/dev/sda", "path:/dev/sda": "/dev/sda", "path:/dev/sdc": "/dev/sda"} {
		if d, err := rule.Pick(disks); err != nil || d.Path != want {
			t.Errorf("%s picks %s, %v; want %s", rule, d.Path, err, want)
		}
	}
	if _, err := DiskRule("largest").Pick(disks[:1]); err == nil ||
		!strings.Contains(err.Error(), "several paths must be named") {
		t.Errorf("largest of it alone = %v, want that it must be named", err)
	}
	for name, want := range map[string]bool{"/dev/sdc": true, "sdc": true, "sdb": false, "": false} {
		if lun.Named(name) != want {
			t.Errorf("Named(%q) = %v", name, !want)
		}
	}
	if got := strings.Join(lun.Warnings(disks), "|"); got != "this is one disk with 2 paths: /dev/sda, /dev/sdc" {
		t.Errorf("Warnings() = %q", got)
	}
}

func TestSharedSerialIsSaid(t *testing.T) {
	disks := []Disk{{Path: "/dev/sda", Serial: "0123"}, {Path: "/dev/sdb", Serial: "0123"}, {Path: "/dev/sdc"},
		{Path: "/dev/sdd"}}
	for i, want := range []string{"the same serial has /dev/sdb", "the same serial has /dev/sda", "", ""} {
		if got := strings.Join(disks[i].Warnings(disks), "|"); got != want {
			t.Errorf("%s: Warnings() = %q, want %q", disks[i].Path, got, want)
		}
	}
}
