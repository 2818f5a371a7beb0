package plan

import (
	"cmp"
	"slices"

	"griddle/appliance/layout"
)

// Verb is what a step does. The package doc has what each touches.
type Verb string

// The verbs; there are no others.
const (
	CheckFilesystem  Verb = "check-filesystem"
	SaveTable        Verb = "save-table"
	ShrinkFilesystem Verb = "shrink-filesystem"
	SetSize          Verb = "set-size"
	MakeTable        Verb = "make-table"
	AddEntry         Verb = "add-entry"
	SetType          Verb = "set-type"
	Clear            Verb = "clear"
	MakeFilesystem   Verb = "make-filesystem"
	MakeMirror       Verb = "make-mirror"
	MakeVolume       Verb = "make-volume"
	Encrypt          Verb = "encrypt"
)

// Step is one step of a plan. What its verb does not need is empty.
type Step struct {
	Do     Verb      `json:"do"`
	Disk   string    `json:"disk,omitempty"` // Disk.ID; "" of a step of a volume
	If     Condition `json:"if"`
	Number int       `json:"number,omitempty"` // of the partition
	Start  int64     `json:"start,omitempty"`  // bytes
	// Size is bytes: of the partition, and for check-filesystem, shrink-filesystem and set-size that of afterwards.
	Size       int64  `json:"size,omitempty"`
	Table      string `json:"table,omitempty"`  // of make-table: layout.GPT or layout.MBR
	Type       string `json:"type,omitempty"`   // as job.Partition.Type
	Name       string `json:"name,omitempty"`   // in a GPT
	Active     bool   `json:"active,omitempty"` // in an MBR
	Filesystem string `json:"filesystem,omitempty"`
	Label      string `json:"label,omitempty"`
	// With are the other partitions of make-mirror.
	With   []Member `json:"with,omitempty"`
	Volume string   `json:"volume,omitempty"` // Volume.ID, of a step that makes one or changes what is in it
	Kind   Kind     `json:"kind,omitempty"`   // of the volume
	Unlock string   `json:"unlock,omitempty"` // of encrypt, and of what is made within: as Part.Unlock
}

// Condition is what must hold before a step: the disk is the planned one (Disk.Identity), its table has exactly these
// entries, and the partition of the step holds this filesystem. If it does not hold, nothing more is done.
type Condition struct {
	Table      string  `json:"table,omitempty"`
	TableID    string  `json:"tableId,omitempty"` // "" after make-table, which gives a new one
	Entries    []Entry `json:"entries,omitempty"` // by where they begin
	Filesystem string  `json:"filesystem,omitempty"`
	UUID       string  `json:"uuid,omitempty"`
	// Unfinished is the job whose unfinished install must be in the partition; "" does not count.
	Unfinished string `json:"unfinished,omitempty"`
	// Cleared says that the partition must be without a filesystem: an earlier step of the plan cleared it.
	Cleared bool `json:"cleared,omitempty"`
}

// Entry is one entry of a partition table.
type Entry struct {
	Number int    `json:"number"`
	Start  int64  `json:"start"` // bytes
	Size   int64  `json:"size"`  // bytes
	Type   string `json:"type,omitempty"`
	Name   string `json:"name,omitempty"`
}

// steps are the steps of all disks: looking first, then what only shrinks, then what is made.
func (m *maker) steps() (out []Step) {
	var all []*writer
	for _, t := range m.targets {
		w := &writer{target: t, now: t.before()}
		all = append(all, w)
		w.look()
	}
	for _, w := range all {
		w.shrinkParts()
	}
	for _, w := range all {
		w.divide()
	}
	for _, phase := range []func(w *writer) []Step{
		func(w *writer) []Step { return w.looks }, func(w *writer) []Step { return w.writes },
	} {
		for _, w := range all {
			out = append(out, phase(w)...)
		}
	}
	return append(out, mirrored(all)...)
}

// writer collects the steps of one disk, and knows its table after each of them.
type writer struct {
	*target
	now           Condition
	looks, writes []Step
}

// before is the condition of the first step.
func (t *target) before() Condition {
	c := Condition{Table: t.have.Table, TableID: t.have.TableID}
	for _, p := range t.have.Partitions {
		c.Entries = append(c.Entries, Entry{p.Number, p.Start, p.Size, p.Type, p.Name})
	}
	return c.sorted()
}

