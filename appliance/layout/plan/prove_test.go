package plan

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/layout"
)

// TestProve breaks good plans, one guarantee at a time: each is found.
func TestProve(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *Plan)
		want   string
	}{
		"a partition is missing": {func(p *Plan) { p.Disks[0].After = p.Disks[0].After[1:] },
			"partition 1 would be missing"},
		"it begins elsewhere": {func(p *Plan) { p.Disks[0].After[0].Start += 512 }, "partition 1 would be missing"},
		"it is smaller":       {func(p *Plan) { p.Disks[0].After[1].Size -= 512 }, "partition 2 would change"},
		"another type":        {func(p *Plan) { p.Disks[0].After[1].Type = "x" }, "partition 2 would change"},
		"another name":        {func(p *Plan) { p.Disks[0].After[5].Name = "x" }, "partition 4 would change"},
		"not aligned": {func(p *Plan) { p.Disks[0].After[3].Start += 512 }, "partition 5 would not be " +
			"in its place"},
		"beyond the end": {func(p *Plan) { p.Disks[0].After[4].Size = p.Disks[0].Size },
			"would not be in its place"},
		"overlap": {func(p *Plan) { p.Disks[0].After[3].Start -= mib }, "partitions 3 and 5 would " +
			"overlap"},
		"number twice": {func(p *Plan) { p.Disks[0].After[3].Number = 6 }, "partitions 6 and 6 would " +
			"overlap"},
		"no such disk": {func(p *Plan) { p.Steps[0].Disk = "x" }, "step 1 is of a disk that the plan " +
			"does not have"},
		"a filesystem over another": {func(p *Plan) { p.Steps[8].Start = mib },
			"step 9, make-filesystem, touches partition 1, which stays"},
		"a clearing that is too long": {func(p *Plan) { p.Steps[7].Size += mib }, "step 8, clear, touches " +
			"partition 4, which stays"},
		"shrinking another one": {func(p *Plan) { p.Steps[2].Number = 2 }, "step 3, shrink-filesystem, " +
			"touches partition 2"},
		"a new table": {func(p *Plan) { p.Steps[3].Do = MakeTable }, "step 4, make-table, touches " +
			"partition 1"},
		"an unknown step": {func(p *Plan) { p.Steps[0].Do = "x" }, "step 1, x, touches partition 1"},
	} {
		p := planned(t, shrinking(layout.Shrink{By: size(60 * gib)}), windows())
		if err := p.prove(); err != nil {
			t.Fatal(err)
		}
		c.change(&p)
		if err := p.prove(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: prove = %v, want %q", name, err, c.want)
		}
	}
	// Where a table has its entries, no partition may stay.
	p := planned(t, form(layout.Form{Layout: layout.FreeSpace}),
		func() job.Disk { d := windows(); d.Size *= 2; return d }())
	for _, start := range []int64{33 * 512, p.Disks[0].Size - 33*512} {
		broken := planned(t, form(layout.Form{Layout: layout.FreeSpace}),
			func() job.Disk { d := windows(); d.Size *= 2; return d }())
		for _, parts := range [][]Part{broken.Disks[0].Before, broken.Disks[0].After} {
			parts[0].Start, parts[0].Size = start, 512
		}
		if err := broken.prove(); err == nil || !strings.Contains(err.Error(), "add-entry, touches partition 1") {
			t.Errorf("prove = %v", err)
		}
	}
}
