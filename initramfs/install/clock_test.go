package install

import (
	"testing"

	"griddle/appliance/job"
)

func TestKeepsLocalTime(t *testing.T) {
	disk := func(path string, parts ...job.Partition) job.Disk { return job.Disk{Path: path, Partitions: parts} }
	stick := disk("/dev/sdb", job.Partition{Filesystem: "ntfs"})
	stick.Bus = "usb"
	card := disk("/dev/mmcblk0", job.Partition{Filesystem: "ntfs"})
	card.Removable = true
	for _, c := range []struct {
		name string
		disk job.Disk
		want bool
	}{
		{"blank", disk("/dev/sdb"), false},
		{"Linux", disk("/dev/sdb", job.Partition{Type: "Linux filesystem", Filesystem: "ext4"}), false},
		{"Windows", disk("/dev/sdb", job.Partition{Type: "EFI system", Filesystem: "vfat"}, job.Partition{Type: "Microsoft reserved"}), true},
		{"NTFS in an MBR", disk("/dev/sdb", job.Partition{Type: "NTFS or exFAT", Filesystem: "ntfs"}), true},
		{"exFAT in an MBR", disk("/dev/sdb", job.Partition{Type: "NTFS or exFAT", Filesystem: "exfat"}), false},
		{"BitLocker", disk("/dev/sdb", job.Partition{Filesystem: "BitLocker"}), true},
		{"recovery", disk("/dev/sdb", job.Partition{Type: "Windows recovery"}), true},
		{"a stick", stick, false},
		{"a card", card, false},
		{"what was overwritten", disk("/dev/sda", job.Partition{Filesystem: "ntfs"}), false},
	} {
		if _, got := keepsLocalTime([]job.Disk{disk("/dev/sda"), c.disk}, "/dev/sda"); got != c.want {
			t.Errorf("%s: keepsLocalTime = %v, want %v", c.name, got, c.want)
		}
	}
}
