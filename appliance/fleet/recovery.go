package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/layout"
	"griddle/appliance/recoverykey"
)

// RecoveryKey opens encrypted partitions of a machine.
type RecoveryKey struct {
	Key   string    `json:"key"` // see package recoverykey
	Made  time.Time `json:"made"`
	Given time.Time `json:"given"` // when a boot got it last for new partitions
	Job   string    `json:"job"`   // for which that was
	// Renew says that the next install that makes partitions for a recovery key gets another one.
	Renew bool `json:"renew,omitempty"`

	id int64
}

// Recover decides whether the boot of p gets the recovery keys of its machine for the job with this ID, as Give does
// for secrets. If the layout of the job has partitions that such a key opens, the newest one is for them: one is made
// if there is none, or if an operator wants another one. A key is durable before a boot gets it, and stays as long as
// its machine: a partition that a later install keeps is opened by the key that it has.
func (f *Fleet) Recover(ctx context.Context, p Proof, id string) (out job.Settings, err error) {
	if f.o.Sealer == nil {
		return out, fmt.Errorf("%w: no key was given", ErrSealed)
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		s, _, err := f.session(ctx, tx, p)
		if err != nil {
			return err
		}
		w, err := f.worker(ctx, tx, p)
		if err != nil {
			return err
		}
		if w.Own == nil || w.Own.Spec.ID != id || w.Own.Spec.Kind != job.Install && w.Own.Spec.Kind != job.Update {
			return fmt.Errorf("%w: it is not a live install or update of %s", ErrOver, s.Name)
		}
		if !s.Approved {
			out.State = job.Waiting
			out.Code, err = f.code(ctx, tx, w)
			return err
		}
		all, err := f.recoveryKeys(ctx, tx, w.Machine)
		if err != nil {
			return err
		}
		d, _ := layout.Decode(w.Own.Spec.Layout)
		makes := d.Recovers()
		if makes && (len(all) == 0 || all[0].Renew && all[0].Job != id) {
			one, err := f.makeRecoveryKey(ctx, tx, w, len(all))
			if err != nil {
				return err
			}
			all = append([]RecoveryKey{one}, all...)
		}
		out.State = job.Ready
		for _, one := range all[:min(len(all), job.MaxRecovery)] { // two machines that became one may have more
			out.Recovery = append(out.Recovery, one.Key)
		}
		return f.gaveRecovery(ctx, tx, w, p.Key, makes, all)
	})
	if err != nil {
		return job.Settings{}, err
	}
	f.grown()
	return out, nil
}

// code is what an operator has to compare before the boot of w gets secrets.
func (f *Fleet) code(ctx context.Context, tx *sql.Tx, w worker) (string, error) {
	var from string
	if err := tx.QueryRowContext(ctx, "SELECT source FROM boots WHERE boot = ?", w.Boot).Scan(&from); err != nil {
		return "", err
	}
	code, err := f.await(ctx, tx, w.Machine, w.Boot, from)
	if err == nil && code == "" {
		err = fmt.Errorf("%w, and it cannot: its agent proves no key; make a new boot image with `make boot`",
			ErrUnapproved)
	}
	return code, err
}

// gaveRecovery writes down that the boot of w gets the keys, and with makes that the first one is for new partitions.
func (f *Fleet) gaveRecovery(ctx context.Context, tx *sql.Tx, w worker, key string, makes bool,
	all []RecoveryKey) error {
	now := f.o.Now().UTC()
	if makes {
		if _, err := tx.ExecContext(ctx, "UPDATE recovery SET given = ?, job = ? WHERE id = ?", now.UnixNano(),
			w.Own.Spec.ID, all[0].id); err != nil {
			return err
		}
	}
	return f.journal(ctx, tx, w.Machine.ID, "", job.Event{Time: now, Job: w.Own.Spec.ID, Level: job.Info,
		Message: job.Sentence(fmt.Sprintf("the boot with the key %.16s gets the recovery keys of this machine (%d)",
			key, len(all)))})
}

