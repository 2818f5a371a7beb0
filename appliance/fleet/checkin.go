package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"griddle/appliance/job"
)

// Errors of check-ins.
var (
	ErrKey = errors.New("no machine has the key that this system proved: the machine was deleted, or another install " +
		"of it has another key; start it from the network and install it again")
	ErrOften = errors.New("this machine checks in too often")
)

// checkInPause is the least time between two check-ins of one machine: each is a flush to the disk.
const checkInPause = 5 * time.Second

// Service is the last check-in of the service on an installed machine. Root on the machine decides what it says.
type Service struct {
	Time    time.Time `json:"time"`
	From    string    `json:"from"` // quota.Key of its address
	Agent   string    `json:"agent"`
	Root    string    `json:"root"`
	Sealed  bool      `json:"sealed,omitempty"` // a TPM seals its key
	Notice  int64     `json:"notice,omitempty"` // number of the newest notice that it has
	Trouble string    `json:"trouble,omitempty"`
}

// KeyOwner returns the one machine for which a service with this key (job.KeyOf) may speak, or ErrKey. A key that an
// operator approved for a machine counts more than one that only installed a machine; then the newer one counts.
func (f *Fleet) KeyOwner(ctx context.Context, key string) (m Machine, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err = keyOwner(ctx, tx, key)
		return err
	})
	return m, err
}

func keyOwner(ctx context.Context, tx *sql.Tx, key string) (Machine, error) {
	if key == "" {
		return Machine{}, fmt.Errorf("%w (it proved none)", ErrKey)
	}
	m, err := oneMachine(ctx, tx, `WHERE id = (SELECT machine FROM
		(SELECT machine, 1 AS standing, approved AS since FROM keys WHERE key = ?1 UNION ALL SELECT machine, 0, time FROM installs WHERE key = ?1)
		ORDER BY standing DESC, since DESC, machine LIMIT 1)`, key)
	if errors.Is(err, ErrUnknown) {
		err = ErrKey
	}
	return m, err
}

// CheckIn records what the service of the machine that has the key says, and returns the machine. It changes no other
// machine, and of this one only Service and LastSeen. from is the quota.Key of its address. A check-in within five
// seconds of the last one is ErrOften and changes nothing.
func (f *Fleet) CheckIn(ctx context.Context, from, key string, in job.CheckIn) (m Machine, err error) {
	in = in.Bounded()
	err = f.change(ctx, func(tx *sql.Tx) error {
		if m, err = keyOwner(ctx, tx, key); err != nil {
			return err
		}
		now := f.o.Now().UTC()
		if last := m.Service; last != nil && now.Sub(last.Time) < checkInPause && !now.Before(last.Time) {
			return fmt.Errorf("%w: once in %s is allowed", ErrOften, checkInPause)
		}
		if last := m.Service; in.Trouble != "" && (last == nil || last.Trouble != in.Trouble) {
			if err := f.journal(ctx, tx, m.ID, "", job.Event{Time: now, Level: job.Warning,
				Message: job.Sentence("the service on the machine reports: " + in.Trouble)}); err != nil {
				return err
			}
		}
		m.Service = &Service{Time: now, From: from, Agent: in.Agent, Root: in.Root, Sealed: in.Sealed,
			Notice: in.Notice, Trouble: in.Trouble}
		m.LastSeen = now
		return save(ctx, tx, m)
	})
	if err != nil {
		return Machine{}, err
	}
	if in.Trouble != "" {
		f.grown()
	}
	return m, nil
}

// installedBy binds the key of the boot that carried out an install to the machine, for the check-ins of the system
// that it installed. Such a key is weaker than one that an operator approved: it gets nothing secret, and enrolment
// does not count it. The next install replaces it. An agent of an older version has no key.
func installedBy(ctx context.Context, tx *sql.Tx, j Job, boot string, now time.Time) error {
	if j.Spec.Kind != job.Install {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO installs (machine, key, job, time) SELECT ?1, key, ?2, ?3 FROM boots WHERE boot = ?4 AND key <> ''
		ON CONFLICT (machine) DO UPDATE SET key = excluded.key, job = excluded.job, time = excluded.time`,
		j.Machine, j.Spec.ID, now.UnixNano(), boot)
	return err
}
