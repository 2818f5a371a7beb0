package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Turn is an entry of the journal that is about a job, with the job as it is now.
type Turn struct {
	ID       int64 // of the entry; ascending over all machines
	Received time.Time
	Name     string // of the machine
	Job      Job
}

// Turns looks at up to limit entries of the journal after the one with the number after, of all machines, without
// progress. It returns those that are about a job of their machine, and the number of the last one that it looked at,
// or after if there is none. What an entry says of a job counts for nothing here: only Job.State is true.
func (f *Fleet) Turns(ctx context.Context, after int64, limit int) (out []Turn, last int64, err error) {
	last = after
	err = f.change(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT e.id, e.received, m.name, coalesce(j.data, '') FROM events e "+
			"JOIN machines m ON m.id = e.machine LEFT JOIN jobs j ON j.id = e.job AND j.machine = e.machine "+
			"WHERE e.id > ? AND e.progress = 0 ORDER BY e.id LIMIT ?", after, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t Turn
			var received int64
			var data string
			if err := rows.Scan(&t.ID, &received, &t.Name, &data); err != nil {
				return err
			}
			last = t.ID
			if data == "" {
				continue
			}
			if err := json.Unmarshal([]byte(data), &t.Job); err != nil {
				return fmt.Errorf("reading a stored job: %w", err)
			}
			t.Received = time.Unix(0, received).UTC()
			out = append(out, t)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, after, fmt.Errorf("reading the journal: %w", err)
	}
	return out, last, nil
}
