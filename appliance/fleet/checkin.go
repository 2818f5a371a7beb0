package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"griddle/appliance/job"
)

// Errors of check-ins.
var (
	ErrKey = errors.New("no machine has the key that this system proved: the machine was deleted, or another install " +
		"of it has another key; start it from the network and install it again")
	ErrOften = errors.New("this machine checks in too often")
)

// checkInPause is the least time between two check-ins of one machine: each is a flush to the disk. A service that
// carries out an update checks in every five seconds.
const checkInPause = 4 * time.Second

// defaultCheckIn is the interval of check-ins where no other is configured.
const defaultCheckIn = 5 * time.Minute

// Service is the last check-in of the service on an installed machine. Root on the machine decides what it says.
type Service struct {
	Time    time.Time  `json:"time"`
	From    string     `json:"from"` // quota.Key of its address
	Agent   string     `json:"agent"`
	Root    string     `json:"root"`
	Sealed  bool       `json:"sealed,omitempty"` // a TPM seals its key
	Notice  int64      `json:"notice,omitempty"` // number of the newest notice that it has
	Trouble string     `json:"trouble,omitempty"`
	Boot    string     `json:"boot,omitempty"`  // random, of this start of the system
	Roots   []job.Root `json:"roots,omitempty"` // of its pool, the newest first
	Every   int        `json:"every,omitempty"` // seconds that it was asked to wait; 0 means 300
	// what it can do, see job.CheckIn; nil if an earlier server wrote this down
	Features []string `json:"features"`
}

// awayAfter is how many intervals a service may be silent before its machine is away.
const awayAfter = 3

// every is the interval of its check-ins.
func (s *Service) every() time.Duration {
	if s.Every > 0 {
		return time.Duration(s.Every) * time.Second
	}
	return defaultCheckIn
}

// updates says whether the service can carry out updates, as far as is known.
func (s *Service) updates() bool {
	return s == nil || s.Features == nil || slices.Contains(s.Features, job.FeatureUpdate)
}

// away says whether the service has been silent for too long.
func (s *Service) away(now time.Time) bool {
	return s != nil && now.Sub(s.Time) > awayAfter*s.every()
}

// callTime is how long the call of a check-in may take.
const callTime = 10 * time.Second

