package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// MachineEntry is an entry of the journal of a machine.
type MachineEntry struct {
	Machine string `json:"machine"` // its name
	Entry
}

// Entries returns up to limit entries of all machines with numbers above after, in order. It does not wait: see Growth.
func (f *Fleet) Entries(ctx context.Context, after int64, limit int) (out []MachineEntry, err error) {
	rows, err := f.db.QueryContext(ctx, "SELECT e.id, m.name, e.boot, e.received, e.data FROM events e "+
		"JOIN machines m ON m.id = e.machine WHERE e.id > ? ORDER BY e.id LIMIT ?", after, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the journals: %w", diskFull(err))
	}
	defer rows.Close()
	for rows.Next() {
		var e MachineEntry
		var received int64
		var data string
		if err := rows.Scan(&e.ID, &e.Machine, &e.Boot, &received, &data); err != nil {
			return nil, fmt.Errorf("reading the journals: %w", err)
		}
		if err := json.Unmarshal([]byte(data), &e.Event); err != nil {
			return nil, fmt.Errorf("reading a stored event: %w", err)
		}
		e.Received = time.Unix(0, received).UTC()
		out = append(out, e)
	}
	return out, rows.Err()
}

// LastEntry is the number of the newest entry of all journals, 0 for none.
func (f *Fleet) LastEntry(ctx context.Context) (id int64, err error) {
	var last sql.NullInt64
	if err := f.db.QueryRowContext(ctx, "SELECT max(id) FROM events").Scan(&last); err != nil {
		return 0, fmt.Errorf("reading the journals: %w", diskFull(err))
	}
	return last.Int64, nil
}
