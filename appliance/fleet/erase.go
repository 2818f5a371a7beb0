package fleet

import (
	"context"
	"database/sql"

	"griddle/appliance/job"
)

// endSystem notes that an erase begins to erase the disk with a system. If it is the one that the machine boots, the
// machine is not deployed any more, and no service of it will check in. before is the job before the event that made it
// now.
func (f *Fleet) endSystem(ctx context.Context, tx *sql.Tx, before, now Job) error {
	if now.Spec.Kind != job.Erase || now.State != job.Started || before.State == job.Started || now.Certificate == nil {
		return nil
	}
	jobs, err := jobsOf(ctx, tx, now.Machine)
	if err != nil {
		return err
	}
	boots := false // the machine boots it
	for _, j := range jobs {
		if j.Spec.ID != now.Certificate.Disk.Installed || !j.installs() {
			continue
		}
		s := system(jobs)
		boots = s != nil && s.Spec.ID == j.Spec.ID
		j.Erased = true
		if err := saveJob(ctx, tx, j); err != nil {
			return err
		}
	}
	if !boots {
		return nil
	}
	m, err := byID(ctx, tx, now.Machine)
	if err != nil {
		return err
	}
	m.Deployed, m.Service = nil, nil
	return save(ctx, tx, m)
}
