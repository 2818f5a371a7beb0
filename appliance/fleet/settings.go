package fleet

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/setting"
)

// Sealer encrypts the settings of machines before they are stored. Its key is not in the fleet's file.
type Sealer interface {
	Seal([]byte) ([]byte, error) // durably makes a key if there is none
	Open([]byte) ([]byte, error) // makes no key
}

// Declared is a machine with what operators set for it.
type Declared struct {
	Machine  Machine
	Job      *Job             // its most important one, see View
	Settings setting.Document // its own document; Empty for none
	Group    setting.Document // that of its group; Empty for none
	Changed  time.Time        // zero for none
	Proved   bool             // it has an approved key

	// Installed are the settings of the rule that installed its system, which stay with that over updates.
	Installed setting.Document
}

// Declared returns the machine that key names, with its own settings.
func (f *Fleet) Declared(ctx context.Context, key string) (d Declared, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := byKey(ctx, tx, key)
		if err != nil {
			return err
		}
		d, err = f.declared(ctx, tx, m)
		return err
	})
	return d, err
}

func (f *Fleet) declared(ctx context.Context, tx *sql.Tx, m Machine) (d Declared, err error) {
	v, err := f.view(ctx, tx, m)
	if err != nil {
		return d, err
	}
	d = Declared{Machine: m, Job: v.Job, Settings: setting.Document{From: "machine " + m.Name}}
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM keys WHERE machine = ?)",
		m.ID).Scan(&d.Proved); err != nil {
		return d, err
	}
	if m.Group != "" {
		g, err := f.wholeGroup(ctx, tx, m.Group)
		if err != nil {
			return d, err
		}
		d.Group = g.Settings
	}
	if d.Installed, err = installedSettings(ctx, tx, m.ID); err != nil {
		return d, err
	}
	var sealed []byte
	var changed int64
	err = tx.QueryRowContext(ctx, "SELECT sealed, changed FROM settings WHERE machine = ?", m.ID).Scan(&sealed,
		&changed)
	if errors.Is(err, sql.ErrNoRows) {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	b, err := f.unseal(sealed)
	if err != nil {
		return d, fmt.Errorf("opening the settings of %s: %w", m.Name, err)
	}
	d.Changed = time.Unix(0, changed).UTC()
	d.Settings, err = setting.Decode(d.Settings.From, b)
	return d, err
}

func (f *Fleet) unseal(sealed []byte) ([]byte, error) {
	if f.o.Sealer == nil {
		return nil, fmt.Errorf("%w: no key was given", ErrSealed)
	}
	b, err := f.o.Sealer.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return b, nil
}

// KeyError is what is wrong with one of several machines.
type KeyError struct {
	Key string // that names it
	Err error
}

// KeyErrors are those of one call, in the order of its keys.
type KeyErrors []KeyError

func (e KeyErrors) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap returns the errors without their keys.
func (e KeyErrors) Unwrap() (all []error) {
	for _, one := range e {
		all = append(all, one.Err)
	}
	return all
}

// SetSettings gives each machine that keys name the document that change makes of the present one. Keys become firm,
// as for Install, and MAC addresses and UUIDs that no machine has make machines. If change fails for one machine,
// nothing is changed for any. The error is then KeyErrors, with those of all for which it fails.
func (f *Fleet) SetSettings(ctx context.Context, keys []string,
	change func(key string, d Declared) (setting.Document, error)) (all []Machine, err error) {
	if f.o.Sealer == nil {
		return nil, fmt.Errorf("%w: no key was given", ErrSealed)
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		var errs KeyErrors
		seen := map[string]string{}
		for _, key := range keys {
			m, err := f.named(ctx, tx, key)
			if errors.Is(err, ErrUnknown) || errors.Is(err, ErrAmbiguous) {
				errs = append(errs, KeyError{key, err})
				continue
			}
			if err != nil {
				return err
			}
			if other, ok := seen[m.ID]; ok {
				errs = append(errs, KeyError{key, fmt.Errorf("%w: %s and %s are the same machine", ErrInvalid,
					job.Printable(other), job.Printable(key))})
				continue
			}
			seen[m.ID] = key
			d, err := f.declared(ctx, tx, m)
			if err != nil {
				return err
			}
			next, err := change(key, d)
			if err == nil {
				err = f.putSettings(ctx, tx, m, next)
			}
			if err != nil {
				errs = append(errs, KeyError{key, err})
			}
			all = append(all, m)
		}
		if len(errs) > 0 {
			return errs
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f.grown()
	return all, nil
}

// ClearSettings deletes the own settings of the machine that key names, if may, nil for
// always, says nothing against that.
func (f *Fleet) ClearSettings(ctx context.Context, key string, may func(Declared) error) (m Machine, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		if may != nil {
			d, err := f.declared(ctx, tx, m)
			if err == nil {
				err = may(d)
			}
			if err != nil {
				return err
			}
		}
		return f.putSettings(ctx, tx, m, setting.Document{})
	})
	if err == nil {
		f.grown()
	}
	return m, err
}

