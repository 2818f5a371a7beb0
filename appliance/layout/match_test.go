package layout

import (
	"encoding/json"
	"strings"
	"testing"

	"griddle/appliance/job"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Size{
		"20G": {Bytes: 20 << 30}, "20GB": {Bytes: 20e9}, "20GiB": {Bytes: 20 << 30}, "512M": {Bytes: 512 << 20},
		"1T": {Bytes: 1 << 40}, "3TB": {Bytes: 3e12}, "7kB": {Bytes: 7000}, "7K": {Bytes: 7 << 10},
		"513B": {Bytes: 513}, "25%": {Percent: 25}, "100%": {Percent: 100}, "rest": {Rest: true},
	} {
		got, err := ParseSize(in)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %+v, %v, want %+v", in, got, err, want)
		}
		again, err := ParseSize(got.String())
		if err != nil || again != got {
			t.Errorf("ParseSize(%q) = %+v, %v, want %+v", got.String(), again, err, got)
		}
	}
	for _, in := range []string{"", "20", "G", "0G", "-1G", "+1G", "1.5G", "01G", "1 G", "9999999999999T", "0%", "101%",
		"%", "-1", "1e3M", "20g", "half", "٣G"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %+v, want an error", in, got)
		}
	}
	var s Size
	if b, err := json.Marshal(Size{Percent: 7}); err != nil || string(b) != `"7%"` || json.Unmarshal(b, &s) != nil ||
		s.Percent != 7 {
		t.Errorf("as JSON 7%% is %s, %v, and back %+v", b, err, s)
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	disks := []job.Disk{
		{Path: "/dev/sda", Model: "Samsung SSD 870", Serial: "S1", WWN: "naa.5001", Bus: "sata", Size: 500e9,
			Place: "pci-0000:00:1f.2-ata-1"},
		{Path: "/dev/sdb", Model: "WDC WD40", Serial: "WD-1", Bus: "sata", Size: 4e12},
		{Path: "/dev/sdc", Model: "WDC WD40", Serial: "WD-2", Bus: "sata", Size: 4e12},
		{Path: "/dev/nvme0n1", Model: "Micron", Serial: "M/1", Bus: "nvme", Size: 1e12},
		{Path: "/dev/sdd", Model: "Stick", Serial: "U1", Bus: "usb", Size: 64e9},
		{Path: "/dev/mmcblk0", Model: "Card", Bus: "mmc", Size: 32e9, Removable: true},
		{Path: "/dev/sde", Model: "Tape", Serial: "RO", Size: 8e12, ReadOnly: true},
	}
	for _, c := range []struct {
		match      Match
		want, fail string
	}{
		{match: Match{Size: Smallest}, want: "/dev/sda"},
		{match: Match{Size: Largest}, fail: "2 disks fit: /dev/sdb, 4.00 TB, serial WD-1, WDC WD40; /dev/sdc"},
		{match: Match{Size: Largest, Transport: "nvme"}, want: "/dev/nvme0n1"},
		{match: Match{Size: Largest, Serial: "*-2"}, want: "/dev/sdc"},
		{match: Match{Model: "WDC*", Serial: "WD-?"}, fail: "2 disks fit"},
		{match: Match{Model: "samsung*"}, fail: "no disk fits; this machine has"},
		{match: Match{Model: "Samsung*"}, want: "/dev/sda"},
		{match: Match{Serial: "M/*"}, want: "/dev/nvme0n1"},
		{match: Match{WWN: "naa.5*"}, want: "/dev/sda"},
		{match: Match{Size: "900GB..1TB"}, want: "/dev/nvme0n1"},
		{match: Match{Size: "1TB..1TB"}, want: "/dev/nvme0n1"},
		{match: Match{Size: "..600G"}, want: "/dev/sda"},
		{match: Match{Size: "5T.."}, fail: "no disk fits; this machine has /dev/sda"},
		{match: Match{Path: "/dev/sdd"}, want: "/dev/sdd"},
		{match: Match{Serial: "U1"}, want: "/dev/sdd"},
		{match: Match{Transport: "usb"}, fail: "removable disks and USB disks must be named by serial, wwn or path"},
		{match: Match{Path: "/dev/mmcblk*"}, want: "/dev/mmcblk0"},
		{match: Match{Path: "/dev/disk/by-path/pci-*-ata-1"}, want: "/dev/sda"},
		{match: Match{Serial: "RO"}, fail: "no disk fits"},
	} {
		got, err := c.match.Pick(disks)
		if c.fail == "" && (err != nil || got.Path != c.want) ||
			c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)) {
			t.Errorf("Pick of %s = %s, %v, want %s%s", c.match, got.Path, err, c.want, c.fail)
		}
	}
	if _, err := (Match{Size: Largest}).Pick(nil); err == nil || !strings.Contains(err.Error(), "has no disk") {
		t.Errorf("Pick among no disks = %v", err)
	}
}

// TestFits compares patterns with text: a pattern takes no time out of proportion.
func TestFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "a", true}, {"*", "", true}, {"a*b", "ab", true}, {"a*b", "axxb", true}, {"a*b", "axxbc", false},
		{"*a*a*", "banana", true}, {"?", "", false}, {"?", "ä", true}, {"a?c", "abc", true}, {"abc", "ab", false},
		{"ab", "abc", false}, {"*c", "abcabc", true}, {"[a]", "a", false},
		{strings.Repeat("a*", 60) + "b", strings.Repeat("a", 120), false},
	} {
		if got := fits(c.pattern, c.text); got != c.want {
			t.Errorf("fits(%q, %q) = %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}
