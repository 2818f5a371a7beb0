package fleet

import (
	"context"
	"database/sql"

	"griddle/appliance/job"
)

// Note writes what an operator did to the journal of the machine with an ID. It is on the disk when Note returns nil.
func (f *Fleet) Note(ctx context.Context, machine, what string) error {
	err := f.change(ctx, func(tx *sql.Tx) error {
		return f.journal(ctx, tx, machine, "", job.Event{Time: f.o.Now().UTC(), Level: job.Info,
			Message: job.Sentence(what)})
	})
	if err == nil {
		f.grown()
	}
	return err
}
