package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"griddle/appliance/job"
)

// ErrWeakKey is returned where an installed system needs a key that an operator approved.
var ErrWeakKey = errors.New("no operator has approved the key of this machine")

// updateOf is the live update that the service of a machine may carry out: an operator's, else its own; nil for none.
func updateOf(jobs []Job) *Job {
	is := func(by Origin) func(Job) bool {
		return func(j Job) bool { return j.Origin == by && j.Spec.Kind == job.Update }
	}
	if j := live(jobs, is(Operator)); j != nil {
		return j
	}
	return live(jobs, is(Resident))
}

// worker is who proved that it may carry out a job: a boot by its token, or an installed system by its key.
type worker struct {
	Machine  Machine
	Own      *Job // the live job that it may carry out; nil for none
	Approved bool // an operator approved its key for the machine
	Boot     string
}

// worker finds who p proves. Without a token p is an installed system, which may carry out updates only.
func (f *Fleet) worker(ctx context.Context, tx *sql.Tx, p Proof) (w worker, err error) {
	if p.Token == "" && p.Key != "" {
		if w.Machine, err = keyOwner(ctx, tx, p.Key); err != nil {
			return w, err
		}
		jobs, err := jobsOf(ctx, tx, w.Machine.ID)
		if err != nil {
			return w, err
		}
		w.Own = updateOf(jobs)
		w.Approved, err = approvedFor(ctx, tx, w.Machine.ID, p.Key)
		return w, err
	}
	s, _, err := f.session(ctx, tx, p)
	if err != nil {
		return w, err
	}
	w.Boot, w.Approved = s.Boot, s.Approved
	if w.Machine, err = byID(ctx, tx, s.Machine); err != nil {
		return w, err
	}
	jobs, err := jobsOf(ctx, tx, s.Machine)
	w.Own = f.ownJob(jobs, s)
	return w, err
}

// approvedFor says whether an operator approved the key for the machine.
func approvedFor(ctx context.Context, tx *sql.Tx, machine, key string) (is bool, err error) {
	err = tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM keys WHERE machine = ? AND key = ?)", machine,
		key).Scan(&is)
	return is, err
}

// Planning returns the job with this ID that p proves to carry out, for a plan of its image. It returns ErrOver if that
// is not the live install or update of who asks.
func (f *Fleet) Planning(ctx context.Context, p Proof, id string) (j Job, m Machine, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		w, err := f.worker(ctx, tx, p)
		if err != nil {
			return err
		}
		if w.Own == nil || w.Own.Spec.ID != id || w.Own.Spec.Kind == job.Relay ||
			w.Own.Spec.Kind == job.Erase {
			return fmt.Errorf("%w: it is not a live job of %s", ErrOver, w.Machine.Name)
		}
		j, m = *w.Own, w.Machine
		return nil
	})
	return j, m, err
}

// AskUpdate makes an update that the installed system with the key asks for. An operator's live job goes first: if it
// is an update it is returned, otherwise the error is ErrBusy. An earlier one that the machine asked for ends, unless
// it is for the same image.
func (f *Fleet) AskUpdate(ctx context.Context, key string, o Order) (m Machine, j Job, err error) {
	if err := o.validate(); err != nil {
		return m, j, err
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = keyOwner(ctx, tx, key); err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		if l := ordered(jobs); l != nil && l.Spec.Kind != job.Update {
			return fmt.Errorf("%w: the operator's job of %s for %s is %s", ErrBusy, m.Name, l.what(), l.State)
		}
		if l := updateOf(jobs); l != nil {
			if l.Origin == Operator || l.Spec.Image.Ref == o.Image.Ref && l.Spec.When == o.When {
				j = *l
				return nil
			}
			over := *l
			over.Changed = f.o.Now().UTC()
			if err := f.end(ctx, tx, over.fail("the machine asked for another update")); err != nil {
				return err
			}
		}
		j, err = f.order(ctx, tx, &m, o, Resident, "")
		return err
	})
	if err == nil {
		f.grown()
	}
	return m, j, err
}

// serviceHeard says whether the service of a machine checked in within the last minute.
func (f *Fleet) serviceHeard(ctx context.Context, tx *sql.Tx, machine string) (bool, error) {
	m, err := byID(ctx, tx, machine)
	return err == nil && m.Service != nil && f.o.Now().Sub(m.Service.Time) < carrying, err
}
