package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/fleet/life"
	"griddle/appliance/job"
)

// Retirement is when a machine was taken out of use, and who did it.
type Retirement struct {
	Time time.Time `json:"time"`
	By   string    `json:"by,omitempty"`
	For  string    `json:"for,omitempty"` // the name that it had, where another machine took its place
}

// inUse refuses a job for a machine that is retired.
func inUse(m Machine) error {
	if m.Retired == nil {
		return nil
	}
	return fmt.Errorf("%w (%s): it gets no jobs; `griddle machine retire --undo %s` takes it back into use", ErrRetired,
		m.Name, m.Name)
}

// Retire takes the machine that key names out of use: it gets no jobs, from its screen neither, and boots its disk. Its
// record, with recovery keys and journal, stays. It returns ErrBusy while a job waits or runs.
func (f *Fleet) Retire(ctx context.Context, key string) (m Machine, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		return f.retire(ctx, tx, &m, "", "an operator retired this machine: it gets no jobs, and boots its disk")
	})
	if err == nil {
		f.grown()
	}
	return m, err
}

func (f *Fleet) retire(ctx context.Context, tx *sql.Tx, m *Machine, name, what string) error {
	jobs, err := jobsOf(ctx, tx, m.ID)
	if err != nil {
		return err
	}
	if err := f.endLiveJobs(ctx, tx, *m, jobs, false); err != nil {
		return err
	}
	var state life.State
	if err := tx.QueryRowContext(ctx, "SELECT state FROM listing WHERE machine = ?", m.ID).Scan(&state); err != nil {
		return err
	}
	again := state == life.Retired && m.Retired == nil // of one that was retired before it is replaced
	if err := life.MayRetire(state); err != nil && !again {
		return fmt.Errorf("%w: %s cannot be retired: %w", ErrInvalid, m.Name, err)
	}
	now := f.o.Now().UTC()
	m.Retired = &Retirement{Time: now, By: by(ctx), For: name}
	if err := f.promote(ctx, tx, m); err != nil {
		return err
	}
	return f.journal(ctx, tx, m.ID, "", job.Event{Time: now, Level: job.Info, Message: job.Sentence(what)})
}

// Reuse takes the machine that key names back into use.
func (f *Fleet) Reuse(ctx context.Context, key string) (m Machine, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		if m.Retired == nil {
			return fmt.Errorf("%w: %s is not retired", ErrInvalid, m.Name)
		}
		m.Retired = nil
		if err := save(ctx, tx, m); err != nil {
			return err
		}
		return f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Info,
			Message: "an operator took this machine back into use"})
	})
	if err == nil {
		f.grown()
	}
	return m, err
}

// Replace gives the place of one machine to another computer: its name, group, tags, place, note and settings. What
// belongs to the hardware stays where it is: jobs, keys, recovery keys, inventory and journal. The first machine is
// retired, with another name. fresh may be a MAC address or a UUID that no machine has. Replace returns ErrBusy if a
// job waits or runs on either, and ErrInvalid if fresh has settings of its own.
//
// For one computer with a new mainboard and the disks of before, Merge is right.
func (f *Fleet) Replace(ctx context.Context, key, fresh string) (old, m Machine, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if old, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		if m, err = f.named(ctx, tx, fresh); err != nil {
			return err
		}
		if old.ID == m.ID {
			return fmt.Errorf("%w: %s and %s are the same machine", ErrInvalid, job.Printable(key),
				job.Printable(fresh))
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
		return f.replace(ctx, tx, &old, &m)
	})
	if err == nil {
		f.grown()
	}
	return old, m, err
}

func (f *Fleet) replace(ctx context.Context, tx *sql.Tx, old, m *Machine) error {
	old.Retired = nil // perhaps it was retired before
	had, name, before := m.Name, old.Name, *m
	m.Name, m.Group, m.Tags, m.Place, m.Note = name, old.Group, old.Tags, old.Place, old.Note
	var err error
	if old.Name, err = freeName(ctx, tx, strings.TrimSuffix(fmt.Sprintf("%.55s", name), ".")+"-old"); err != nil {
		return err
	}
	old.Group, old.Tags, old.Place = "", nil, ""
	if err := f.retire(ctx, tx, old, name, fmt.Sprintf("an operator replaced this machine, which was %s, by the "+
		"one with "+
		"the addresses %s", name, orNone(strings.Join(m.Identity.MACs, ", ")))); err != nil {
		return err
	}
	if err := f.promote(ctx, tx, m); err != nil {
		return err
	}
	for _, one := range []Machine{*old, *m} {
		if err := saveTags(ctx, tx, one); err != nil {
			return err
		}
	}
	var both int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM settings WHERE machine IN (?, ?)", old.ID,
		m.ID).Scan(&both); err != nil {
		return err
	}
	if both > 1 {
		return fmt.Errorf("%w: %s and %s both have settings of their own; delete those of %s first, with "+
			"`griddle machine set --clear %s`", ErrInvalid, name, had, had, had)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE settings SET machine = ? WHERE machine = ?", m.ID, old.ID); err != nil {
		return err
	}
	return f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Info, Message: job.Sentence(
		fmt.Sprintf("an operator gave this machine the place of %s: %s", name, differences(before, *m)))})
}
