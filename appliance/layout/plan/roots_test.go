package plan

import (
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// systems is a layout whose systems are in partitions of their own.
func systems(more ...layout.Partition) layout.Document {
	return of(append([]layout.Partition{{ID: "bios", Use: layout.BIOS}, esp,
		{ID: "root-a", Use: layout.Root, Size: size(20 * gib), Filesystem: "xfs"},
		{ID: "root-b", Use: layout.Root, Size: size(20 * gib)},
		{ID: "shared", Use: layout.Persistent, Size: rest}}, more...)...)
}

func TestRoots(t *testing.T) {
	p := planned(t, systems(), blank(100*gib, 512))
	const want = "disk main: the systems are in partitions 3 and 4, the first one in partition 3, and /home and " +
		"/persistent are in partition 5"
	if !slices.Contains(p.Notes, want) {
		t.Errorf("the notes are %q, want %q", p.Notes, want)
	}
	if err := p.Verify(); err != nil {
		t.Error(err)
	}
	var made []string
	for _, s := range p.Steps {
		if s.Do == MakeFilesystem {
			made = append(made, s.Filesystem+" "+s.Label)
		}
	}
	if got := strings.Join(made, ", "); got != "vfat, xfs root-a, ext4 root-b, ext4 shared" &&
		got != "vfat , xfs root-a, ext4 root-b, ext4 shared" {
		t.Errorf("the filesystems are %s", got)
	}
	home := planned(t, systems(layout.Partition{ID: "home", Use: layout.Home, Size: size(gib)}), blank(100*gib, 512))
	if !strings.Contains(strings.Join(home.Notes, "\n"), "and /persistent is in partition 5") {
		t.Errorf("with a partition for /home, the notes are %q", home.Notes)
	}
	// Data with the label of a root is not a root.
	other := systems()
	other.Disks[0].Partitions = append(slices.Clone(other.Disks[0].Partitions[:2]),
		layout.Partition{ID: "root-a", Use: layout.Data, Size: size(20 * gib), Filesystem: "xfs"},
		layout.Partition{ID: "root-b", Use: layout.Data, Size: size(20 * gib)},
		layout.Partition{ID: "shared", Use: layout.Data, Size: rest},
		layout.Partition{ID: "pool", Use: layout.Pool, Size: size(gib)})
	if q := planned(t, other, blank(100*gib, 512)); q.Hash == p.Hash {
		t.Error("a plan with roots has the hash of one with data")
	}
	// The image must fit into each of the roots.
	if _, err := Make(Input{Layout: systems(), Disks: []job.Disk{blank(100*gib, 512)}, Pool: 30 * gib}); err == nil ||
		!strings.Contains(err.Error(), "partition root-a") {
		t.Errorf("roots that are too small: %v", err)
	}
}

// What an earlier install made is lost only where the layout says so.
func TestRootsAgain(t *testing.T) {
	d := blank(100*gib, 512)
	d.Table, d.TableID, d.Sampled = "gpt", "G", ""
	const job1 = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	for i, p := range []job.Partition{
		{Type: "BIOS boot", Size: mib}, {Type: "EFI system", Filesystem: "vfat", Size: 260 * mib},
		{Filesystem: "xfs", Label: "root-a", Size: 20 * gib}, {Filesystem: "ext4", Label: "root-b", Size: 20 * gib},
		{Filesystem: "ext4", Label: "shared", Size: 50 * gib, Installed: job1}} {
		p.Number, p.Start = i+1, int64(mib)
		if i > 0 {
			last := d.Partitions[i-1]
			p.Start = last.Start + last.Size
		}
		if p.Type == "" {
			p.Type = "Linux filesystem"
		}
		d.Partitions = append(d.Partitions, p)
	}
	d.Installed = job1
	refused(t, "again", systems(), "the layout makes it again, with a system of its own; to lose it, write wipe: true",
		d)
	refused(t, "a pool beside it", form(layout.Form{Layout: layout.FreeSpace}), "the layout says btrfs", d)
	refused(t, "kept as a pool", form(layout.Form{Layout: layout.KeepPool}), "the layout says btrfs", d)
	wiped := systems()
	for i := range wiped.Disks[0].Partitions[2:] {
		q := &wiped.Disks[0].Partitions[2+i]
		q.Wipe, q.Size = true, layout.Size{Rest: q.Use == layout.Persistent}
		if q.Use == layout.Root {
			q.Size = size(20 * gib)
		}
	}
	p := planned(t, wiped, d)
	if len(p.Losses) != 3 || fates(p.Disks[0]) == "" {
		t.Errorf("the losses are %q", p.Losses)
	}
}
