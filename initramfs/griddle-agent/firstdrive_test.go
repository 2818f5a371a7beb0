package main

import (
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/hardware"
)

func TestFirstDrive(t *testing.T) {
	gpt := func(path string, size int64) job.Disk {
		return job.Disk{Path: path, Size: size, Table: "gpt", TableID: "x"}
	}
	mbr := func(path string, size int64, id string) job.Disk {
		return job.Disk{Path: path, Size: size, Table: "mbr", TableID: id}
	}
	const a, b = "00a1b2c3", "11a1b2c3"
	for _, c := range []struct {
		name  string
		drive hardware.Drive
		disks []job.Disk
		want  string
	}{
		{"nothing known", hardware.Drive{}, []job.Disk{gpt("/dev/sda", 512)}, ""},
		{"by size", hardware.Drive{Sectors: 2}, []job.Disk{gpt("/dev/sda", 512), gpt("/dev/sdb", 1024)}, "/dev/sdb"},
		{"two of a size", hardware.Drive{Sectors: 2}, []job.Disk{gpt("/dev/sda", 1024), gpt("/dev/sdb", 1024)}, ""},
		{"by signature", hardware.Drive{Sectors: 2, Signature: b},
			[]job.Disk{mbr("/dev/sda", 1024, a), mbr("/dev/sdb", 1024, b)}, "/dev/sdb"},
		{"by signature alone", hardware.Drive{Signature: b},
			[]job.Disk{gpt("/dev/sda", 1024), mbr("/dev/sdb", 1024, b)}, "/dev/sdb"},
		{"a GPT was made since", hardware.Drive{Sectors: 2, Signature: b},
			[]job.Disk{gpt("/dev/sda", 1024), mbr("/dev/sdb", 1024, a)}, "/dev/sda"},
		{"the same signature", hardware.Drive{Sectors: 2, Signature: a},
			[]job.Disk{mbr("/dev/sda", 1024, a), mbr("/dev/sdb", 1024, a)}, ""},
		{"no such disk", hardware.Drive{Sectors: 9}, []job.Disk{gpt("/dev/sda", 512)}, ""},
	} {
		if got := firstDrive(c.drive, c.disks); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
