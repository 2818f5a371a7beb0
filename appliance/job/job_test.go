package job

import (
	"errors"
	"strings"
	"testing"
)

func TestParseDiskRule(t *testing.T) {
	for in, want := range map[string]DiskRule{
		"largest": "largest", "smallest": "smallest", "serial:S 1": "serial:S 1", "/dev/vda": "path:/dev/vda",
		"path:/dev/vda": "path:/dev/vda", "": "", "biggest": "", "serial:": "", "/dev/": "",
		"path:/etc/passwd": "", "vda": "",
	} {
		got, err := ParseDiskRule(in)
		if got != want || (want == "") != errors.Is(err, ErrRule) {
			t.Errorf("ParseDiskRule(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestPick(t *testing.T) {
	small := Disk{Path: "/dev/vda", Serial: "A", Size: 10}
	big := Disk{Path: "/dev/vdb", Serial: "B", Size: 20}
	stick := Disk{Path: "/dev/sda", Serial: "U", Size: 30, Removable: true}
	backup := Disk{Path: "/dev/sdb", Serial: "V", Size: 50, Bus: "usb"}
	disc := Disk{Path: "/dev/sr0", Size: 40, ReadOnly: true}
	twin := Disk{Path: "/dev/vdc", Serial: "B", Size: 20}
	for _, c := range []struct {
		name  string
		rule  DiskRule
		disks []Disk
		want  string // "" for an error
	}{
		{"largest", "largest", []Disk{small, big, stick, disc}, "/dev/vdb"},
		{"smallest", "smallest", []Disk{stick, big, small}, "/dev/vda"},
		{"two are largest", "largest", []Disk{small, big, twin}, ""},
		{"two are not smallest", "smallest", []Disk{big, small, twin}, "/dev/vda"},
		{"no disk", "largest", nil, ""},
		{"only a stick", "largest", []Disk{stick}, ""},
		{"a disk on USB is not largest", "largest", []Disk{small, big, backup}, "/dev/vdb"},
		{"a disk on USB by path", "path:/dev/sdb", []Disk{small, backup}, "/dev/sdb"},
		{"stick by serial", "serial:U", []Disk{small, stick}, "/dev/sda"},
		{"shared serial", "serial:B", []Disk{big, twin}, ""},
		{"path", "path:/dev/vdc", []Disk{big, twin}, "/dev/vdc"},
		{"read-only by path", "path:/dev/sr0", []Disk{disc}, ""},
		{"empty serial", "serial:", []Disk{disc, {Path: "/dev/vdd", Size: 1}}, ""},
		{"no rule", "", []Disk{small}, ""},
	} {
		got, err := c.rule.Pick(c.disks)
		if got.Path != c.want || (c.want == "") != errors.Is(err, ErrRule) {
			t.Errorf("%s: Pick() = %q, %v, want %q", c.name, got.Path, err, c.want)
		}
	}
}

func TestNamed(t *testing.T) {
	d := Disk{Path: "/dev/vda", Serial: "S1"}
	for name, want := range map[string]bool{"S1": true, " S1 ": true, "/dev/vda": true, "vda": true, "": false,
		"s1": false, "vd": false} {
		if got := d.Named(name); got != want {
			t.Errorf("Named(%q) = %v, want %v", name, got, want)
		}
	}
	if (Disk{Path: "/dev/vda"}).Named("") {
		t.Error("the empty name names a disk without a serial")
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"Samsung SSD": "Samsung SSD", "  a \t\n b ": "a b", "\x1b[31mred": "[31mred", "a\u202eb": "a b",
		"\xff\xfe": "", "ü": "ü", strings.Repeat("x", 100): strings.Repeat("x", 64),
		strings.Repeat("x", 63) + " y": strings.Repeat("x", 63),
	} {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNormal(t *testing.T) {
	for in, want := range map[string]string{
		"52:54:00:12:34:AB": "52:54:00:12:34:ab", "52-54-00-12-34-ab": "52:54:00:12:34:ab",
		"5254.0012.34ab": "52:54:00:12:34:ab", "": "", "00:00:00:00:00:00": "", "ff:ff:ff:ff:ff:ff": "",
		"01:00:5e:00:00:01": "", "02:00:5e:10:00:00:00:01": "", "x": "",
	} {
		if got, ok := NormalMAC(in); got != want || ok != (want != "") {
			t.Errorf("NormalMAC(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
	for in, want := range map[string]string{
		"4C4C4544-0042-3510-8052-B4C04F4E4E32": "4c4c4544-0042-3510-8052-b4c04f4e4e32",
		"":                                     "", "00000000-0000-0000-0000-000000000000": "",
		"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF": "", "03000200-0400-0500-0006-000700080009": "",
		"4c4c4544004235108052b4c04f4e4e32": "", "4c4c4544-0042-3510-8052-b4c04f4e4e3g": "",
	} {
		if got := NormalUUID(in); got != want {
			t.Errorf("NormalUUID(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestESPLabel(t *testing.T) {
	for id, want := range map[string]string{"1b4e28ba-2fa1-11d2-883f-0016d3cca427": "GR-1B4E28BA", "": "GRIDDLE-ESP",
		"x/../y": "GRIDDLE-ESP"} {
		if got := ESPLabel(id); got != want || len(got) != 11 {
			t.Errorf("ESPLabel(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestBinary(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1e12: "931 GiB", 500107862016: "466 GiB",
		4 << 30: "4.00 GiB", 64 << 20: "64.0 MiB", 1<<20 - 1: "1.00 MiB", -5: "-5 B"} {
		if got := Binary(n); got != want {
			t.Errorf("Binary(%d) = %q, want %q", n, got, want)
		}
	}
}
