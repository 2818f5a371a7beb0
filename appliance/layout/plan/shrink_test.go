package plan

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

func shrinking(s layout.Shrink) layout.Document {
	return form(layout.Form{Layout: layout.Shrunk, Shrink: &s})
}

// TestShrink shrinks Windows by each way to say how far: the table follows the filesystem, and all that is made goes
// behind it.
func TestShrink(t *testing.T) {
	for name, c := range map[string]struct {
		shrink layout.Shrink
		want   int64
	}{
		"to":      {layout.Shrink{To: size(300 * gib)}, 300 * gib},
		"by":      {layout.Shrink{By: size(60 * gib)}, 450 * gib},
		"leave":   {layout.Shrink{Leave: size(50*gib + 1)}, 140*gib + mib},
		"a share": {layout.Shrink{To: layout.Size{Percent: 50}}, 256 * gib},
		"minimum": {layout.Shrink{To: size(80 * gib)}, 80 * gib},
	} {
		p := planned(t, shrinking(c.shrink), windows())
		after := p.Disks[0].After
		if got := fates(p.Disks[0]); got != `EFI system stays, Microsoft reserved stays, ntfs "Windows" shrunk, `+
			`BIOS boot made, btrfs "griddle" made, Windows recovery stays` {
			t.Errorf("%s: the disk will have %s", name, got)
		}
		if after[2].Size != c.want || after[3].Start != roundUp(after[2].Start+c.want) ||
			after[4].Start+after[4].Size !=
				after[5].Start || len(p.Losses) > 0 || len(p.Shrinks) != 1 {
			t.Errorf("%s: the plan is\n%s", name, p.Text(80))
		}
	}
	var verbs []string
	p := planned(t, shrinking(layout.Shrink{By: size(60 * gib)}), windows())
	for _, s := range p.Steps {
		verbs = append(verbs, string(s.Do))
	}
	if got := strings.Join(verbs, " "); got != "check-filesystem save-table shrink-filesystem set-size add-entry "+
		"add-entry "+
		"clear clear make-filesystem" {
		t.Errorf("the steps are %s", got)
	}
	// The condition of each step is what the steps before it leave.
	add, mkfs := p.Steps[5], p.Steps[8]
	if len(add.If.Entries) != 5 || add.If.Entries[2].Size != 450*gib || add.If.Entries[3].Type != "BIOS boot" ||
		len(mkfs.If.Entries) != 6 || !mkfs.If.Cleared || p.Steps[2].If.UUID != "01D9" ||
		p.Steps[3].If.Entries[2].Size != 510*gib {
		t.Errorf("the conditions are %+v", p.Steps)
	}
	if p := planned(t, shrinking(layout.Shrink{To: size(510 * gib)}), func() job.Disk {
		d := windows()
		d.Size += 20 * gib
		return d
	}()); len(p.Shrinks) > 0 || p.Disks[0].After[2].Fate != Stays {
		t.Errorf("what was shrunk before is shrunk again:\n%s", p.Text(80))
	}
}

func TestShrinkRefusals(t *testing.T) {
	by := shrinking(layout.Shrink{By: size(60 * gib)})
	with := func(change func(w *job.Partition)) job.Disk {
		d := windows()
		change(&d.Partitions[2])
		return d
	}
	for _, c := range []struct {
		name, want string
		shrink     layout.Shrink
	}{
		{"below the minimum", "cannot be shrunk to 85898297344 bytes: it needs 85899345920 (85.9 GB)",
			layout.Shrink{To: size(80*gib - mib)}},
		{"by all", "cannot be shrunk to 0 bytes", layout.Shrink{By: layout.Size{Percent: 100}}},
		{"larger", "is not larger than 551 GB today", layout.Shrink{To: size(513 * gib)}},
		{"leave all", "is not larger than", layout.Shrink{Leave: layout.Size{Percent: 100}}},
	} {
		refused(t, c.name, shrinking(c.shrink), c.want, windows())
	}
	refused(t, "hibernated", by, "choose Restart", with(func(w *job.Partition) { w.Unfit = job.Hibernated }))
	refused(t, "dirty", by, "run chkdsk /f", with(func(w *job.Partition) { w.Unfit = job.Dirty }))
	refused(t, "another reason", by, "must not be shrunk: bad sectors",
		with(func(w *job.Partition) { w.Unfit = "bad sectors" }))
	refused(t, "no minimum", by, "did not report how far", with(func(w *job.Partition) { w.Minimum = 0 }))
	which := by
	which.Disks[0].Partitions[0].Match = &layout.Which{Number: 3}
	refused(t, "BitLocker", which, "decrypt it in Windows", with(func(w *job.Partition) { w.Filesystem = "BitLocker" }))
	refused(t, "xfs", which, "partition 3, xfs \"Windows\", 548 GB cannot be shrunk",
		with(func(w *job.Partition) { w.Filesystem = "xfs" }))
	refused(t, "nothing to shrink", shrinking(layout.Shrink{By: size(gib)}), "there is none on the disk", blank(20*gib,
		512))

	// Windows that is encrypted stays, and may ask for its key.
	d := with(func(w *job.Partition) { w.Filesystem = "BitLocker" })
	d.Size *= 2
	p := planned(t, form(layout.Form{Layout: layout.FreeSpace}), d)
	if len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "recovery key") {
		t.Errorf("beside BitLocker the notes are %q", p.Notes)
	}
}
