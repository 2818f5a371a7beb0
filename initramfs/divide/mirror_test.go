package divide

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/initramfs/disk/disktest"
)

// halves is a layout of a mirror: beside a Windows, and on a disk that is blank.
func halves() layout.Document {
	second := layout.Disk{ID: "second", Match: job.Match{Serial: "S2"}, Partitions: []layout.Partition{
		{ID: "bios2", Use: layout.BIOS}, {ID: "esp2", Use: layout.ESP},
		{ID: "pool2", Use: layout.Pool, Size: size(400 * mib)},
		{ID: "data", Use: layout.Data, Size: size(50 * mib)}}}
	doc := of(esp, pool, layout.Partition{ID: "scratch", Use: layout.Data, Match: &layout.Which{Number: 3}, Wipe: true})
	doc.Disks[0].Match = job.Match{Serial: "S1"}
	doc.Disks = append(doc.Disks, second)
	return doc
}

// TestMirror makes a mirror, and ends the run at each entry of its last step: it is continued, and the mirror is whole.
func TestMirror(t *testing.T) {
	for back := range 4 {
		t.Run(fmt.Sprint(back), func(t *testing.T) {
			m := &machine{t: t}
			windows, second := m.windows(512), m.blank("S2", 900*mib, 512)
			p := m.plan(halves())
			before := sums(t, windows, staying(p)...)
			var b book
			if back > 0 {
				// The last entries are that the last step has begun, and that it is done.
				b = book{fail: 2*len(p.Steps) + 2 - back, keep: back == 2}
				if _, err := m.run(p, &b); !errors.Is(err, errBook) {
					t.Fatalf("Run, ended at entry %d of %d = %v", b.fail, len(b.lines), err)
				}
				b.fail = 0
			}
			made := m.must(p, &b)
			same(t, before, sums(t, windows, staying(p)...))
			if made.Disk.Path != windows || len(made.Others) != 1 || made.Others[0].Disk.Path != second ||
				made.Pool.UUID != made.Others[0].Pool.UUID || made.Others[0].ESP.Node == "" ||
				made.Others[0].BIOS.Size == 0 {
				t.Errorf("Run = %+v", made)
			}
			out := disktest.Tool(t, "btrfs", "filesystem", "show", made.Pool.UUID)
			if !strings.Contains(out, "Total devices 2") || !strings.Contains(out, made.Pool.Node) ||
				!strings.Contains(out, made.Others[0].Pool.Node) {
				t.Errorf("btrfs filesystem show: %s", out)
			}
			dir := t.TempDir()
			disktest.Tool(t, "mount", "-o", "device="+made.Others[0].Pool.Node, made.Pool.Node, dir)
			usage := disktest.Tool(t, "btrfs", "filesystem", "df", dir)
			disktest.Tool(t, "umount", dir)
			if strings.Contains(usage, "single") && !strings.Contains(usage, "GlobalReserve, single") ||
				strings.Count(usage, "RAID1") != 3 {
				t.Errorf("btrfs filesystem df: %s", usage)
			}
		})
	}
}

// TestMirrorHalfChanges has another system write to the second half before the mirror is made.
func TestMirrorHalfChanges(t *testing.T) {
	m := &machine{t: t}
	m.windows(512)
	second := m.blank("S2", 900*mib, 512)
	p := m.plan(halves())
	b := book{fail: 2 * len(p.Steps)} // the last step has begun
	if _, err := m.run(p, &b); !errors.Is(err, errBook) {
		t.Fatalf("Run = %v", err)
	}
	b.fail = 0
	disktest.Tool(t, "mkfs.ext4", "-q", "-F", second+"p3")
	before := m.everything(second)
	if _, err := m.run(p, &b); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "ext4") {
		t.Errorf("Run on a half that has an ext4 = %v", err)
	}
	if m.everything(second) != before {
		t.Error("the second disk was written to")
	}
}
