package divide

import (
	"context"
	"errors"
	"fmt"

	"griddle/appliance/layout/plan"
	"griddle/initramfs/ntfs"
	"griddle/initramfs/resize"
)

// Version is the version of the entries that this package writes.
const Version = 1

// State is how far a step is.
type State string

// The states of a step. An entry of package ntfs has none.
const (
	Begun State = "begun"
	Done  State = "done"
)

// Entry is one line of the journal of a plan that is carried out. As JSON it has less than 8 MiB.
type Entry struct {
	Version int    `json:"version"`
	Job     string `json:"job"`
	// Plan is in the first entry, and in no other.
	Plan  *plan.Plan `json:"plan,omitempty"`
	Step  int        `json:"step,omitempty"` // from 1 on
	State State      `json:"state,omitempty"`
	// Table is all bytes of a table (entries.Table.Saved): for save-table and before each edit. After is the table that
	// an edit is about to write.
	Table []byte `json:"table,omitempty"`
	After []byte `json:"after,omitempty"`
	// Sum is what is in the place that add-entry gives to a partition: SHA-256 of its ends, hexadecimal.
	Sum string `json:"sum,omitempty"`
	// TableID is that of the table which make-table is about to write.
	TableID string `json:"tableId,omitempty"`
	// UUID is that of the filesystem which make-filesystem is about to make, as blkid writes it.
	UUID string `json:"uuid,omitempty"`
	// Resize is what package resize needs to continue the shrink of a filesystem of Linux.
	Resize *resize.Begun `json:"resize,omitempty"`
	// NTFS is an entry of the shrink of an NTFS.
	NTFS *ntfs.Entry `json:"ntfs,omitempty"`
}

// Journal keeps the entries of a job where they survive a power cut of this computer.
type Journal interface {
	// Record returns when an entry is kept. If it fails, what the entry says is not done.
	Record(context.Context, Entry) error
}

// record keeps an entry, and remembers it.
func (r *run) record(ctx context.Context, e Entry) error {
	e.Version, e.Job = Version, r.Job
	if err := r.Journal.Record(ctx, e); err != nil {
		return fmt.Errorf("recording it: %w", err)
	}
	if e.Step > 0 {
		r.past[e.Step-1].add(e)
	}
	return nil
}

// past is what the journal knows of a step.
type past struct {
	begun, done bool
	table       []byte // of an edit: before
	after       []byte // and after it
	sum         string
	tableIDs    []string
	uuids       []string
	resize      *resize.Begun
	ntfs        *ntfs.Entry // the last one
}

func (p *past) add(e Entry) {
	switch e.State {
	case Begun:
		p.begun = true
	case Done:
		p.done = true
	}
	if e.Table != nil {
		p.table, p.after = e.Table, e.After
	}
	if e.Sum != "" {
		p.sum = e.Sum
	}
	if e.TableID != "" {
		p.tableIDs = append(p.tableIDs, e.TableID)
	}
	if e.UUID != "" {
		p.uuids = append(p.uuids, e.UUID)
	}
	if e.Resize != nil {
		p.resize = e.Resize
	}
	if e.NTFS != nil {
		p.ntfs = e.NTFS
	}
}

// enough says whether the entry that a step has begun has what the step cannot be recognised without.
func (e Entry) enough(do plan.Verb) bool {
	switch do {
	case plan.SetSize, plan.SetType:
		return len(e.Table) > 0 && len(e.After) > 0
	case plan.AddEntry:
		return len(e.Table) > 0 && len(e.After) > 0 && e.Sum != ""
	case plan.MakeTable:
		return e.TableID != ""
	case plan.Encrypt, plan.MakeFilesystem, plan.MakeMirror, plan.MakeVolume:
		return e.UUID != ""
	}
	return true
}

// errJournal is the end of every error about a journal that cannot be right.
var errJournal = errors.New("give the machine a new job")

// history makes the past of each step of a plan. It refuses a journal of another job, of another plan, or in an order
// that Run does not write.
func history(entries []Entry, job string, p plan.Plan) ([]past, error) {
	out := make([]past, len(p.Steps))
	next := 0 // the step that is not done
	for i, e := range entries {
		wrong := func(format string, args ...any) ([]past, error) {
			return nil, fmt.Errorf("the journal of this job: entry %d %w; %w", i+1, fmt.Errorf(format, args...),
				errJournal)
		}
		switch {
		case e.Version != Version:
			return wrong("has version %d, and this program knows version %d", e.Version, Version)
		case e.Job != job:
			return wrong("is of job %q", e.Job)
		case (i == 0) != (e.Plan != nil) || (i == 0) != (e.Step == 0):
			return wrong("is not in its place")
		case i == 0 && e.Plan.Hash != p.Hash:
			return wrong("has another plan: a part of it may be done already")
		case i == 0:
			continue
		case e.Step != next+1 || e.Step > len(out):
			return wrong("is about step %d, and step %d comes next", e.Step, next+1)
		case e.State != Begun && e.State != Done && (e.State != "" || e.NTFS == nil):
			return wrong("has the state %q", e.State)
		case e.State != Begun && !out[next].begun:
			return wrong("is about step %d, which had not begun", e.Step)
		case e.State == Begun && !e.enough(p.Steps[next].Do):
			return wrong("does not say what step %d was about to do", e.Step)
		}
		out[next].add(e)
		if out[next].done {
			next++
		}
	}
	return out, nil
}