// next is when the service checks in again at the latest, unless its machine is off: services add up to a quarter to
// the interval. It is zero if there was no check-in yet.
func (s *Service) next() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.Time.Add(s.every()*5/4 + callTime)
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
		(SELECT machine, 1 AS standing, approved AS since FROM keys WHERE key = ?1 UNION ALL SELECT machine, 0, time FROM installs WHERE key = ?1
		UNION ALL SELECT machine, 0, time FROM begun WHERE key = ?1)
		ORDER BY standing DESC, since DESC, machine LIMIT 1)`, key)
	if errors.Is(err, ErrUnknown) {
		err = ErrKey
	}
	return m, err
}

// Answer is what the service of a machine learns from a check-in.
type Answer struct {
	Machine    Machine
	Job        *Job // an update that it carries out, or an action that waits; nil for none
	Cancelled  bool // the update that it reported on is over
	ActionOver bool // likewise the action
}

// CheckIn records what the service of the machine that has the key says, and returns the machine with its update or
// action. It
// changes no other machine and no job of another. from is the quota.Key of its address. A check-in within four seconds
// of the last one is ErrOften and changes nothing.
func (f *Fleet) CheckIn(ctx context.Context, from, key string, in job.CheckIn) (a Answer, err error) {
	in = in.Bounded()
	said := in.Trouble != "" || in.Job != nil || in.Action != nil || in.Fell != nil
	err = f.change(ctx, func(tx *sql.Tx) error {
		m, err := keyOwner(ctx, tx, key)
		if err != nil {
			return err
		}
		now := f.o.Now().UTC()
		last := m.Service
		if last != nil && now.Sub(last.Time) < checkInPause && !now.Before(last.Time) {
			return fmt.Errorf("%w: once in %s is allowed", ErrOften, checkInPause)
		}
		if err := f.noticed(ctx, tx, m, in); err != nil {
			return err
		}
		said = said || last.away(now) || last != nil && last.Root != in.Root
		m.Service = &Service{Time: now, From: from, Agent: in.Agent, Root: in.Root, Sealed: in.Sealed,
			Notice: in.Notice, Trouble: in.Trouble, Boot: in.Boot, Roots: in.Roots,
			Every: int(f.interval(in) / time.Second), Features: append([]string{}, in.Features...)}
		m.LastSeen = now
		if err := f.kexeced(ctx, tx, &m, in); err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		if err := keepRoot(ctx, tx, m, jobs); err != nil {
			return err
		}
		if a.Cancelled, err = f.report(ctx, tx, &m, jobs, in, in.Job); err != nil {
			return err
		}
		if a.ActionOver, err = f.report(ctx, tx, &m, jobs, in, in.Action); err != nil {
			return err
		}
		if err := f.lapse(ctx, tx, jobs); err != nil {
			return err
		}
		if in.Fell != nil {
			if err := f.fell(ctx, tx, &m, jobs, *in.Fell); err != nil {
				return err
			}
		}
		runs(&m, jobs, now)
		if l := updateOf(jobs); l != nil && l.due() && slices.Contains(in.Features, job.FeatureUpdate) {
			a.Job = l
			if a.Job.Spec.Kexec, err = f.mayKexec(ctx, tx, m, l.Spec.Kind); err != nil {
				return err
			}
		} else if l == nil || !l.due() {
			a.Job = f.gives(jobs, in)
		}
		a.Machine = m
		return save(ctx, tx, m)
	})
	if err != nil {
		return Answer{}, err
	}
	if said {
		f.grown()
	}
	return a, nil
}

// interval is how long the service that says in waits until its next check-in. One of an earlier version, which has no
// Boot, waits a minute at least.
func (f *Fleet) interval(in job.CheckIn) time.Duration {
	every := f.options().CheckIn
	if in.Boot == "" {
		return max(every, time.Minute)
	}
	return every
}

// noticed writes into the journal what is new in a check-in, beside jobs.
func (f *Fleet) noticed(ctx context.Context, tx *sql.Tx, m Machine, in job.CheckIn) error {
	now, last := f.o.Now().UTC(), m.Service
	say := func(l job.Level, format string, args ...any) error {
		return f.journal(ctx, tx, m.ID, "", job.Event{Time: now, Level: l, Message: job.Sentence(fmt.Sprintf(format,
			args...))})
	}
	var errs []error
	if last.away(now) {
		silent := now.Sub(last.Time).Round(time.Second)
		errs = append(errs, say(job.Info, "the machine checks in again, after %s", silent))
	}
	if last != nil && last.Root != in.Root {
		errs = append(errs, say(job.Info, "the machine runs the root %s; before, it ran %s", in.Root, last.Root))
	}
	if in.Trouble != "" && (last == nil || last.Trouble != in.Trouble) {
		errs = append(errs, say(job.Warning, "the service on the machine reports: %s", in.Trouble))
	}
	return errors.Join(errs...)
}

// installedBy binds the key of the boot that carried out an install to the machine, for the check-ins of the system
// that it installed. Such a key is weaker than one that an operator approved: it gets nothing secret, and enrolment
// does not count it. The next install replaces it. An agent of an older version has no key. What the system before
// asked for ends: it is not for this one.
func (f *Fleet) installedBy(ctx context.Context, tx *sql.Tx, j Job, boot string, now time.Time) error {
	if j.Spec.Kind != job.Install {
		return nil
	}
	jobs, err := jobsOf(ctx, tx, j.Machine)
	if err != nil {
		return err
	}
	for _, l := range jobs {
		if !l.Live() || l.Origin != Resident {
			continue
		}
		l = l.fail("the system that asked for it was replaced by an install")
		l.Changed = now.UTC()
		if err := f.end(ctx, tx, l); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM begun WHERE machine = ?", j.Machine); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO installs (machine, key, job, time) SELECT ?1, key, ?2, ?3 FROM boots WHERE boot = ?4 AND key <> ''
		ON CONFLICT (machine) DO UPDATE SET key = excluded.key, job = excluded.job, time = excluded.time`,
		j.Machine, j.Spec.ID, now.UnixNano(), boot)
	return err
}
