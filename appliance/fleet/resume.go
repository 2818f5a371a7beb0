package fleet

import (
	"context"
	"database/sql"
	"fmt"

	"griddle/appliance/job"
)

// Resume gives the machine that key names its last install again, which divided the disks by a layout and ended before
// it was done: the same job, with its records, by which the machine completes what it began. It is an operator's job
// from then on, no matter who ordered it. It returns ErrInvalid if there is no such job, and ErrBusy if another
// job waits or runs.
func (f *Fleet) Resume(ctx context.Context, key string) (m Machine, j Job, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if _, err := byKey(ctx, tx, key); err != nil {
			return err
		}
		if m, err = f.named(ctx, tx, key); err != nil {
			return err
		}
		if err := inUse(m); err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		if err := f.endLiveJobs(ctx, tx, m, jobs, false); err != nil {
			return err
		}
		if jobs, err = jobsOf(ctx, tx, m.ID); err != nil {
			return err
		}
		last, err := unfinishedDivision(ctx, tx, jobs)
		if err != nil {
			return err
		}
		if last == nil {
			return fmt.Errorf("%w: %s has no install by a layout that began to divide its disks and did not finish",
				ErrInvalid, m.Name)
		}
		j = *last
		j.State, j.Origin, j.By, j.Boot, j.Carrier, j.Begun = job.Pending, Operator, by(ctx), "", "", true
		j.Phase, j.Message, j.Progress, j.Changed = "", "", nil, f.o.Now().UTC()
		if _, err := tx.ExecContext(ctx, "UPDATE jobs SET origin = ? WHERE id = ?", string(j.Origin),
			j.Spec.ID); err != nil {
			return err
		}
		if err := saveJob(ctx, tx, j); err != nil {
			return err
		}
		return f.note(ctx, tx, j, job.Info, fmt.Sprintf("job: resume the install of %s by its layout, with %s "+
			"(requested on the command line)", j.Spec.Image.Ref, agreed(j.Spec.Plan)))
	})
	if err == nil {
		f.grown()
	}
	return m, j, err
}

// unfinishedDivision is the install by a layout among the jobs of a machine, the newest first, that has records, is not
// done, and was followed by no other job that wrote to a disk; nil if there is none.
func unfinishedDivision(ctx context.Context, tx *sql.Tx, jobs []Job) (*Job, error) {
	for i, j := range jobs {
		var has bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM recorded WHERE job = ?)",
			j.Spec.ID).Scan(&has); err != nil {
			return nil, err
		}
		if has && j.Spec.Layout != nil && j.State != job.Done {
			return &jobs[i], nil
		}
		if has || j.Spec.Started != "" {
			return nil, nil
		}
	}
	return nil, nil
}
