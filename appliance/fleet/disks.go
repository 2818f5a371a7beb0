package fleet

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"griddle/appliance/job"
)

// Reported is what a machine last reported of its disks.
type Reported struct {
	Machine Machine
	Disks   []job.Disk
	Known   bool // it has reported its disks
	Cut     bool // it has more than the server keeps, so that this is not all of them

	// Since is when the disks were first reported like this; zero if they are not known.
	Since time.Time
	// Stale says that an install of the machine has finished after that: its disk is not like this any more.
	Stale bool
	// Begun says that an install began to divide them and did not finish, so that Resume can be called.
	Begun bool
}

// Disks returns what the machine that key names last reported of its disks.
func (f *Fleet) Disks(ctx context.Context, key string) (r Reported, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if r.Machine, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, r.Machine.ID)
		if err != nil {
			return err
		}
		begun, err := unfinishedDivision(ctx, tx, jobs)
		if err != nil {
			return err
		}
		r.Begun = begun != nil
		var updated int64
		err = tx.QueryRowContext(ctx, "SELECT updated FROM inventories WHERE machine = ?", r.Machine.ID).Scan(&updated)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		v, err := inventoryOf(ctx, tx, r.Machine.ID)
		if err != nil {
			return err
		}
		r.Disks, r.Known, r.Cut, r.Since = v.Disks, true, v.Cut, time.Unix(0, updated).UTC()
		for _, j := range jobs {
			r.Stale = r.Stale || j.Spec.Kind == job.Install && j.State == job.Done && j.Changed.After(r.Since)
		}
		return nil
	})
	return r, err
}
