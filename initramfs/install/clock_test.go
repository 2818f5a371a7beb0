package install

import (
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
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
		{"Windows", disk("/dev/sdb", job.Partition{Type: "EFI system", Filesystem: "vfat"},
			job.Partition{Type: "Microsoft reserved"}), true},
		{"NTFS in an MBR", disk("/dev/sdb", job.Partition{Type: "NTFS or exFAT", Filesystem: "ntfs"}), true},
		{"exFAT in an MBR", disk("/dev/sdb", job.Partition{Type: "NTFS or exFAT", Filesystem: "exfat"}), false},
		{"BitLocker", disk("/dev/sdb", job.Partition{Filesystem: "BitLocker"}), true},
		{"recovery", disk("/dev/sdb", job.Partition{Type: "Windows recovery"}), true},
		{"a stick", stick, false},
		{"a card", card, false},
		{"what was overwritten", disk("/dev/sda", job.Partition{Filesystem: "ntfs"}), false},
	} {
		if _, got := keepsLocalTime([]job.Disk{disk("/dev/sda"), c.disk}, "/dev/sda", nil); got != c.want {
			t.Errorf("%s: keepsLocalTime = %v, want %v", c.name, got, c.want)
		}
	}
}

// On the disk of a plan a Windows counts if the plan leaves it.
func TestPlanKeepsLocalTime(t *testing.T) {
	disks := []job.Disk{{Path: "/dev/sda", Serial: "A", Partitions: []job.Partition{{Filesystem: "ntfs"}}},
		{Path: "/dev/sdb", Serial: "B"}}
	for _, c := range []struct {
		name   string
		serial string
		part   plan.Part
		want   bool
	}{
		{"it stays", "A", plan.Part{Filesystem: "ntfs", Fate: plan.Stays}, true},
		{"it is shrunk", "A", plan.Part{Filesystem: "ntfs", Fate: plan.Shrunk}, true},
		{"its recovery stays", "A", plan.Part{Type: "Windows recovery", Fate: plan.Stays}, true},
		{"it is encrypted", "A", plan.Part{Filesystem: "BitLocker", Fate: plan.Stays}, true},
		{"it is lost", "A", plan.Part{Filesystem: "ntfs", Fate: plan.Lost}, false},
		{"it is emptied", "A", plan.Part{Filesystem: "ext4", Fate: plan.Emptied}, false},
		{"the plan is for another disk", "B", plan.Part{Filesystem: "btrfs", Fate: plan.Made}, true},
	} {
		planned := []plan.Disk{{Path: "/dev/swapped", Identity: plan.Identity{Serial: c.serial},
			After: []plan.Part{{Type: "EFI system", Fate: plan.Stays}, c.part}}}
		if _, got := keepsLocalTime(disks, "", planned); got != c.want {
			t.Errorf("%s: keepsLocalTime = %v, want %v", c.name, got, c.want)
		}
	}
}

// A Windows beside a pool that stays keeps its clock.
func TestClockBesideWindows(t *testing.T) {
	for _, kept := range []bool{false, true} {
		set := false
		w := &work{kept: kept, report: &journal{}, target: job.Disk{Path: "/dev/sda"},
			disks: []job.Disk{{Path: "/dev/sda", Partitions: []job.Partition{{Filesystem: "ntfs"}}}},
			o:     Options{SetClock: func(time.Time) error { set = true; return nil }}}
		w.clock()
		if set == kept {
			t.Errorf("kept %v: the clock was set: %v", kept, set)
		}
	}
}

// A disk that the BIOS does not offer is warned of before anything is touched, and nothing is said
// where it is not known.
func TestForesee(t *testing.T) {
	for _, c := range []struct {
		name   string
		bios   bool
		drives []int64
		sector int
		warns  bool
	}{
		{"offered", true, []int64{100, 2048}, 512, false},
		{"not offered", true, []int64{100, 2047}, 512, true},
		{"not known", true, nil, 512, false},
		{"UEFI", false, []int64{100}, 512, false},
		{"4096-byte sectors, of which InstallBIOS warns", true, []int64{100}, 4096, false},
	} {
		j := &journal{}
		w := &work{report: j, phase: job.PhaseCheck, target: job.Disk{Path: "/dev/sdb", Size: 1 << 20,
			SectorSize: c.sector}, o: Options{BIOS: c.bios, Drives: c.drives}}
		w.warnOfBIOS()
		warned := slices.ContainsFunc(j.events, func(e job.Event) bool {
			return e.Level == job.Warning && e.Phase == job.PhaseCheck && strings.Contains(e.Message, "/dev/sdb") &&
				strings.Contains(e.Message, "BIOS setup")
		})
		if warned != c.warns {
			t.Errorf("%s: events %+v, want a warning: %v", c.name, j.events, c.warns)
		}
	}
}