func (c Condition) sorted() Condition {
	c.Entries = slices.Clone(c.Entries)
	slices.SortStableFunc(c.Entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Number, b.Number))
	})
	return c
}

// step makes a step of p under the present condition.
func (w *writer) step(do Verb, p part) Step {
	return Step{Do: do, Disk: w.want.ID, If: w.now.sorted(), Number: p.Number, Start: p.Start, Size: p.to}
}

// look adds the steps that write nothing.
func (w *writer) look() {
	changes := false
	for _, p := range w.parts {
		changes = changes || p.fate == Shrunk || p.fate == Made || p.fate == Emptied
		if p.fate == Shrunk {
			s := w.step(CheckFilesystem, p)
			s.If.Filesystem, s.If.UUID, s.Filesystem = p.Filesystem, p.UUID, p.Filesystem
			w.looks = append(w.looks, s)
		}
	}
	if changes && w.have.Table != "" && w.have.Damaged == "" {
		s := w.step(SaveTable, part{})
		w.looks = append(w.looks, s)
	}
}

// shrinkParts adds the steps that shrink: the filesystem first, since a partition that is smaller than its filesystem
// cannot be opened.
func (w *writer) shrinkParts() {
	for _, p := range w.parts {
		if p.fate != Shrunk {
			continue
		}
		s := w.step(ShrinkFilesystem, p)
		s.If.Filesystem, s.If.UUID, s.Filesystem = p.Filesystem, p.UUID, p.Filesystem
		w.writes = append(w.writes, s)
		s.Do = SetSize
		w.writes = append(w.writes, s)
		for i := range w.now.Entries {
			if w.now.Entries[i].Number == p.Number {
				w.now.Entries[i].Size = p.to
			}
		}
	}
}

// divide adds the steps that change the table, and then those that make filesystems.
func (w *writer) divide() {
	if w.fresh {
		s := w.step(MakeTable, part{})
		s.Table = w.table
		w.writes = append(w.writes, s)
		w.now = Condition{Table: w.table}
	}
	for _, p := range w.parts {
		switch p.fate {
		case Made:
			s := w.step(AddEntry, p)
			s.Type, s.Name = p.Type, p.Name
			s.Active = w.fresh && w.table == layout.MBR && p.Type == "EFI system"
			w.writes = append(w.writes, s)
			w.now.Entries = append(w.now.Entries, Entry{p.Number, p.Start, p.to, p.Type, p.Name})
		case Emptied:
			w.setType(p)
		}
	}
	for _, p := range w.parts {
		if p.fate != Made && p.fate != Emptied {
			continue
		}
		s := w.step(Clear, p)
		if p.fate == Emptied {
			s.If.Filesystem, s.If.UUID, s.If.Unfinished = p.Filesystem, p.UUID, p.Unfinished
		}
		w.writes = append(w.writes, s)
		if made := p.entry.Made(); made.Filesystem != "" && !p.mirrored {
			s.Do, s.Filesystem, s.Label = MakeFilesystem, made.Filesystem, made.Label
			s.If.Filesystem, s.If.UUID, s.If.Unfinished, s.If.Cleared = "", "", "", true
			if p.entry.LUKS != nil {
				s = w.encrypt(p, s)
			}
			w.writes = append(w.writes, s)
		}
	}
}

// setType gives an emptied partition the type of its new use. Its name is that of the disk's owner, where Griddle does
// not find it by that.
func (w *writer) setType(p part) {
	kind, name := typeOf(p.entry.Use)
	if name == "" || w.table == layout.MBR {
		name = p.Name
	}
	if kind == p.Type && name == p.Name {
		return
	}
	s := w.step(SetType, p)
	s.If.Filesystem, s.If.UUID, s.If.Unfinished, s.Type, s.Name = p.Filesystem, p.UUID, p.Unfinished, kind, name
	w.writes = append(w.writes, s)
	for i := range w.now.Entries {
		if w.now.Entries[i].Number == p.Number {
			w.now.Entries[i].Type, w.now.Entries[i].Name = kind, name
		}
	}
}
