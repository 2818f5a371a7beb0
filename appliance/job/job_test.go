package job

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPick(t *testing.T) {
	disks := []Disk{
		{Path: "/dev/sda", Serial: "A", Size: 500e9},
		{Path: "/dev/sdb", Serial: "B", Size: 200e9},
		{Path: "/dev/sdc", Serial: "B", Size: 300e9},
		{Path: "/dev/sdd", Serial: "USB", Size: 900e9, Removable: true},
		{Path: "/dev/sde", Serial: "RO", Size: 1e9, ReadOnly: true},
		{Path: "/dev/sdf", Size: 0},
	}
	twins := []Disk{{Path: "/dev/vda", Size: 20e9}, {Path: "/dev/vdb", Size: 20e9}, {Path: "/dev/vdc", Size: 10e9}}
	tests := []struct {
		rule  DiskRule
		disks []Disk
		want  string // path, or a part of the error
		fails bool
	}{
		{"largest", disks, "/dev/sda", false},
		{"smallest", disks, "/dev/sdb", false},
		{"serial:A", disks, "/dev/sda", false},
		{"serial:USB", disks, "/dev/sdd", false},
		{"path:/dev/sdc", disks, "/dev/sdc", false},
		{"serial:B", disks, "2 disks fit", true},
		{"serial:RO", disks, "no disk fits", true},
		{"serial:", disks, "no disk fits", true},
		{"path:/dev/sdf", disks, "no disk fits", true},
		{"largest", nil, "no disk at all", true},
		{"largest", twins, "2 disks fit", true},
		{"smallest", twins, "/dev/vdc", false},
		{"", disks, "no disk fits", true},
	}
	for _, tt := range tests {
		got, err := tt.rule.Pick(tt.disks)
		switch {
		case tt.fails && (err == nil || !errors.Is(err, ErrRule) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("Pick(%q) = %v, %v, want an error with %q", tt.rule, got, err, tt.want)
		case !tt.fails && (err != nil || got.Path != tt.want):
			t.Errorf("Pick(%q) = %v, %v, want %s", tt.rule, got, err, tt.want)
		}
	}
}

func TestParseDiskRule(t *testing.T) {
	for in, want := range map[string]DiskRule{"largest": "largest", "smallest": "smallest", "serial:X y": "serial:X y",
		"/dev/vda": "path:/dev/vda", "path:/dev/vda": "path:/dev/vda"} {
		if got, err := ParseDiskRule(in); err != nil || got != want {
			t.Errorf("ParseDiskRule(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "biggest", "serial:", "path:", "path:vda", "/dev/", "vda"} {
		if got, err := ParseDiskRule(in); !errors.Is(err, ErrRule) {
			t.Errorf("ParseDiskRule(%q) = %q, %v, want ErrRule", in, got, err)
		}
	}
}

func TestHolds(t *testing.T) {
	if h := (Disk{}).Holds(); h != nil {
		t.Errorf("a blank disk holds %q", h)
	}
	d := Disk{Table: "gpt", Partitions: []Partition{{Number: 1, Size: 512 << 20, Type: "EFI system", Filesystem: "vfat", Label: "A\x1bB"}, {Number: 2, Size: 1e9}}}
	if got, want := strings.Join(d.Holds(), "|"), `partition 1: 537 MB, vfat "A B"|partition 2: 1.00 GB, unknown content`; got != want {
		t.Errorf("Holds() = %s, want %s", got, want)
	}
	if (Disk{Table: "mbr"}).Blank() || (Disk{Signature: "LVM2_member"}).Blank() {
		t.Error("a disk with a table or a signature counts as blank")
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.00 kB", 9994: "9.99 kB", 9996: "10.0 kB", 20e9: "20.0 GB", 500107862016: "500 GB", 999.6e9: "1.00 TB", 1<<63 - 1: "9.22 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("QEMU HARDDISK   ")
	f.Add("\x1b[2J\u202e\xff\x00")
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 64 || got != strings.TrimSpace(got) {
			t.Errorf("Printable(%q) = %q", s, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("Printable(%q) keeps %q", s, r)
			}
		}
		if again := Printable(got); again != got {
			t.Errorf("Printable is not idempotent: %q, then %q", got, again)
		}
	})
}