func (f *Fleet) putSettings(ctx context.Context, tx *sql.Tx, m Machine, d setting.Document) error {
	now, what := f.o.Now(), "an operator deleted the settings of this machine"
	if d.Empty() {
		done, err := tx.ExecContext(ctx, "DELETE FROM settings WHERE machine = ?", m.ID)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
	} else {
		b, err := json.Marshal(d)
		if err != nil {
			return err
		}
		if len(b) > setting.MaxDocument {
			return fmt.Errorf("%w settings of %s: they have %d bytes, the limit is %d", ErrInvalid, m.Name, len(b),
				setting.MaxDocument)
		}
		sealed, err := f.o.Sealer.Seal(b)
		if err != nil {
			return fmt.Errorf("sealing the settings of %s: %w", m.Name, err)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO settings (machine, sealed, changed) VALUES (?, ?, ?) ON "+
			"CONFLICT (machine) DO UPDATE SET sealed = excluded.sealed, changed = excluded.changed", m.ID, sealed,
			now.UnixNano()); err != nil {
			return err
		}
		what = "an operator changed the settings of this machine; it has its own " + strings.Join(d.Keys(), ", ")
	}
	return f.journal(ctx, tx, m.ID, "", job.Event{Time: now.UTC(), Level: job.Info, Message: job.Sentence(what)})
}

// mergeSettings gives the settings of from to m, unless m has its own.
func (f *Fleet) mergeSettings(ctx context.Context, tx *sql.Tx, m, from Machine) error {
	if _, err := tx.ExecContext(ctx, "UPDATE OR IGNORE settings SET machine = ? WHERE machine = ?", m.ID,
		from.ID); err != nil {
		return err
	}
	done, err := tx.ExecContext(ctx, "DELETE FROM settings WHERE machine = ?", from.ID)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Warning, Message: job.Sentence(
		fmt.Sprintf("the settings of %s, which is now this machine, are deleted: this machine keeps its own",
			from.Name))})
}

// checkSealed opens one of the documents, so that a server without the right key does not start.
func (f *Fleet) checkSealed(ctx context.Context) error {
	for what, query := range map[string]string{"machines": "SELECT count(*), sealed FROM settings",
		"groups": "SELECT count(*), sealed FROM groups WHERE sealed IS NOT NULL"} {
		var n int
		var sealed []byte
		if err := f.db.QueryRowContext(ctx, query).Scan(&n, &sealed); err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if _, err := f.unseal(sealed); err != nil {
			return fmt.Errorf("it has the settings of %d %s: %w", n, what, err)
		}
	}
	return nil
}

// DiscardSettings deletes the settings of all machines and groups in file, and all recovery keys, for an operator who
// lost the key that they are sealed with. It returns how many machines had settings, and how many recovery keys there
// were. No
// server may have the file open.
func DiscardSettings(ctx context.Context, file string) (machines, keys int, err error) {
	f, err := openFile(ctx, file, Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return machines, keys, f.change(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE groups SET sealed = NULL"); err != nil {
			return err
		}
		for table, n := range map[string]*int{"settings": &machines, "recovery": &keys} {
			done, err := tx.ExecContext(ctx, "DELETE FROM "+table)
			if err != nil {
				return err
			}
			gone, err := done.RowsAffected()
			if err != nil {
				return err
			}
			*n = int(gone)
		}
		return nil
	})
}
