package layout

import (
	"strings"
	"testing"
)

// TestMirror has layouts with pools on several disks.
func TestMirror(t *testing.T) {
	t.Parallel()
	half := func(id string) Disk {
		return Disk{ID: "disk-" + id, Match: Match{Serial: id}, Partitions: []Partition{{ID: "esp-" + id, Use: ESP},
			{ID: "pool-" + id, Use: Pool, Size: Size{Rest: true}}}}
	}
	for _, c := range []struct {
		name   string
		doc    Document
		mirror bool
		want   string
	}{
		{"one disk", Document{Version: 1, Disks: []Disk{half("a")}}, false, ""},
		{"two disks", Document{Version: 1, Disks: []Disk{half("a"), half("b")}}, true, ""},
		{"three disks", Document{Version: 1, Disks: []Disk{half("a"), half("b"), half("c")}}, true,
			"disks: the layout has a pool on 3 disks, and a mirror has 2; for a mirror give each of two disks one " +
				"partition with use: pool"},
		{"the short form", Form{Version: 1, Layout: Mirror, Match: Match{Serial: "a"}, With: &Match{Serial: "b"},
			Wipe: true}.Document(), true, ""},
		{"the short form with MBRs", Form{Version: 1, Layout: Mirror, Match: Match{Serial: "a"},
			With: &Match{Serial: "b"}, Table: MBR}.Document(), true, ""},
		{"without the other disk", Form{Version: 1, Layout: Mirror, Match: Match{Serial: "a"}}.Document(), true,
			"disks[1].match: it does not say which disk is meant; write match: {size: largest} for the largest disk"},
	} {
		if got := c.doc.Check().Error(); got != c.want || c.doc.Mirrors() != c.mirror {
			t.Errorf("%s: Check() = %q, want %q; Mirrors() = %v", c.name, got, c.want, c.doc.Mirrors())
		}
	}
	no := half("b")
	no.Partitions[0].Use = BIOS
	if got := (Document{Version: 1, Disks: []Disk{half("a"), no}}).Check().Error(); !strings.Contains(got,
		"disks[1].partitions: the disk of the pool has no esp") {
		t.Errorf("Check of a half without an esp = %q", got)
	}
}
