package plan

import (
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// mirror is a layout of two whole disks.
func mirror() layout.Document {
	return layout.Form{Version: 1, Layout: layout.Mirror, Match: job.Match{Transport: "nvme"},
		With: &job.Match{Transport: "sata"}, Wipe: true}.Document()
}

// other is a blank disk beside that of windows.
func other(size int64) job.Disk {
	d := blank(size, 512)
	d.Path, d.Serial, d.Bus = "/dev/sda", "W1", "sata"
	return d
}

// TestMirror makes a pool on two disks at once, after all else.
func TestMirror(t *testing.T) {
	p := planned(t, mirror(), windows(), other(600*gib))
	last := p.Steps[len(p.Steps)-1]
	if last.Do != MakeMirror || last.Disk != "main" || len(last.With) != 1 || last.With[0].Disk != "second" ||
		last.Filesystem != "btrfs" || !last.If.Cleared || !last.With[0].If.Cleared ||
		len(last.With[0].If.Entries) != 3 {
		t.Errorf("the last step is %+v", last)
	}
	for _, s := range p.Steps[:len(p.Steps)-1] {
		if s.Do == MakeFilesystem && s.Filesystem != "vfat" || s.Do == MakeMirror {
			t.Errorf("%s makes a filesystem of its own", s)
		}
	}
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "stay unused") }) {
		t.Errorf("the notes do not say what is unused: %q", p.Notes)
	}
	broken := planned(t, mirror(), windows(), other(600*gib))
	broken.Disks[1].Before = []Part{{Number: 3, Start: gib, Size: gib, Fate: Stays}}
	broken.Disks[1].After = append(broken.Disks[1].After, broken.Disks[1].Before[0])
	if err := broken.prove(); err == nil {
		t.Error("a mirror that is made over a partition of the second disk is proved")
	}
}

// TestMirrorLost notes that the other disk of a mirror may lose data too.
func TestMirrorLost(t *testing.T) {
	d := windows()
	d.Partitions = []job.Partition{{Number: 1, Start: mib, Size: gib, Filesystem: "btrfs", Variant: "device 1 of 2"}}
	p := planned(t, form(layout.Form{Layout: layout.WholeDisk, Wipe: true}), d)
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "btrfs, device 1 of 2") }) {
		t.Errorf("the notes are %q", p.Notes)
	}
}

// TestMirrorRefuses has halves that are not of one kind, and halves of two pools.
func TestMirrorRefuses(t *testing.T) {
	pooled := func(d job.Disk, uuid string) job.Disk {
		d.Table, d.TableID, d.Sampled, d.Installed = "gpt", d.Serial, "", jobID
		d.Partitions = []job.Partition{
			{Number: 1, Start: mib, Size: 260 * mib, Type: "EFI system", Filesystem: "vfat", UUID: "AAAA-" + d.Serial},
			{Number: 2, Start: 261 * mib, Size: 20 * gib, Type: "Linux filesystem", Name: layout.NamePool,
				Filesystem: "btrfs", Label: layout.PoolLabel, UUID: uuid, Installed: jobID}}
		return d
	}
	first := blank(64*gib, 512)
	half := func(id string, keep bool) layout.Disk {
		s := rest
		if keep {
			s = layout.Size{}
		}
		return layout.Disk{ID: id, Match: job.Match{Serial: map[string]string{"one": "V1", "two": "W1"}[id]},
			Partitions: []layout.Partition{{ID: "esp-" + id, Use: layout.ESP},
				{ID: "pool-" + id, Use: layout.Pool, Size: s, Keep: keep}}}
	}
	both := layout.Document{Version: 1, Disks: []layout.Disk{half("one", true), half("two", true)}}
	if p := planned(t, both, pooled(first, "u"), pooled(other(64*gib), "u")); len(p.Steps) != 0 {
		t.Errorf("a mirror that stays has the steps %v", p.Steps)
	}
	refused(t, "two pools", both, "another pool than that of disk one", pooled(first, "u"),
		pooled(other(64*gib), "v"))
	mixed := layout.Document{Version: 1, Disks: []layout.Disk{half("one", true), half("two", false)}}
	refused(t, "half of it is new", mixed, "one half of a mirror would be made", pooled(first, "u"), other(64*gib))
	same := mirror()
	same.Disks[1].Match = same.Disks[0].Match
	refused(t, "one disk twice", same, "it is the disk of main too", windows())
}

// TestMirrorTooSmall has a half that is too small beside the other one, and one that is just large enough.
func TestMirrorTooSmall(t *testing.T) {
	for _, c := range []struct{ small, large, needs int64 }{{200, 1000, 250}, {1000, 200_000, 1280}} {
		doc := mirror()
		for i, d := range doc.Disks {
			for j, p := range d.Partitions {
				if p.Use == layout.Pool {
					doc.Disks[i].Partitions[j].Size = size([]int64{c.large, c.small}[i] * mib)
				}
			}
		}
		refused(t, "too small", doc, "disk second (/dev/sda, 644 GB, serial W1): partition pool2: too small: it has "+
			job.Bytes(c.small*mib)+", and as a mirror of "+job.Bytes(c.large*mib)+" on disk main it needs "+
			job.Bytes(c.needs*mib), windows(), other(600*gib))
		doc.Disks[1].Partitions[2].Size = size(c.needs * mib)
		planned(t, doc, windows(), other(600*gib))
	}
}
