package fleet

import (
	"context"
	"database/sql"
	"fmt"

	"griddle/appliance/job"
)

// StreamAsker is a machine that asks for a stream of its job.
type StreamAsker struct {
	Machine Machine
	Relay   bool // its job is to relay the image
	Same    int  // machines with a live job of the same kind for the same image, this one included
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
		a.Relay = w.Own.Spec.Kind == job.Relay
		kind := w.Own.Spec.Kind
		if a.Relay {
			kind = job.Install
		}
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM jobs WHERE state IN ('pending', 'started')
			AND data ->> '$.spec.kind' = ? AND data ->> '$.spec.image.document' = ?
			AND coalesce(data ->> '$.phase', '') <> 'switch'
			AND (origin IN ('operator', 'machine') OR EXISTS (SELECT 1 FROM boots WHERE boot = jobs.data ->> '$.boot' AND used > ?))`,
			string(kind), w.Own.Spec.Image.Document, f.o.Now().Add(-silence).UnixNano()).Scan(&a.Same)
	})
	if err != nil {
		return StreamAsker{}, fmt.Errorf("looking up who asks for a stream: %w", err)
	}
	return a, nil
}
