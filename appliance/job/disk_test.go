package job

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestBlankIsProved: nothing but samples that are all zeros or all ones makes a disk blank, and a disk that is not
// blank always says what it holds.
func TestBlankIsProved(t *testing.T) {
	for _, c := range []struct {
		name string
		disk Disk
		want string // "" for blank
	}{
		{"zeros", Disk{Sampled: Zeros}, ""},
		{"ones", Disk{Sampled: Ones}, ""},
		{"not read", Disk{}, "unknown content: the disk was not read"},
		{"not read, removable", Disk{Removable: true}, "unknown content: the disk is removable and was not read"},
		{"data", Disk{Sampled: "data at byte 4096 (0x41)"}, "unknown content: data at byte 4096 (0x41)"},
		{"hostile words", Disk{Sampled: "\x1b[2Jzeros"}, "unknown content: [2Jzeros"},
		{"zeros with a table", Disk{Sampled: Zeros, Table: "mac"}, "an empty mac partition table"},
		{"damaged table", Disk{Table: "gpt", Damaged: "only its backup copy is left"},
			"a damaged gpt partition table: only its backup copy is left"},
		{"zeros with a signature", Disk{Sampled: Zeros, Signature: "drbd"}, "whole disk: drbd"},
		{"zeros with a mark", Disk{Sampled: Zeros, Unfinished: "x"}, "an unfinished install"},
	} {
		if got := strings.Join(c.disk.Holds(), "|"); got != c.want || c.disk.Blank() != (c.want == "") {
			t.Errorf("%s: Holds() = %q, Blank() = %v; want %q", c.name, got, c.disk.Blank(), c.want)
		}
	}
	many := Disk{Table: "gpt"}
	for i := range 9 {
		many.Partitions = append(many.Partitions, Partition{Number: i, Type: "x"})
	}
	if got := many.Loss(); !strings.HasSuffix(got, "; and 5 more") || strings.Count(got, ";") != 4 {
		t.Errorf("Loss() = %q, want four entries and the number of the others", got)
	}
}

// TestRulesThatAreAdvisedWork: whatever disks share, each rule that a refusal lists picks one disk, and the name that
// goes with it names that disk and no other.
func TestRulesThatAreAdvisedWork(t *testing.T) {
	disk := func(n int, serial, wwn, place string) Disk {
		return Disk{Path: fmt.Sprintf("/dev/sd%c", 'a'+n), Serial: serial, WWN: wwn, Place: place, Size: 10}
	}
	for _, c := range []struct {
		name  string
		disks []Disk
		want  string
	}{
		{"two serials", []Disk{disk(0, "A", "", ""), disk(1, "B", "", "")}, "serial:A, serial:B"},
		{"one serial, two WWNs", []Disk{disk(0, "A", "eui.1", ""), disk(1, "A", "eui.2", "")}, "wwn:eui.1, wwn:eui.2"},
		{"two places", []Disk{disk(0, "A", "eui.1", "pci-1"), disk(1, "A", "eui.1", "pci-2")},
			"path:/dev/disk/by-path/pci-1, path:/dev/disk/by-path/pci-2"},
		{"all the same", []Disk{disk(0, "A", "", ""), disk(1, "A", "", "")}, "path:/dev/sda, path:/dev/sdb"},
		{"a serial that is another's path", []Disk{disk(0, "sdb", "", ""), disk(1, "B", "", "")},
			"path:/dev/sda, serial:B"},
		{"a serial that does not survive the wire", []Disk{disk(0, "A  B", "", ""), disk(1, "C\x01", "", "")},
			"path:/dev/sda, path:/dev/sdb"},
		{"a serial that would be cut", []Disk{disk(0, strings.Repeat("x", 200), "", ""), disk(1, "", "", "")},
			"path:/dev/sda, path:/dev/sdb"},
	} {
		_, err := DiskRule("largest").Pick(c.disks)
		if !errors.Is(err, ErrRule) || !strings.Contains(err.Error(), "name one: "+c.want+";") {
			t.Errorf("%s: Pick() = %v, want the rules %s", c.name, err, c.want)
		}
		for i, rule := range strings.Split(c.want, ", ") {
			parsed, err := ParseDiskRule(rule)
			if err != nil {
				t.Errorf("%s: ParseDiskRule(%q) = %v", c.name, rule, err)
			}
			if got, err := parsed.Pick(c.disks); err != nil || got.Path != c.disks[i].Path {
				t.Errorf("%s: %s picks %s, %v; want %s", c.name, rule, got.Path, err, c.disks[i].Path)
			}
			_, name := c.disks[i].NameAmong(c.disks)
			for j, d := range c.disks {
				if d.Named(name) != (i == j) {
					t.Errorf("%s: Named(%q) of %s = %v", c.name, name, d.Path, i != j)
				}
			}
		}
	}
	if _, err := DiskRule("serial:A").Pick([]Disk{disk(0, "A", "", ""), disk(1, "A", "", "")}); err == nil ||
		strings.Contains(err.Error(), "by serial") {
		t.Errorf("Pick of a shared serial = %v, want advice other than the serial", err)
	}
}

// TestLargestLeavesWhatIsPluggedIn: a card or a stick is never the largest disk, and the refusal says why.
func TestLargestLeavesWhatIsPluggedIn(t *testing.T) {
	emmc := Disk{Path: "/dev/mmcblk0", Bus: "mmc", Size: 10}
	out := []Disk{
		{Path: "/dev/mmcblk1", Bus: "mmc", Size: 40, Removable: true}, {Path: "/dev/sda", Bus: "usb", Size: 50},
		{Path: "/dev/sdb", Bus: "firewire", Size: 5},
	}
	for _, rule := range []DiskRule{"largest", "smallest"} {
		if d, err := rule.Pick(append(out, emmc)); err != nil || d.Path != emmc.Path {
			t.Errorf("%s picks %s, %v; want the disk that is built in", rule, d.Path, err)
		}
		if _, err := rule.Pick(out); !errors.Is(err, ErrRule) || !strings.Contains(err.Error(), "named by serial") {
			t.Errorf("%s of plugged-in disks = %v, want an error that says that they need a name", rule, err)
		}
	}
}

func TestStringNeverCutsASerial(t *testing.T) {
	serial := strings.Repeat("S", 100)
	a, b := Disk{Path: "/dev/sda", Serial: serial + "1"}, Disk{Path: "/dev/sda", Serial: serial + "2"}
	if a.String() == b.String() {
		t.Errorf("two disks are both %q", a)
	}
}
