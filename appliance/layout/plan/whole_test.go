package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/disk/table"
)

// TestWholeDisk compares the plan of a whole disk with what an install without a layout writes to it: the same starts,
// sizes, types, and names but that of the pool, by which agents that know no layouts would change the GUID of the disk.
func TestWholeDisk(t *testing.T) {
	const id = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	for _, sector := range []int{512, 4096} {
		for _, size := range []int64{391 * mib, 512 * mib, gib + 4096, 1000204886016, 3 << 40} {
			l, err := table.WholeDisk(id, size, sector)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
			if err := l.Write(f, content.Content{}); err != nil {
				t.Fatal(err)
			}
			if err := table.Mark(f, size, sector, id); err != nil {
				t.Fatal(err)
			}
			c, err := content.Inspect(f, size, sector)
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			for _, p := range c.Partitions {
				if p.Name == job.PoolName {
					p.Name = layout.NamePool
				}
				want = append(want, fmt.Sprint(p.Number, p.Start, p.Size, p.Name, p.Type))
			}
			p := planned(t, form(layout.Form{Layout: layout.WholeDisk}), blank(size, sector))
			for _, a := range p.Disks[0].After {
				got = append(got, fmt.Sprint(a.Number, a.Start, a.Size, a.Name, a.Type))
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("a disk of %d bytes in sectors of %d would have\n%s\nand an install makes\n%s", size, sector,
					strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		// The smallest disk is the same, by the sector.
		least := int64(391 * mib)
		for n := least - 2*int64(sector); n <= least; n += int64(sector) {
			_, err := table.WholeDisk(id, n, sector)
			_, err2 := Make(Input{Layout: form(layout.Form{Layout: layout.WholeDisk}), Disks: []job.Disk{blank(n,
				sector)}})
			if (err == nil) != (err2 == nil) || (err == nil) != (n == least) {
				t.Errorf("a disk of %d bytes: WholeDisk = %v, Make = %v", n, err, err2)
			}
		}
	}
}

// TestTableName: the name of a partition is what a GPT can have of the label.
func TestTableName(t *testing.T) {
	long := strings.Repeat("x", 35)
	for label, want := range map[string]string{
		"data": "data", " data ": "data", "a\u0085b\ufffd": "ab", long + "yz": long + "y", long + "\U0001f4be": long,
		long[1:] + "\U0001f4be": long[1:] + "\U0001f4be", long + " z": long, "\u00a0": "",
	} {
		if got := tableName(label); got != want {
			t.Errorf("tableName(%q) = %q, want %q", label, got, want)
		}
	}
	p := planned(t, of(esp, pool, layout.Partition{ID: "d", Use: layout.Data, Size: size(gib), Filesystem: "btrfs",
		Label: long + long}), blank(20*gib, 512))
	for _, s := range p.Steps {
		if s.Number == 3 && s.Do == AddEntry && s.Name != long+"x" ||
			s.Number == 3 && s.Do == MakeFilesystem && s.Label != long+long {
			t.Errorf("step %+v", s)
		}
	}
}
