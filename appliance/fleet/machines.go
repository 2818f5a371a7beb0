package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// View is a machine with its newest job, if it ever had one.
type View struct {
	Machine Machine `json:"machine"`
	Job     *Job    `json:"job,omitempty"`
}

// Status says in one word where a machine stands: "new", "known" (an agent has run on it), "pending", "installing",
// "failed", "installed" (its system has not phoned home yet), "deployed", or "relaying" while it does that.
func (v View) Status() string {
	if v.Job != nil && v.Job.Spec.Kind == job.Relay {
		switch v.Job.State {
		case job.Pending:
			return "pending"
		case job.Started:
			return "relaying"
		}
	} else if v.Job != nil {
		switch v.Job.State {
		case job.Pending:
			return "pending"
		case job.Started:
			return "installing"
		case job.Failed:
			return "failed"
		case job.Done:
			if v.Machine.Deployed == nil || v.Machine.Deployed.Job != v.Job.Spec.ID {
				return "installed"
			}
		}
	}
	switch {
	case v.Machine.Deployed != nil:
		return "deployed"
	case v.Machine.Inventory.Memory > 0 || len(v.Machine.Inventory.Disks) > 0:
		return "known"
	}
	return "new"
}

// List returns every machine, by name.
func (f *Fleet) List(ctx context.Context) ([]View, error) {
	var out []View
	err := f.change(ctx, func(tx *sql.Tx) error {
		machines, err := queryMachines(ctx, tx, "SELECT data FROM machines ORDER BY name")
		if err != nil {
			return err
		}
		jobs, err := queryJobs(ctx, tx, "SELECT data FROM jobs WHERE rowid IN (SELECT max(rowid) FROM jobs GROUP BY machine)")
		if err != nil {
			return err
		}
		newest := map[string]*Job{}
		for i := range jobs {
			newest[jobs[i].Machine] = &jobs[i]
		}
		for _, m := range machines {
			out = append(out, View{Machine: m, Job: newest[m.ID]})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing machines: %w", err)
	}
	return out, nil
}

// Show returns the machine that key names, and all its jobs, the newest first. A key is a name, a MAC address or a
// UUID; ErrUnknown and ErrAmbiguous are its errors.
func (f *Fleet) Show(ctx context.Context, key string) (m Machine, jobs []Job, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		jobs, err = jobsOf(ctx, tx, m.ID)
		return err
	})
	return m, jobs, err
}

func byKey(ctx context.Context, tx *sql.Tx, key string) (Machine, error) {
	found, err := queryMachines(ctx, tx, "SELECT data FROM machines WHERE name = ?1 OR id = ?1", strings.TrimSpace(key))
	if mac, ok := job.NormalMAC(key); err == nil && ok {
		found, err = queryMachines(ctx, tx, "SELECT data FROM machines WHERE id IN (SELECT machine FROM macs WHERE mac = ?)", mac)
	} else if id := job.NormalUUID(key); err == nil && id != "" && len(found) == 0 {
		found, err = queryMachines(ctx, tx, "SELECT data FROM machines WHERE uuid IN (?, ?)", id, swapUUID(id))
	}
	if err != nil {
		return Machine{}, err
	}
	switch len(found) {
	case 0:
		return Machine{}, fmt.Errorf("%w: %s", ErrUnknown, job.Printable(key))
	case 1:
		return found[0], nil
	}
	var names []string
	for _, m := range found {
		names = append(names, m.Name)
	}
	return Machine{}, fmt.Errorf("%w %s: %s", ErrAmbiguous, job.Printable(key), strings.Join(names, ", "))
}

