// Package way has the ways to use a disk for an image, from those that lose nothing to the one that loses everything,
// and draws the plan of each.
//
// Call Of for a disk. Sections draws the page on which the user chooses; pass the chosen row to Pick, and Esc to Back.
// Some ways have a second page, on which the user says which partition or how much. Once Pick has decided, Decision has
// the layout and its plan, and PlanLines draws it.
//
// A way is a layout (package layout) that names the disk by what stays with it. It is offered if package plan makes a
// plan of it. What the disk does not offer is shown too, with the reason for which the plan was refused, and Pick takes
// none of it.
//
// The package is pure. What hardware says is hostile, and passes through job.Printable before it is drawn.
package way

import (
	"encoding/json"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/layout/plan"
)

// Model is where the user is among the ways to use one disk. Its zero value has no disk and no way.
type Model struct {
	disks []job.Disk // all of the machine
	disk  job.Disk
	match job.Match // names disk among disks
	Computer

	levels  []level // the pages that are open; the last one is seen
	decided *option
}

// level is one page: options of which one is chosen.
type level struct {
	title   string
	heading string // of the columns of its rows; "" for none
	options []option
	row     int // that was chosen, or is the usual one
}

// option is a row of a page.
type option struct {
	name  string   // "Free space"
	says  string   // what it does, in a few words
	about string   // the same, as a whole
	why   []string // why the disk does not offer it; nil if it does

	doc  layout.Document
	plan plan.Plan    // of doc; of the usual option of the next page if there is one
	next func() level // the page on which the choice is completed; nil if it is complete
}

// Computer is what else counts for what a disk offers.
type Computer struct {
	Need   int64 // bytes that the pool must have
	BIOS   bool  // the machine was started by a BIOS
	Mirror bool  // it can have its pool on two disks
}

// Of has the ways to use disk, one of disks, on a computer.
func Of(disk job.Disk, disks []job.Disk, c Computer) Model {
	m := Model{disks: disks, disk: disk, match: match(disk, disks), Computer: c}
	m.levels = []level{m.ways()}
	return m
}

// match names d among disks by what stays with it: its serial or its WWN, else its place, else its path.
func match(d job.Disk, disks []job.Disk) job.Match {
	path := job.Match{Path: d.Path}
	_, name := d.NameAmong(disks)
	for _, m := range []job.Match{{Serial: d.Serial}, {WWN: d.WWN}, {Path: name}} {
		fine := m != job.Match{} && (m.Path != "" || name == m.Serial || name == m.WWN)
		m.Check(func(string, string, string) { fine = false })
		if got, err := m.Pick(disks); fine && err == nil && got.Path == d.Path {
			return m
		}
	}
	return path
}

// now is the page that is seen.
func (m Model) now() level {
	if len(m.levels) == 0 {
		return level{}
	}
	return m.levels[len(m.levels)-1]
}

// Depth is how many pages are open.
func (m Model) Depth() int { return len(m.levels) }

// Len is how many rows the page has.
func (m Model) Len() int { return len(m.now().options) }

// Row is the row that was chosen on the page before, or the usual one.
func (m Model) Row() int { return m.now().row }

// Pick chooses a row. It says whether that was the last choice, or why the row cannot be chosen.
func (m Model) Pick(row int) (next Model, decided bool, refused string) {
	l := m.now()
	if row < 0 || row >= len(l.options) {
		return m, false, ""
	}
	o := l.options[row]
	if len(o.why) > 0 {
		return m, false, "This disk does not offer that. The part of the page below the lines, or beside them, " +
			"says why."
	}
	l.row = row
	m.levels = append(append([]level(nil), m.levels[:len(m.levels)-1]...), l)
	if o.next == nil {
		m.decided = &o
		return m, true, ""
	}
	m.levels = append(m.levels, o.next())
	return m, false, ""
}

// Back closes the page. It says whether there was one before it.
func (m Model) Back() (Model, bool) {
	if len(m.levels) < 2 {
		return m, false
	}
	m.levels = m.levels[: len(m.levels)-1 : len(m.levels)-1]
	return m, true
}

// Disks are those that the decision divides. More than one are a mirror.
func (m Model) Disks() []job.Disk {
	_, p := m.Decision()
	var out []job.Disk
	for _, planned := range p.Disks {
		for _, d := range m.disks {
			if d.Path == planned.Path {
				out = append(out, d)
			}
		}
	}
	return out
}

// Decision is the layout that was decided on, as JSON, and its plan. Without a decision it is empty.
func (m Model) Decision() (json.RawMessage, plan.Plan) {
	if m.decided == nil {
		return nil, plan.Plan{}
	}
	doc, err := json.Marshal(m.decided.doc)
	if err != nil {
		panic(err) // a document has nothing that JSON does not
	}
	return doc, m.decided.plan
}
