package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"griddle/appliance/job"
)

// StreamAsker is a machine that asks for a stream of its job.
type StreamAsker struct {
	Machine Machine
	Relay   bool // its job is to relay the image
	Same    int  // machines with a live job of the same kind for the same image, this one included

	// Coming are the names of the other machines of Same whose services will ask for it, and Patience is how long the
	// last of them may take. Both are zero unless the service of an installed system asks.
	Coming   []string
	Patience time.Duration
}

// Streaming returns the machine that p proves, and how many machines want the same image. It returns ErrToken or ErrKey
// if p proves none, and ErrOver if it has no live job to carry out.
func (f *Fleet) Streaming(ctx context.Context, p Proof) (a StreamAsker, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		w, err := f.worker(ctx, tx, p)
		if err != nil {
			return err
		}
		a.Machine = w.Machine
		if w.Own == nil {
			return fmt.Errorf("%w: %s has no live job", ErrOver, a.Machine.Name)
		}
		if w.Boot == "" {
			return f.awaits(ctx, tx, *w.Own, &a)
		}
		a.Relay = w.Own.Spec.Kind == job.Relay
		kind := w.Own.Spec.Kind
		if a.Relay {
			kind = job.Install
		}
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM jobs WHERE state IN ('pending', 'started')
			AND data ->> '$.spec.kind' = ?1 AND data ->> '$.spec.image.document' = ?2
			AND coalesce(data ->> '$.phase', '') <> 'switch'
			AND (origin IN ('operator', 'machine')
				OR origin = 'rule' AND EXISTS (SELECT 1 FROM boots WHERE boots.machine = jobs.machine AND used > ?3)
				OR EXISTS (SELECT 1 FROM boots WHERE boot = jobs.data ->> '$.boot' AND used > ?3))`,
			string(kind), w.Own.Spec.Image.Document, f.o.Now().Add(-silence).UnixNano()).Scan(&a.Same)
	})
	if err != nil {
		return StreamAsker{}, fmt.Errorf("looking up who asks for a stream: %w", err)
	}
	return a, nil
}

// askTime is how long a service may take from the check-in that gives it an update until it asks for a stream. Machines
// whose next check-in is further away than mostPatience are not waited for.
const (
	askTime      = time.Minute
	mostPatience = 10 * time.Minute
)

// awaits finds out which services will ask for what own, the update of a's service, needs. It also notes that a asked:
// it is not waited for any more. A machine whose check-in is late is off, and is not waited for either, nor one whose
// service cannot carry out updates.
func (f *Fleet) awaits(ctx context.Context, tx *sql.Tx, own Job, a *StreamAsker) error {
	asked := func(j Job) bool { return j.Phase != "" && j.Phase != job.PhaseCheck }
	if !asked(own) {
		own.Phase = job.PhaseReceive
		if err := saveJob(ctx, tx, own); err != nil {
			return err
		}
	}
	jobs, err := queryJobs(ctx, tx, `WHERE state IN ('pending', 'started') AND machine <> ?
		AND data ->> '$.spec.kind' = ? AND data ->> '$.spec.image.document' = ?`, own.Machine, string(job.Update),
		own.Spec.Image.Document)
	if err != nil {
		return err
	}
	a.Patience = askTime
	for _, j := range jobs {
		if asked(j) {
			continue
		}
		m, err := byID(ctx, tx, j.Machine)
		if err != nil {
			return err
		}
		left := m.Service.next().Sub(f.o.Now())
		if m.Service.updates() && left > 0 && left <= mostPatience && !slices.Contains(a.Coming, m.Name) {
			a.Coming = append(a.Coming, m.Name)
			a.Patience = max(a.Patience, left+askTime)
		}
	}
	a.Same = 1 + len(a.Coming)
	return nil
}
