package job

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPickErase(t *testing.T) {
	a := Disk{Path: "/dev/sda", Serial: "A1", WWN: "naa.1", Size: 10, Place: "pci-0000:00:1f.2-ata-1"}
	b := Disk{Path: "/dev/sdb", Serial: "B1", Size: 20}
	twins := []Disk{{Path: "/dev/sdc", Serial: "SAME", Size: 5, WWN: "naa.c"}, {Path: "/dev/sdd", Serial: "SAME",
		Size: 5}}
	bare := Disk{Path: "/dev/vda", Size: 30}
	placed := Disk{Path: "/dev/vdb", Size: 30, Place: "pci-0000:00:05.0"}
	locked := Disk{Path: "/dev/sde", Serial: "E1", Size: 9, ReadOnly: true} // it cannot be read, and may be erased
	empty := Disk{Path: "/dev/sr0", Serial: "R1"}
	all := append([]Disk{a, b, bare, placed, locked, empty}, twins...)
	for _, c := range []struct{ name, want, wrong string }{
		{"A1", "/dev/sda", ""},
		{" A1 ", "/dev/sda", ""},
		{"naa.1", "/dev/sda", ""},
		{"B1", "/dev/sdb", ""},
		{"/dev/vda", "/dev/vda", ""},
		{"vda", "/dev/vda", ""},
		{"/dev/disk/by-path/pci-0000:00:05.0", "/dev/vdb", ""},
		{"E1", "/dev/sde", ""},
		{"naa.c", "/dev/sdc", ""},
		{"", "", "must name one disk"},
		{"largest", "", `no disk is named "largest"`},
		{"smallest", "", "no disk is named"},
		{"serial:A1", "", "no disk is named"},
		{"*", "", "no disk is named"},
		{"R1", "", "no disk is named"},
		{"/dev/sda", "", "may be another disk at the next boot; name disk /dev/sda, 10 B, serial A1 by A1"},
		{"sda", "", "by A1"},
		{"/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "", "by A1"},
		{"/dev/vdb", "", "by /dev/disk/by-path/pci-0000:00:05.0"},
		{"SAME", "", `2 disks are named "SAME"`},
	} {
		got, err := PickErase(c.name, all)
		if c.wrong == "" && (err != nil || got.Path != c.want) {
			t.Errorf("PickErase(%q) = %s, %v, want %s", c.name, got.Path, err, c.want)
		}
		if c.wrong != "" && (!errors.Is(err, ErrRule) || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("PickErase(%q) = %s, %v, want an error with %q", c.name, got.Path, err, c.wrong)
		}
	}
}

func TestParseEraseLevel(t *testing.T) {
	for s, ok := range map[string]bool{"": true, "purge": true, "clear": true, "discard": true, "destroy": false,
		"Purge": false} {
		if _, err := ParseEraseLevel(s); (err == nil) != ok {
			t.Errorf("ParseEraseLevel(%q): %v", s, err)
		}
	}
}

// TestCertificate: a certificate survives JSON, and one of a hostile machine is cut.
func TestCertificate(t *testing.T) {
	c := Certificate{Version: 1, Job: "0d5c1fc4-6a2c-4f7d-8a53-0f6f3f0f6a01", Agent: "1", Result: Erased, Level: Purge,
		Method: "nvme-sanitize-block", Disk: Disk{Path: "/dev/nvme0n1", Serial: "S", Size: 1e12, SectorSize: 512},
		Held: "btrfs", Began: time.Unix(1e9, 0).UTC(), Ended: time.Unix(1e9+60, 0).UTC(),
		Verified: Verification{Way: EraseReadSamples, Bytes: 4096, Zeros: true}, Notes: []string{"a note"}}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var again Certificate
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if got := again.Bounded(); !reflect.DeepEqual(got.Bounded(), got) || got.String() != c.String() ||
		got.Notes[0] != "a note" || !got.Began.Equal(c.Began) {
		t.Errorf("%+v, want %+v", got, c)
	}
	const want = "/dev/nvme0n1, 1.00 TB, serial S: erased; nvme-sanitize-block (purge); 4.10 kB read back as samples"
	if got := c.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	long := strings.Repeat("x\x1b[31m", 4000)
	hostile := Certificate{Job: long, Machine: long, Agent: long, Held: long, Reason: long, Method: long,
		Result: "\x00",
		Disk:   Disk{Serial: long, Partitions: make([]Partition, 9999)}, Notes: make([]string, 9999)}
	hostile.Notes[0] = long
	if got := hostile.Bounded(); strings.ContainsAny(got.Held+got.Reason+got.Notes[0]+got.String(), "\x1b\x00") {
		t.Errorf("%q", got.String())
	}
	if b, err := json.Marshal(hostile.Bounded()); err != nil || len(b) > 16<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
