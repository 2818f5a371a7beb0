package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"griddle/appliance/job"
)

// queryMachines returns the machines that tail, what follows FROM machines, selects; without their inventories.
func queryMachines(ctx context.Context, tx *sql.Tx, tail string, args ...any) ([]Machine, error) {
	rows, err := tx.QueryContext(ctx,
		"SELECT machines.data, machines.rank, machines.source, machines.firm FROM machines "+tail, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Machine
	for rows.Next() {
		var m Machine
		var data string
		if err := rows.Scan(&data, &m.Rank, &m.source, &m.firm); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			return nil, fmt.Errorf("reading a stored machine: %w", err)
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

// oneMachine is queryMachines for at most one; ErrUnknown where there is none.
func oneMachine(ctx context.Context, tx *sql.Tx, tail string, args ...any) (Machine, error) {
	found, err := queryMachines(ctx, tx, tail, args...)
	if err == nil && len(found) == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return Machine{}, err
	}
	return found[0], nil
}

func byID(ctx context.Context, tx *sql.Tx, id string) (Machine, error) {
	return oneMachine(ctx, tx, "WHERE id = ?", id)
}

func byName(ctx context.Context, tx *sql.Tx, name string) (Machine, error) {
	return oneMachine(ctx, tx, "WHERE name = ?", name)
}

// save writes a machine and its addresses; which of those are firm stays as it is. A rank never falls.
func save(ctx context.Context, tx *sql.Tx, m Machine) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO machines (id, name, uuid, firm, rank, source, seen, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, uuid = excluded.uuid, firm = excluded.firm, rank = max(rank, excluded.rank), seen = excluded.seen, data = excluded.data`,
		m.ID, m.Name, m.Identity.UUID, m.firm, m.Rank, m.source, m.LastSeen.UnixNano(), encode(m))
	if err != nil {
		return err
	}
	if err := mark(ctx, tx, m.ID); err != nil {
		return err
	}
	macs := encode(m.Identity.MACs)
	if _, err := tx.ExecContext(ctx, "DELETE FROM macs WHERE machine = ? AND firm = 0 AND mac NOT IN (SELECT value "+
		"FROM json_each(?))", m.ID, macs); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO macs (mac, machine) SELECT value, ? FROM json_each(?) WHERE true ON "+
		"CONFLICT DO NOTHING", m.ID, macs)
	return err
}

// firmMACs returns the addresses that belong to the machine for certain, in the order in which it has them.
func firmMACs(ctx context.Context, tx *sql.Tx, m Machine) ([]string, error) {
	rows, err := tx.QueryContext(ctx, "SELECT mac FROM macs WHERE machine = ? AND firm = 1 ORDER BY mac", m.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var mac string
		if err := rows.Scan(&mac); err != nil {
			return nil, err
		}
		out = append(out, mac)
	}
	slices.SortStableFunc(out, func(a, b string) int {
		return slices.Index(m.Identity.MACs, a) - slices.Index(m.Identity.MACs, b)
	})
	return out, rows.Err()
}

// makeFirm makes mac belong to the machine for certain, unless it belongs to another one so.
func makeFirm(ctx context.Context, tx *sql.Tx, machine, mac string) error {
	if mac == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO macs (mac, machine, firm) SELECT ?1, ?2, 1 WHERE NOT EXISTS (SELECT 1 FROM macs WHERE mac = ?1 AND firm = 1)
		ON CONFLICT (mac, machine) DO UPDATE SET firm = 1`, mac, machine)
	return err
}

// inventoryOf is empty where none is kept.
func inventoryOf(ctx context.Context, tx *sql.Tx, machine string) (v job.Inventory, err error) {
	var data string
	err = tx.QueryRowContext(ctx, "SELECT data FROM inventories WHERE machine = ?", machine).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		return v, fmt.Errorf("reading a stored inventory: %w", err)
	}
	return v, nil
}

func (f *Fleet) saveInventory(ctx context.Context, tx *sql.Tx, m Machine, v job.Inventory) error {
	limit := strangerInventory
	if m.Rank == Ordered {
		limit = orderedInventory
	}
	data := encode(shrinkInventory(v, limit))
	res, err := tx.ExecContext(ctx, `INSERT INTO inventories (machine, updated, size, data) VALUES (?, ?, ?, ?)
		ON CONFLICT (machine) DO UPDATE SET updated = excluded.updated, size = excluded.size, data = excluded.data WHERE data <> excluded.data`,
		m.ID, f.o.Now().UnixNano(), len(data), data)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return f.trimTotals(ctx, tx, len(data))
}

// queryJobs returns the jobs that tail, what follows FROM jobs, selects.
func queryJobs(ctx context.Context, tx *sql.Tx, tail string, args ...any) ([]Job, error) {
	rows, err := tx.QueryContext(ctx, "SELECT data FROM jobs "+tail, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Job
	for rows.Next() {
		var data string
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}
		var j Job
		if err := json.Unmarshal([]byte(data), &j); err != nil {
			return nil, fmt.Errorf("reading a stored job: %w", err)
		}
		out = append(out, j)
	}
	return out, rows.Err()
}

// jobsOf returns a machine's jobs, the newest first.
func jobsOf(ctx context.Context, tx *sql.Tx, machine string) ([]Job, error) {
	return queryJobs(ctx, tx, "WHERE machine = ? ORDER BY rowid DESC", machine)
}

// saveJob writes a job. One that is done needs its records no more.
func saveJob(ctx context.Context, tx *sql.Tx, j Job) error {
	if _, err := tx.ExecContext(ctx, "UPDATE jobs SET state = ?, data = ? WHERE id = ?", string(j.State),
		encode(j), j.Spec.ID); err != nil {
		return err
	}
	if err := mark(ctx, tx, j.Machine); err != nil || j.State != job.Done {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM recorded WHERE job = ?", j.Spec.ID)
	return err
}

// ordered is the job of an operator or a rule that waits or runs and that a boot may carry out, nil for none.
// An action is for the service alone.
func ordered(jobs []Job) *Job {
	return live(jobs, func(j Job) bool { return j.given() && !j.isAction() })
}

// chosenBy is the live job that the screen of boot chose, nil where there is none.
func chosenBy(jobs []Job, boot string) *Job {
	return live(jobs, func(j Job) bool { return j.Origin == Screen && j.Boot == boot })
}

// ownJob is the live job that the boot of s may carry out, nil where there is none.
func (f *Fleet) ownJob(jobs []Job, s Session) *Job {
	if j := chosenBy(jobs, s.Boot); j != nil {
		return j
	}
	if j := ordered(jobs); j != nil && !f.foreign(*j, s) {
		return j
	}
	return nil
}

func live(jobs []Job, which func(Job) bool) *Job {
	for i := range jobs {
		if jobs[i].Live() && which(jobs[i]) {
			return &jobs[i]
		}
	}
	return nil
}
