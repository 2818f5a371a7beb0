package fleet

import (
	"context"
	"database/sql"
	"time"

	"griddle/appliance/job"
)

// beganBy binds the key of a boot that begins to carry out an install to the machine too, until an install is done
// (installedBy). The agent keeps its key in the pool before it makes a new root, so that the next start after a power
// cut finds it: the system of before, which then runs, has no other one. Such a key counts as little as that of an
// install.
func beganBy(ctx context.Context, tx *sql.Tx, j Job, boot string, now time.Time) error {
	if j.Spec.Kind != job.Install {
		return nil
	}
	const most = 8 // of one machine: a boot after a power cut has a new one
	if _, err := tx.ExecContext(ctx, `INSERT INTO begun (machine, key, job, time) SELECT ?1, key, ?2, ?3 FROM boots WHERE boot = ?4 AND key <> ''
		ON CONFLICT (machine, key) DO UPDATE SET job = excluded.job, time = excluded.time`,
		j.Machine, j.Spec.ID, now.UnixNano(), boot); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM begun WHERE machine = ?1 AND key NOT IN
		(SELECT key FROM begun WHERE machine = ?1 ORDER BY time DESC, key LIMIT ?2)`, j.Machine, most)
	return err
}
