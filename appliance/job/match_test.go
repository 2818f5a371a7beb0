package job

import (
	"errors"
	"strings"
	"testing"
)

func TestMatchPick(t *testing.T) {
	t.Parallel()
	disks := []Disk{
		{Path: "/dev/sda", Model: "Samsung SSD 870", Serial: "S1", WWN: "naa.5001", Bus: "sata", Size: 500e9,
			Rotational: Rotates, Place: "pci-0000:00:1f.2-ata-1"},
		{Path: "/dev/sdb", Model: "WDC WD40", Serial: "WD-1", Bus: "sata", Size: 4e12},
		{Path: "/dev/sdc", Model: "WDC WD40", Serial: "WD-2", Bus: "sata", Size: 4e12},
		{Path: "/dev/nvme0n1", Model: "Micron", Serial: "M/1", Bus: "nvme", Size: 1e12, Rotational: Solid},
		{Path: "/dev/sdd", Model: "Stick", Serial: "U1", Bus: "usb", Size: 64e9},
		{Path: "/dev/mmcblk0", Model: "Card", Bus: "mmc", Size: 32e9, Removable: true},
		{Path: "/dev/sdf", Paths: []string{"/dev/sdf", "/dev/sdg"}, Bus: "scsi", Size: 5e12},
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
		{match: Match{Size: "6T.."}, fail: "no disk fits; this machine has /dev/sda"},
		{match: Match{Path: "/dev/sdd"}, want: "/dev/sdd"},
		{match: Match{Serial: "U1"}, want: "/dev/sdd"},
		{match: Match{Transport: "usb"}, fail: "disks with several paths must be named by serial, wwn or path"},
		{match: Match{Path: "/dev/mmcblk*"}, want: "/dev/mmcblk0"},
		{match: Match{Path: "/dev/disk/by-path/pci-*-ata-1"}, want: "/dev/sda"},
		{match: Match{Serial: "RO"}, fail: "no disk fits"},
		{match: Match{Rotational: Solid}, want: "/dev/nvme0n1"},
		{match: Match{Rotational: Rotates, Size: Smallest}, want: "/dev/sda"},
		{match: Match{Size: Largest, Transport: "scsi"}, fail: "several paths must be named"},
		{match: Match{Path: "/dev/sdg"}, want: "/dev/sdf"},
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
		if got := Fits(c.pattern, c.text); got != c.want {
			t.Errorf("Fits(%q, %q) = %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}

func TestParseMatch(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{ // "" for an error
		"size=largest":                         "size=largest",
		" transport=nvme , size=100G..2T":      "size=100G..2T,transport=nvme",
		"model=Samsung SSD 8?0*,rotational=no": "model=Samsung SSD 8?0*,rotational=no",
		"serial=a=b":                           "serial=a=b",
		"path=/dev/disk/by-path/pci-*-ata-1":   "path=/dev/disk/by-path/pci-*-ata-1",
		"rotational=yes,wwn=naa.5*":            "wwn=naa.5*,rotational=yes",
	} {
		m, err := ParseMatch(in)
		if err != nil || m.String() != want {
			t.Errorf("ParseMatch(%q) = %s, %v, want %s", in, m, err, want)
		}
	}
	for in, want := range map[string]string{
		"": `"" is not a key`, "size": "size has no value", "model=": "model has no value",
		"colour=red":                 `"colour" is not`,
		"size=largest,size=smallest": "size is there twice", "size=huge": `"huge" is not largest`,
		"size=2T..1T": "is not largest", "transport=ide": `"ide" is not one of nvme`,
		"serial=*": `"*" fits everything`,
		"path=sda": "does not begin with /dev/", "rotational=1": `"1" is not yes or no`,
		"model=a\x1bb": "control characters",
		"model=a,":     `"" is not a key`, "Size=largest": `"Size" is not a key`,
		"transport=ide,rotational=x": "rotational:", "model=" + strings.Repeat("x", 200): "more than 128 bytes",
		"model=" + strings.Repeat("x", 600): "more than 512 bytes",
	} {
		if m, err := ParseMatch(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseMatch(%q) = %s, %v, want %q", in, m, err, want)
		}
	}
}

// TestMatchRule: a match as a rule of a job.
func TestMatchRule(t *testing.T) {
	t.Parallel()
	disks := []Disk{{Path: "/dev/sda", Bus: "sata", Size: 4e12, Rotational: Rotates},
		{Path: "/dev/nvme0n1", Bus: "nvme", Size: 1e12}, {Path: "/dev/nvme1n1", Bus: "nvme", Size: 2e12},
		{Path: "/dev/sdb", Bus: "usb", Serial: "U1", Size: 64e9}}
	for in, want := range map[string]string{
		"match:transport=nvme,size=largest": "/dev/nvme1n1", "match:rotational=yes": "/dev/sda",
		"match:size=..100GB": "", "match:serial=U?": "/dev/sdb", "match:transport=nvme": "", "match:model=x": "",
	} {
		rule, err := ParseDiskRule(in)
		if err != nil || !rule.IsMatch() {
			t.Fatalf("ParseDiskRule(%q) = %q, %v", in, rule, err)
		}
		if d, err := rule.Pick(disks); d.Path != want || (want == "") != errors.Is(err, ErrRule) {
			t.Errorf("%s picks %q, %v, want %q", in, d.Path, err, want)
		}
	}
	for _, bad := range []DiskRule{"match:", "match:size=huge", "match:future=1", "match:\x1b[2J"} {
		if _, err := ParseDiskRule(string(bad)); !errors.Is(err, ErrRule) {
			t.Errorf("ParseDiskRule(%q) = %v, want ErrRule", bad, err)
		}
		if d, err := bad.Pick(disks); !errors.Is(err, ErrRule) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q picks %q, %v, want ErrRule", bad, d.Path, err)
		}
	}
}

func FuzzParseMatch(f *testing.F) {
	f.Add("size=100G..2T,transport=nvme,model=Samsung*")
	f.Add("serial=a=b,rotational=no,path=/dev/sda,wwn=?x")
	f.Fuzz(func(t *testing.T, in string) {
		m, err := ParseMatch(in)
		if err != nil {
			return
		}
		if again, err := ParseMatch(m.String()); err != nil || again != m {
			t.Errorf("ParseMatch(%q) = %+v, %v, want %+v", m.String(), again, err, m)
		}
		_, _ = m.Pick([]Disk{{Path: "/dev/sda", Model: in, Serial: in, Size: 5e11}})
	})
}