// recoveryKeys are those of a machine, the newest first.
func (f *Fleet) recoveryKeys(ctx context.Context, tx *sql.Tx, m Machine) ([]RecoveryKey, error) {
	rows, err := tx.QueryContext(ctx, "SELECT id, sealed, made, given, job, renew FROM recovery WHERE machine = ? "+
		"ORDER BY made DESC, id DESC", m.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []RecoveryKey
	for rows.Next() {
		var one RecoveryKey
		var sealed []byte
		var made, given int64
		if err := rows.Scan(&one.id, &sealed, &made, &given, &one.Job, &one.Renew); err != nil {
			return nil, err
		}
		b, err := f.unseal(sealed)
		if err == nil {
			one.Key, err = recoverykey.Parse(string(b))
		}
		if err != nil {
			return nil, fmt.Errorf("opening the recovery keys of %s: %w", m.Name, err)
		}
		one.Made, one.Given = time.Unix(0, made).UTC(), time.Unix(0, given).UTC()
		out = append(out, one)
	}
	return out, rows.Err()
}

// makeRecoveryKey makes another key for a machine that has some already, for its job.
func (f *Fleet) makeRecoveryKey(ctx context.Context, tx *sql.Tx, w worker, has int) (one RecoveryKey, err error) {
	if has >= job.MaxRecovery {
		return one, fmt.Errorf("%w: %s has %d recovery keys, and another one is wanted; write them down, delete the "+
			"machine with `griddle machine delete %s --recovery-keys`, and order its install again", ErrInvalid,
			w.Machine.Name, has, w.Machine.Name)
	}
	one = RecoveryKey{Key: recoverykey.New(), Made: f.o.Now().UTC()}
	sealed, err := f.o.Sealer.Seal([]byte(one.Key))
	if err != nil {
		return one, fmt.Errorf("sealing a recovery key of %s: %w", w.Machine.Name, err)
	}
	done, err := tx.ExecContext(ctx, "INSERT INTO recovery (machine, sealed, made, given, job) VALUES (?, ?, ?, ?, ?)",
		w.Machine.ID, sealed, one.Made.UnixNano(), one.Made.UnixNano(), w.Own.Spec.ID)
	if err != nil {
		return one, err
	}
	one.id, err = done.LastInsertId()
	return one, err
}

// ReadRecovery returns the recovery keys of the machine that key names, the newest first, for an operator at an
// address, and writes that into the journal. With renew, the next install that makes partitions for such a key gets
// another one.
func (f *Fleet) ReadRecovery(ctx context.Context, key, from string, renew bool) (m Machine, all []RecoveryKey,
	err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = byKey(ctx, tx, key); err != nil {
			return err
		}
		if all, err = f.recoveryKeys(ctx, tx, m); err != nil || len(all) == 0 {
			return err
		}
		note := func(what string) error {
			return f.journal(ctx, tx, m.ID, "", job.Event{Time: f.o.Now().UTC(), Level: job.Info,
				Message: job.Sentence(what)})
		}
		if renew {
			all[0].Renew = true
			if _, err := tx.ExecContext(ctx, "UPDATE recovery SET renew = 1 WHERE id = ?", all[0].id); err != nil {
				return err
			}
			if err := note("an operator wants a new recovery key with the next install of this machine"); err != nil {
				return err
			}
		}
		return note(fmt.Sprintf("an operator at %s read the recovery keys of this machine (%d)", place(from),
			len(all)))
	})
	if err == nil {
		f.grown()
	}
	return m, all, err
}

// RecoveryKeys is how many recovery keys the machine with an ID has.
func (f *Fleet) RecoveryKeys(ctx context.Context, id string) (n int, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		n, err = countRecovery(ctx, tx, id)
		return err
	})
	return n, err
}

func countRecovery(ctx context.Context, tx *sql.Tx, machine string) (n int, err error) {
	return n, tx.QueryRowContext(ctx, "SELECT count(*) FROM recovery WHERE machine = ?", machine).Scan(&n)
}

// ErrRecovery is returned where recovery keys would be lost.
var ErrRecovery = errors.New("it has recovery keys")

// loses refuses to delete a machine with recovery keys that no one else has.
func loses(ctx context.Context, tx *sql.Tx, m Machine) error {
	n, err := countRecovery(ctx, tx, m.ID)
	if err == nil && n > 0 {
		err = fmt.Errorf("%w: the %d recovery keys of %s, which open its encrypted disks, are kept here alone",
			ErrRecovery, n, m.Name)
	}
	return err
}

// checkRecovery opens one of the keys, so that a server that could open none of them does not start.
func (f *Fleet) checkRecovery(ctx context.Context) error {
	var n int
	var sealed []byte
	err := f.db.QueryRowContext(ctx, "SELECT count(*), sealed FROM recovery").Scan(&n, &sealed)
	if err != nil || n == 0 {
		return err
	}
	if _, err := f.unseal(sealed); err != nil {
		return fmt.Errorf("it has %d recovery keys: %w", n, err)
	}
	return nil
}
