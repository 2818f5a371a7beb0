package fleet

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"griddle/appliance/job"
)

// ErrRecords is returned for a record that is beyond the limits of its job.
var ErrRecords = errors.New("the records of the job have reached their limit")

// ErrNoRoom is returned where the records of all jobs leave no room for another one.
var ErrNoRoom = errors.New("no room for records of jobs")

// Record adds a record to those of the live job id that the boot of p carries out, durably. A boot that keeps a record
// carries the job out from then on, as one that reports its start. A record that equals the job's last one is kept
// once. It returns ErrOver if the job is not a live job of the boot, ErrBusy if another boot carries it out and was
// heard of within the last minute, ErrRecords beyond the limits of package job, and ErrNoRoom if there is no room
// beside the records of other jobs.
//
// Records of a job that is done are deleted, those of other jobs that ended as soon as the room is needed, the oldest
// first. Those of live jobs stay.
func (f *Fleet) Record(ctx context.Context, p Proof, id string, record []byte) error {
	record = bytes.TrimSpace(record)
	if err := job.CheckRecord(record); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return f.change(ctx, func(tx *sql.Tx) error {
		w, err := f.recorder(ctx, tx, p)
		if err != nil {
			return err
		}
		if w.Own.Spec.ID != id {
			return fmt.Errorf("%w: it is not a live job of %s", ErrOver, w.Machine.Name)
		}
		if err := f.carryOut(ctx, tx, w); err != nil {
			return err
		}
		return f.addRecord(ctx, tx, w, record)
	})
}

// Records are some of the records of a job.
type Records struct {
	All  []json.RawMessage
	Next int // the number of the last of them if there are more, else 0
}

// Records returns records of the job id, in their order, without the first after: as many as have together at most
// most bytes, but one in any case. The boot of p must have a live job; id is that one or an earlier one of the same
// machine, which the boot can only know from its disks or from the server. It returns ErrOver otherwise.
func (f *Fleet) Records(ctx context.Context, p Proof, id string, after, most int) (out Records, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		w, err := f.recorder(ctx, tx, p)
		if err != nil {
			return err
		}
		its, err := queryJobs(ctx, tx, "WHERE id = ? AND machine = ?", id, w.Machine.ID)
		if err != nil {
			return err
		}
		if len(its) == 0 {
			return fmt.Errorf("%w: it is not a job of %s", ErrOver, w.Machine.Name)
		}
		var count int
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(count), 0) FROM recorded WHERE job = ?",
			id).Scan(&count); err != nil {
			return err
		}
		out, err = readRecords(ctx, tx, id, after, most)
		if last := after + len(out.All); last < count && len(out.All) > 0 {
			out.Next = last
		}
		return err
	})
	return out, err
}

func readRecords(ctx context.Context, tx *sql.Tx, id string, after, most int) (out Records, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT data FROM records WHERE job = ? AND number > ? ORDER BY number", id,
		after)
	if err != nil {
		return out, err
	}
	defer rows.Close()
	for size := 0; rows.Next(); {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return out, err
		}
		if size += len(data); size > most && len(out.All) > 0 {
			return out, nil
		}
		out.All = append(out.All, data)
	}
	return out, rows.Err()
}

// recorder finds the boot that p proves, which has a live job.
func (f *Fleet) recorder(ctx context.Context, tx *sql.Tx, p Proof) (w worker, err error) {
	if w, err = f.worker(ctx, tx, p); err != nil {
		return w, err
	}
	if w.Boot == "" || w.Own == nil {
		return w, fmt.Errorf("%w: %s has no live job that a boot from the network carries out", ErrOver, w.Machine.Name)
	}
	return w, nil
}

// carryOut makes the boot of w the one that carries its job out, unless another one does.
func (f *Fleet) carryOut(ctx context.Context, tx *sql.Tx, w worker) error {
	if w.Own.carrier() == w.Boot {
		return nil
	}
	if err := f.carries(ctx, tx, *w.Own, w.Boot); err != nil {
		return err
	}
	w.Own.Carrier = w.Boot
	if err := saveJob(ctx, tx, *w.Own); err != nil {
		return err
	}
	return adopt(ctx, tx, Session{Boot: w.Boot, Machine: w.Machine.ID})
}

