package job

import (
	"strings"
	"testing"
)

// TestFactsForPeople: what a person sees of the filesystems of a disk.
func TestFactsForPeople(t *testing.T) {
	d := Disk{Table: "gpt", Partitions: []Partition{
		{Number: 1, Size: 100e6, Filesystem: "vfat", Used: 30e6},
		{Number: 3, Size: 500e9, Filesystem: "ntfs", Label: "Windows", Used: 100e9, Minimum: 120e9,
			System: "Windows 11 Pro 23H2, build 22631.3007, on LAB-07"},
		{Number: 4, Size: 50e9, Filesystem: "ntfs", Unfit: Hibernated, System: "\x1b[2JWindows"},
		{Number: 5, Size: 50e9, Filesystem: "ext4", Unfit: Unclean},
		{Number: 6, Size: 50e9, Filesystem: "ext4", Unfit: Dirty, Minimum: 10e9},
		{Number: 7, Size: 50e9, Filesystem: "ext4", Unfit: "it is larger than its partition", Minimum: 10e9},
		{Number: 8, Size: 50e9, Filesystem: "btrfs", Label: "griddle", Minimum: 50e9, Pool: &Pool{
			Roots: []Root{{Name: "web-2", Next: true}, {Name: "web"}}, Images: []string{"web:1@amd64"}}},
	}}
	got := strings.Join(append(d.Holds(), d.Shrinkable()...), "\n")
	if want := `partition 1: 100 MB, vfat, 30.0 MB used
partition 3: 500 GB, ntfs "Windows", Windows 11 Pro 23H2, build 22631.3007, on LAB-07, 100 GB used
partition 4: 50.0 GB, ntfs, [2JWindows
partition 5: 50.0 GB, ext4
partition 6: 50.0 GB, ext4
partition 7: 50.0 GB, ext4
partition 8: 50.0 GB, btrfs "griddle", 2 roots: web-2 (starts next), web; 1 image
partition 3 can be shrunk to 120 GB
partition 4 must not be changed: Windows is hibernated, or was shut down with fast startup; ` +
		`start Windows and choose Restart
partition 5 must not be changed: its system has not finished its last changes of it; ` +
		`start that system and shut it down
partition 6 must not be changed: it is marked for a check by its system
partition 7 must not be changed: it is larger than its partition`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if p := d.WithoutFacts(); len(p.Shrinkable()) > 0 || p.Partitions[1].more() != "" || d.Partitions[1].Used == 0 {
		t.Errorf("WithoutFacts = %+v", p)
	}
}

// TestPoolOfManyRoots: a line stays short, and a pool without roots has words too.
func TestPoolOfManyRoots(t *testing.T) {
	p := &Pool{Roots: make([]Root, 9)}
	for i := range p.Roots {
		p.Roots[i].Name = "r"
	}
	if got, want := p.String(), "9 roots: r, r, r, r, and 5 more; 0 images"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
