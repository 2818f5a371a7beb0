//go:build torture

package divide

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/disk/disktest"
)

// TestVolumesChanged has other systems write between the steps. The run stops, and they keep what they wrote.
func TestVolumesChanged(t *testing.T) {
	m := inside(t)
	if m == nil {
		return
	}
	p := m.plan(onVolumes())
	making := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Do == plan.MakeVolume })
	b := &book{fail: 2*making + 2, keep: false} // the first volume has not begun
	if _, err := m.run(p, b); !errors.Is(err, errBook) {
		t.Fatalf("Run = %v", err)
	}
	first := m.disks["S1"] + "3"
	refused := func(name, want string) {
		t.Helper()
		before := bytesOn(t, m.disks["S1"])
		b.fail = 0
		if _, err := m.run(p, b); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Run = %v, want %q", name, err, want)
		}
		if bytesOn(t, m.disks["S1"]) != before {
			t.Errorf("%s: the disk was written to", name)
		}
		nothingRuns(t)
	}
	disktest.Tool(t, "mkfs.ext4", "-q", "-F", first)
	refused("a filesystem in a member", "another system has written to "+first+" since it was cleared")
	// As if the program had ended after it wrote one of two members, with the UUID of the journal, and left it running.
	b.lines = append(b.lines, entry(t, Entry{Version: Version, Job: jobID, Step: making + 1, State: Begun,
		UUID: "0a1b2c3d-0000-4000-8000-0123456789ab"}))
	refused("a filesystem in a member of a volume that has begun", first+" has ext4, which this job did not make")
	disktest.Tool(t, "wipefs", "--all", first)
	disktest.Tool(t, "mdadm", "--create", "/dev/md/x", "--run", "--quiet", "--level=1", "--raid-devices=2",
		"--uuid=0a1b2c3d-0000-4000-8000-0123456789ab", "--metadata=1.2", first, "missing")
	// Up to the clearing of the first volume, which then gets a filesystem from someone else.
	b.fail, b.keep = len(b.lines)+4, true
	if _, err := m.run(p, b); !errors.Is(err, errBook) {
		t.Fatalf("Run on a member that has begun = %v", err)
	}
	nothingRuns(t)
	if last := b.entries(t)[len(b.lines)-1]; last.State != Begun || last.Step != making+2 {
		t.Fatalf("the last entry is %+v", last)
	}
	b.lines = b.lines[:len(b.lines)-1]
	disktest.Tool(t, "mdadm", "--assemble", "/dev/md/home", first, m.disks["S2"]+"1")
	disktest.Tool(t, "mkfs.ext4", "-q", "-F", "/dev/md/home")
	disktest.Tool(t, "mdadm", "--stop", "/dev/md/home")
	refused("a filesystem in a volume", "another system has written to the volume home since it was made")
}

func entry(t *testing.T, e Entry) []byte {
	t.Helper()
	b := book{}
	if err := b.Record(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	return b.lines[0]
}