func (f *Fleet) addRecord(ctx context.Context, tx *sql.Tx, w worker, record []byte) error {
	id := w.Own.Spec.ID
	var count, size int64
	err := tx.QueryRowContext(ctx, "SELECT count, bytes FROM recorded WHERE job = ?", id).Scan(&count, &size)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if count > 0 {
		var same bool
		if err := tx.QueryRowContext(ctx, "SELECT data = ? FROM records WHERE job = ? AND number = ?", record, id,
			count).Scan(&same); err != nil || same {
			return err
		}
	}
	size += int64(len(record))
	if count++; count > job.MaxRecords || size > job.MaxRecordBytes {
		return fmt.Errorf("%w: a job has at most %d records with %s together", ErrRecords, job.MaxRecords,
			job.Bytes(job.MaxRecordBytes))
	}
	if err := f.roomToRecord(ctx, tx, w.Machine, count == 1, int64(len(record))); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO recorded (job, count, bytes, changed) VALUES (?, ?, ?, ?)
		ON CONFLICT (job) DO UPDATE SET count = excluded.count, bytes = excluded.bytes, changed = excluded.changed`,
		id, count, size, f.o.Now().UnixNano()); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO records (job, number, data) VALUES (?, ?, ?)", id, count, record)
	return err
}

// recordedBy selects the jobs with records of machines with ranks below ?1, of all sources or of ?2.
const recordedBy = " FROM recorded JOIN jobs ON jobs.id = recorded.job JOIN machines ON machines.id = jobs.machine " +
	"WHERE rank < ?1 AND (?2 = '' OR source = ?2) "

// roomToRecord makes room for n bytes of records of m, or says why there is none. No record of a live job goes: a disk
// may be in a state that only they explain. So strangers fill what they may have, and the rest is for others.
func (f *Fleet) roomToRecord(ctx context.Context, tx *sql.Tx, m Machine, first bool, n int64) error {
	if err := f.checkSpace("keeps records of jobs"); err != nil {
		return err
	}
	limits := []recordLimit{{below: Ordered + 1, bytes: f.max.allRecords, jobs: maxMachines}}
	if m.Rank != Ordered {
		limits = append(limits, recordLimit{Ordered, "", f.max.strangerRecords, f.max.recorded},
			recordLimit{Ordered, m.source, f.max.sourceRecords, f.max.recorded})
	}
	for _, l := range limits {
		if err := l.enforce(ctx, tx, first, n); err != nil {
			return err
		}
	}
	return nil
}

// recordLimit is what the machines with ranks below below have at most, all of them or those of a source.
type recordLimit struct {
	below  Rank
	source string
	bytes  int64
	jobs   int64 // with records
}

// enforce deletes records of jobs that ended until n bytes more fit, and one job more if first says so.
func (l recordLimit) enforce(ctx context.Context, tx *sql.Tx, first bool, n int64) error {
	for {
		var have, jobs int64
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(sum(bytes), 0), count(*)"+recordedBy, l.below,
			l.source).Scan(&have, &jobs); err != nil {
			return err
		}
		if have+n <= l.bytes && (!first || jobs < l.jobs) {
			return nil
		}
		gone, err := tx.ExecContext(ctx, "DELETE FROM recorded WHERE job = (SELECT job"+recordedBy+
			"AND state NOT IN ('pending', 'started') ORDER BY changed, job LIMIT 1)", l.below, l.source)
		if err != nil {
			return err
		}
		if n, err := gone.RowsAffected(); err != nil || n == 0 {
			return errors.Join(fmt.Errorf("%w: %d jobs under way have %s, and the limit is %d jobs and %s", ErrNoRoom,
				jobs, job.Bytes(have), l.jobs, job.Bytes(l.bytes)), err)
		}
	}
}

// LastRecords returns the records of the newest job of the machine that key names which has some, in their order: from
// the first on, as many as have together at most most bytes. There are none where all jobs are done.
func (f *Fleet) LastRecords(ctx context.Context, key string, most int) (out []json.RawMessage, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := byKey(ctx, tx, key)
		if err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		for _, j := range jobs {
			got, err := readRecords(ctx, tx, j.Spec.ID, 0, most)
			if err != nil || len(got.All) > 0 {
				out = got.All
				return err
			}
		}
		return nil
	})
	return out, err
}
