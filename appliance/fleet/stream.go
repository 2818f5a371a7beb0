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
	Same    int  // machines with a live install of the same image, this one included
}

// Streaming returns the machine of a token, and how many machines install the same image. It returns ErrToken if the
// token is not valid, and ErrOver if the machine has no live job.
func (f *Fleet) Streaming(ctx context.Context, p Proof) (a StreamAsker, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		s, _, err := f.session(ctx, tx, p)
		if err != nil {
			return err
		}
		if a.Machine, err = byID(ctx, tx, s.Machine); err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, s.Machine)
		if err != nil {
			return err
		}
		own := f.ownJob(jobs, s)
		if own == nil {
			return fmt.Errorf("%w: %s has no live job", ErrOver, a.Machine.Name)
		}
		a.Relay = own.Spec.Kind == job.Relay
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM jobs WHERE state IN ('pending', 'started')
			AND data ->> '$.spec.kind' = ? AND data ->> '$.spec.image.document' = ?
			AND (origin = 'operator' OR EXISTS (SELECT 1 FROM boots WHERE boot = jobs.data ->> '$.boot' AND used > ?))`,
			string(job.Install), own.Spec.Image.Document, f.o.Now().Add(-silence).UnixNano()).Scan(&a.Same)
	})
	if err != nil {
		return StreamAsker{}, fmt.Errorf("looking up who asks for a stream: %w", err)
	}
	return a, nil
}