// recognise returns the machine that id is, or ErrUnknown. Where several fit (an operator named it by an address that
// it did not boot from), the one with a live job wins, then the one that owns the first address; those of the others
// that have no story of their own are merged into it.
func (f *Fleet) recognise(ctx context.Context, tx *sql.Tx, id job.Identity) (Machine, error) {
	candidates := map[string]Machine{}
	add := func(query string, args ...any) error {
		found, err := queryMachines(ctx, tx, query, args...)
		for _, m := range found {
			if m.is(id) {
				candidates[m.ID] = m
			}
		}
		return err
	}
	for _, mac := range id.MACs {
		if err := add("SELECT data FROM machines WHERE id IN (SELECT machine FROM macs WHERE mac = ?)", mac); err != nil {
			return Machine{}, err
		}
	}
	if id.UUID != "" {
		if err := add("SELECT data FROM machines WHERE uuid IN (?, ?)", id.UUID, swapUUID(id.UUID)); err != nil {
			return Machine{}, err
		}
	}
	var best Machine
	bestScore := -1
	jobless := map[string]bool{}
	for _, m := range candidates {
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return Machine{}, err
		}
		jobless[m.ID] = len(jobs) == 0
		score := 0
		if live(jobs) != nil {
			score += 4
		}
		if len(id.MACs) > 0 && m.has(id.MACs[0]) {
			score += 2
		}
		if len(jobs) > 0 {
			score++
		}
		// Equal ones are told apart by age and ID, so that the choice never depends on the order of a map.
		if score > bestScore || score == bestScore && (m.FirstSeen.Before(best.FirstSeen) || m.FirstSeen.Equal(best.FirstSeen) && m.ID < best.ID) {
			best, bestScore = m, score
		}
	}
	if bestScore < 0 {
		return Machine{}, ErrUnknown
	}
	for _, m := range candidates {
		if m.ID != best.ID && jobless[m.ID] {
			best.learn(job.Identity{MACs: append(append([]string(nil), best.Identity.MACs...), m.Identity.MACs...)})
			if _, err := tx.ExecContext(ctx, "DELETE FROM machines WHERE id = ?", m.ID); err != nil {
				return Machine{}, err
			}
		}
	}
	return best, nil
}

// introduce makes a machine of an identity.
func (f *Fleet) introduce(ctx context.Context, tx *sql.Tx, id job.Identity) (Machine, error) {
	var count int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM machines").Scan(&count); err != nil {
		return Machine{}, err
	}
	if count >= maxMachines {
		return Machine{}, fmt.Errorf("%w: there are %d machines already, which is all that fit", ErrInvalid, count)
	}
	m := Machine{ID: uuid.NewString(), Identity: id, FirstSeen: f.o.Now().UTC()}
	name := Hostname(f.o.Hostname, id, count+1)
	for n := 1; ; n++ {
		m.Name = name
		if n > 1 {
			m.Name = fmt.Sprintf("%.50s-%d", name, n)
		}
		if _, err := byName(ctx, tx, m.Name); errors.Is(err, ErrUnknown) {
			return m, nil
		} else if err != nil {
			return Machine{}, err
		}
	}
}

func byName(ctx context.Context, tx *sql.Tx, name string) (Machine, error) {
	found, err := queryMachines(ctx, tx, "SELECT data FROM machines WHERE name = ?", name)
	if err != nil {
		return Machine{}, err
	}
	if len(found) == 0 {
		return Machine{}, ErrUnknown
	}
	return found[0], nil
}

// save writes a machine. named keeps it from being forgotten; once named, it stays so.
func (f *Fleet) save(ctx context.Context, tx *sql.Tx, m Machine, named bool) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO machines (id, name, uuid, named, seen, data) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, uuid = excluded.uuid, named = max(named, excluded.named), seen = excluded.seen, data = excluded.data`,
		m.ID, m.Name, m.Identity.UUID, named, m.LastSeen.UnixNano(), encode(m))
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM macs WHERE machine = ?", m.ID); err != nil {
		return err
	}
	for _, mac := range m.Identity.MACs {
		if _, err := tx.ExecContext(ctx, "INSERT INTO macs (mac, machine) VALUES (?, ?)", mac, m.ID); err != nil {
			return err
		}
	}
	if named {
		return nil
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM machines WHERE named = 0 AND id NOT IN
		(SELECT id FROM machines WHERE named = 0 ORDER BY seen DESC LIMIT ?)`, maxSighted)
	return err
}

func queryMachines(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]Machine, error) {
	return queryDocuments[Machine](ctx, tx, query, args...)
}

func queryJobs(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]Job, error) {
	return queryDocuments[Job](ctx, tx, query, args...)
}

// jobsOf returns a machine's jobs, the newest first.
func jobsOf(ctx context.Context, tx *sql.Tx, machine string) ([]Job, error) {
	return queryJobs(ctx, tx, "SELECT data FROM jobs WHERE machine = ? ORDER BY rowid DESC", machine)
}

func live(jobs []Job) *Job {
	for i := range jobs {
		if jobs[i].Live() {
			return &jobs[i]
		}
	}
	return nil
}

func queryDocuments[T any](ctx context.Context, tx *sql.Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var data string
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}
		var v T
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			return nil, fmt.Errorf("reading a stored %T: %w", v, err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
