package divide

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

// method is a layout on a disk as Windows divides it.
type method struct {
	name string
	doc  layout.Document
	bios bool // there is a place for GRUB of BIOS
}

func methods() []method {
	whole := func(table string) layout.Document {
		f := layout.Form{Version: 1, Layout: layout.WholeDisk, Table: table, Wipe: true}
		f.Match.Size = "largest"
		return f.Document()
	}
	return []method{
		{"a partition", of(esp, pool, layout.Partition{ID: "scratch", Use: layout.Data,
			Match: &layout.Which{Number: 3}, Wipe: true}), false},
		{"mbr", whole("mbr"), true},
		{"whole disk", whole(""), true},
		{"free space", of(layout.Partition{ID: "bios", Use: layout.BIOS}, esp, pool,
			layout.Partition{ID: "swap", Use: layout.Swap, Size: size(20 * mib)},
			layout.Partition{ID: "data", Use: layout.Data, Size: size(50 * mib)},
			layout.Partition{ID: "fat", Use: layout.Data, Size: size(20 * mib), Filesystem: "vfat", Label: "FAT"},
			layout.Partition{ID: "x", Use: layout.Data, Size: size(300 * mib), Filesystem: "xfs"}), true},
	}
}

// TestMethods carries out each method, with sectors of both sizes.
func TestMethods(t *testing.T) {
	for i, c := range methods() {
		for _, sector := range []int{512, 4096} {
			if !torture && i >= 2 && (sector == 4096) == (i%2 == 0) {
				continue
			}
			t.Run(fmt.Sprint(c.name, sector), func(t *testing.T) {
				m := &machine{t: t}
				dev := m.windows(sector)
				p := m.plan(c.doc)
				before := sums(t, dev, staying(p)...)
				var b book
				made := m.must(p, &b)
				same(t, before, sums(t, dev, staying(p)...))
				if made.Pool.Node == "" || made.ESP.Node == "" || made.Disk.Path != dev ||
					(made.BIOS != Extent{}) != c.bios {
					t.Errorf("Run = %+v", made)
				}
				// The rest of a plan that was carried out is nothing.
				lines := len(b.lines)
				again := m.must(p, &b)
				if again.Pool.UUID != made.Pool.UUID || len(b.lines) != lines {
					t.Errorf("Run again = %+v, and %d entries more", again, len(b.lines)-lines)
				}
			})
		}
	}
}

// TestResume ends a run at entries of its journal and continues it: after the entry that a step has begun was kept, and
// before the entry that it is done is kept.
func TestResume(t *testing.T) {
	for i, c := range methods() {
		if !torture && i > 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			for n, more := 1, true; more; n++ {
				m := &machine{t: t}
				dev := m.windows(512)
				p := m.plan(c.doc)
				before := sums(t, dev, staying(p)...)
				b := book{fail: n, keep: n%2 == 0} // the first entry is the plan, and then there are two for each step
				if _, err := m.run(p, &b); !errors.Is(err, errBook) {
					t.Fatalf("Run, ended at entry %d = %v", n, err)
				}
				same(t, before, sums(t, dev, staying(p)...))
				b.fail = 0
				m.must(p, &b)
				same(t, before, sums(t, dev, staying(p)...))
				more = n < 2*len(p.Steps)+1
			}
		})
	}
}

// TestSteps has the entries of a journal, and what becomes of a journal that is not that of the plan.
func TestSteps(t *testing.T) {
	m := &machine{t: t}
	m.windows(512)
	p := m.plan(methods()[0].doc)
	other := m.plan(methods()[1].doc)
	var b book
	m.must(p, &b)
	var got, want []string
	for _, e := range b.entries(t) {
		if e.Step > 0 {
			got = append(got, fmt.Sprint(p.Steps[e.Step-1].Do, " ", e.State))
		}
	}
	for _, do := range []plan.Verb{plan.SaveTable, plan.AddEntry, plan.Clear, plan.MakeFilesystem, plan.Clear,
		plan.MakeFilesystem} {
		want = append(want, fmt.Sprint(do, " begun"), fmt.Sprint(do, " done"))
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(append(want, "set-type begun",
		"set-type done")))) && !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("the journal has %q, want %q", got, want)
	}
	good := b.entries(t)
	for name, c := range map[string]struct {
		change func(o *Options)
		want   string
	}{
		"another plan": {func(o *Options) { o.Plan = other }, "has another plan"},
		"another job":  {func(o *Options) { o.Job = strings.Replace(jobID, "5", "6", 1) }, "is of job"},
		"another one":  {func(o *Options) { o.Past[0].Version = 2 }, "has version 2"},
		"without plan": {func(o *Options) { o.Past = o.Past[1:] }, "is not in its place"},
		"a gap":        {func(o *Options) { o.Past = slices.Delete(o.Past, 1, 3) }, "step 1 comes next"},
		"no beginning": {func(o *Options) { o.Past = slices.Delete(o.Past, 1, 2) }, "had not begun"},
		"a state":      {func(o *Options) { o.Past[1].State = "x" }, `has the state "x"`},
		"no table": {func(o *Options) { // of step 2, add-entry
			o.Past[3].Table = nil
		}, "does not say what step 2 was about to do"},
		"too many":      {func(o *Options) { o.Past = append(o.Past, o.Past[1]) }, "is about step 1"},
		"a broken plan": {func(o *Options) { o.Plan.Steps = o.Plan.Steps[1:] }, "the plan is damaged"},
	} {
		o := m.options(p, &book{})
		o.Past = slices.Clone(good)
		c.change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Run = %v, want %q", name, err, c.want)
		}
	}
}
