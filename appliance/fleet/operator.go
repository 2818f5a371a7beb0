package fleet

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"griddle/appliance/job"
)

// Delete deletes the machine that key names, with its jobs, settings, keys and journal. If it has a live job, Delete
// returns ErrBusy: cancel the job first. If it has recovery keys, Delete returns ErrRecovery, unless recovery says that
// they may be lost. If the machine is seen again, it is a new one.
func (f *Fleet) Delete(ctx context.Context, key string, recovery bool) (m Machine, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		if err := f.endLiveJobs(ctx, tx, m, jobs, false); err != nil {
			return err
		}
		if err := loses(ctx, tx, m); err != nil && !(recovery && errors.Is(err, ErrRecovery)) {
			return err
		}
		return forget(ctx, tx, m.ID)
	})
	if err == nil {
		f.grown()
	}
	return m, err
}

// Rename gives the machine that key names another name. An installed system keeps its hostname.
func (f *Fleet) Rename(ctx context.Context, key, name string) (m Machine, err error) {
	if !ValidHostname(name) {
		return m, fmt.Errorf("%w name %q: use letters, digits and hyphens, at most 63 between dots", ErrInvalid,
			job.Printable(name))
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		if err := takeName(ctx, tx, name, m.ID); err != nil {
			return err
		}
		m.Name = name
		return f.promote(ctx, tx, &m)
	})
	return m, err
}

// promote makes m one that an operator named, by its name, and saves it.
func (f *Fleet) promote(ctx context.Context, tx *sql.Tx, m *Machine) error {
	if m.Rank != Ordered {
		if err := f.makeRoom(ctx, tx, Ordered, ""); err != nil {
			return err
		}
		m.Rank = Ordered
	}
	if err := save(ctx, tx, *m); err != nil {
		return err
	}
	return pin(ctx, tx, m)
}

// Merge makes the machines that key and other name one machine: it moves other's addresses, jobs, boots, keys, recovery
// keys, tags and journal to the first machine, its settings, group, place and note too if that has none, and deletes
// other. UUID and serial number
// are those of the machine that was seen last, as after a new mainboard. If both have an operator's live job, Merge
// returns ErrBusy: cancel one first.
func (f *Fleet) Merge(ctx context.Context, key, other string) (m Machine, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		from, err := byKey(ctx, tx, other)
		if err != nil {
			return err
		}
		if from.ID == m.ID {
			return fmt.Errorf("%w: %s and %s are already the same machine", ErrInvalid, job.Printable(key),
				job.Printable(other))
		}
		if err := f.bothOrdered(ctx, tx, m, from); err != nil {
			return err
		}
		return f.merge(ctx, tx, &m, from)
	})
	if err == nil {
		f.grown()
	}
	return m, err
}

func (f *Fleet) bothOrdered(ctx context.Context, tx *sql.Tx, m, from Machine) error {
	var n int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM jobs WHERE machine IN (?, ?) AND origin IN ('operator', "+
		"'action', 'rule') AND state IN ('pending', 'started')", m.ID, from.ID).Scan(&n)
	if err == nil && n > 1 {
		err = fmt.Errorf("%w: %s and %s both have an install that waits or runs; cancel one first",
			ErrBusy, m.Name, from.Name)
	}
	return err
}

func (f *Fleet) merge(ctx context.Context, tx *sql.Tx, m *Machine, from Machine) error {
	macs := slices.Concat(m.Identity.MACs, from.Identity.MACs)
	firm, err := firmMACs(ctx, tx, from)
	if err != nil {
		return err
	}
	if from.LastSeen.After(m.LastSeen) || m.Identity.UUID == "" {
		m.Identity, m.LastSeen = from.Identity, from.LastSeen
		m.firm = m.firm || from.firm
	}
	m.Identity.MACs = job.Identity{MACs: macs}.Bounded().MACs
	if c := from.Service; c != nil && (m.Service == nil || c.Time.After(m.Service.Time)) {
		m.Service = c
	}
	if c := from.Fell; c != nil && (m.Fell == nil || c.Time.After(m.Fell.Time)) {
		m.Fell = c
	}
	if k := from.Kexec; k != nil && (m.Kexec == nil || k.Time.After(m.Kexec.Time)) {
		m.Kexec = k
	}
	if d := from.Deployed; d != nil && (m.Deployed == nil || d.Time.After(m.Deployed.Time)) {
		m.Deployed = d
	}
	if h := from.Handed; h != nil && (m.Handed == nil || h.Time.After(m.Handed.Time)) {
		m.Handed = h
	}
	m.Group, m.Place, m.Note = cmp.Or(m.Group, from.Group), cmp.Or(m.Place, from.Place), cmp.Or(m.Note, from.Note)
	tags := append(slices.Clone(m.Tags), from.Tags...)
	slices.Sort(tags)
	tags = slices.Compact(tags)
	m.Tags = tags[:min(len(tags), MaxTags)]
	m.Conflicts, m.Refused = nil, nil
	if from.FirstSeen.Before(m.FirstSeen) {
		m.FirstSeen = from.FirstSeen
	}
	for _, table := range []string{"boots", "events", "recovery"} {
		if _, err := tx.ExecContext(ctx, "UPDATE "+table+" SET machine = ? WHERE machine = ?", m.ID,
			from.ID); err != nil {
			return err
		}
	}
	for _, table := range []string{"keys", "installs", "begun", "ruled"} {
		if _, err := tx.ExecContext(ctx, "UPDATE OR IGNORE "+table+" SET machine = ? WHERE machine = ?", m.ID,
			from.ID); err != nil {
			return err
		}
	}
	if err := f.mergeSettings(ctx, tx, *m, from); err != nil {
		return err
	}
	// A job also says in its document whose it is.
	if _, err := tx.ExecContext(ctx, "UPDATE jobs SET machine = ?1, data = json_set(data, '$.machine', "+
		"?1) WHERE machine = ?2", m.ID, from.ID); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO inventories (machine, updated, size, data) SELECT ?, updated, size, data FROM inventories WHERE machine = ?
		ON CONFLICT (machine) DO UPDATE SET updated = excluded.updated, size = excluded.size, data = excluded.data WHERE excluded.updated > inventories.updated`, m.ID, from.ID); err != nil {
		return err
	}
	if err := forget(ctx, tx, from.ID); err != nil {
		return err
	}
	if err := f.promote(ctx, tx, m); err != nil {
		return err
	}
	if err := saveTags(ctx, tx, *m); err != nil {
		return err
	}
	for _, mac := range append(firm, from.Identity.MACs...) {
		if err := makeFirm(ctx, tx, m.ID, mac); err != nil {
			return err
		}
	}
	return nil
}
