package plan

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// drawn is a line of cells: text, width and fate of each.
func drawn(cells []Cell) string {
	var out []string
	for _, c := range cells {
		out = append(out, fmt.Sprintf("%s %d %s", c.Text, c.Width, c.Fate))
	}
	return strings.Join(out, "; ")
}

// TestCells: what is drawn fills its line, in proportion, and what is too much for it is one cell.
func TestCells(t *testing.T) {
	t.Parallel()
	d := planned(t, shrinking(layout.Shrink{To: size(255 * gib)}), windows()).Disks[0]
	if got, want := drawn(d.Cells(d.Before, 61)), `1 EFI system 3 stays; 2 Microsoft reserved 3 stays; 3 ntfs `+
		`"Windows" 43 shrunk; 4 Windows recovery 3 stays; free 3 `; got != want {
		t.Errorf("today is\n%s\nwant\n%s", got, want)
	}
	if got, want := drawn(d.Cells(d.After, 61)), `1 EFI system 3 stays; 2 Microsoft reserved 3 stays; 3 ntfs `+
		`"Windows" 19 shrunk; 5 BIOS boot 3 made; 6 btrfs "griddle" 19 made; `+
		`4 Windows recovery 3 stays; free 3 `; got != want {
		t.Errorf("tomorrow is\n%s\nwant\n%s", got, want)
	}
	if got, want := drawn(d.Cells(d.After, 17)), `1-2 3 stays; 3 ntfs "Windows" 3 shrunk; 5-6 3 made; 4 3 stays`; got !=
		want {
		t.Errorf("in 17 columns tomorrow is\n%s\nwant\n%s", got, want)
	}
	if got, want := drawn(d.Cells(d.After, 1)), "1-4 3 shrunk"; got != want {
		t.Errorf("in one column tomorrow is\n%s\nwant\n%s", got, want)
	}
	many := windows()
	for i := range 100 {
		many.Partitions = append(many.Partitions, job.Partition{Number: 5 + i, Start: 511*gib + int64(i)*8*mib,
			Size: 8 * mib, Filesystem: "ext4"})
	}
	whole := planned(t, form(layout.Form{Layout: layout.WholeDisk, Wipe: true}), many).Disks[0]
	for _, parts := range [][]Part{whole.Before, whole.After, nil,
		{{Start: math.MaxInt64, Size: math.MaxInt64}, {Number: -7, Start: math.MinInt64, Size: -1}}} {
		for columns := range 200 {
			cells := whole.Cells(parts, columns)
			sum := 1
			for _, c := range cells {
				if sum += 1 + c.Width; c.Width < leastWidth || c.Text == "" {
					t.Fatalf("a cell of %q has %d columns", c.Text, c.Width)
				}
			}
			if sum != max(columns, 1+leastWidth+1) {
				t.Fatalf("%d columns are drawn, want %d: %s", sum, columns, drawn(cells))
			}
		}
	}
	if got := drawn(whole.Cells(whole.Before, 41)); !strings.Contains(got, "lost") || strings.Contains(got, "stays") {
		t.Errorf("what is lost is drawn as %s", got)
	}
}

// TestRefusalsOf: programs get each reason without the words for people who write layouts, and with the same text.
func TestRefusalsOf(t *testing.T) {
	t.Parallel()
	d := windows()
	d.Partitions[0].Used = 99 * mib
	_, err := Make(Input{Layout: form(layout.Form{Layout: layout.OnePartition, Wipe: true,
		Partition: &layout.Which{Number: 2}}), Disks: []job.Disk{d}})
	got := Refusals(err)
	if len(got) != 2 || got[0].Disk != "main" || got[0].Part != "esp" || !strings.Contains(got[0].Text,
		"is too full") ||
		got[1].Part != "pool" || !strings.HasPrefix(got[1].Text, "partition 2, ") || got[1].Hint != "" {
		t.Errorf("Refusals(%v) = %+v", err, got)
	}
	d.Unfinished = "j"
	_, err = Make(Input{Layout: form(layout.Form{Layout: layout.FreeSpace}), Disks: []job.Disk{d}})
	got = Refusals(err)
	if len(got) != 1 || got[0].Text != "an install on it did not finish" || !strings.HasSuffix(err.Error(),
		"an install on it did not finish; to lose everything on it, write wipe: true") || got[0].Hint == "" {
		t.Errorf("Refusals(%v) = %+v", err, got)
	}
	for _, err := range []error{nil, ErrRefused, layout.Mistakes{{Place: "version", Text: "wrong"}}} {
		if got := Refusals(err); len(got) > 0 {
			t.Errorf("Refusals(%v) = %+v", err, got)
		}
	}
}

// TestApart: sizes that look the same are told apart by their bytes.
func TestApart(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]any{{int64(1e9), int64(2e9), "1.00 GB", "2.00 GB"},
		{int64(1e12), int64(1e12 + 512), "1.00 TB (1000000000000 bytes)", "1.00 TB (1000000000512 bytes)"}} {
		if a, b := apart(c[0].(int64), c[1].(int64)); a != c[2] || b != c[3] {
			t.Errorf("apart(%d, %d) = %q, %q", c[0], c[1], a, b)
		}
	}
}
