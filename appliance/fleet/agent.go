package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"

	"griddle/appliance/job"
)

// Greeting is what a machine is told after its hello.
type Greeting struct {
	Machine Machine
	Token   string // authorises this boot
	Job     *Job   // nil: nothing is to be done without asking
	Home    string // with Job: the one-time token of what will be installed
}

// Hello takes in what an agent says of its machine. The same boot may say it again; its former token is then void.
func (f *Fleet) Hello(ctx context.Context, h job.Hello) (Greeting, error) {
	h = h.Bounded()
	if job.NormalUUID(h.Boot) == "" {
		return Greeting{}, fmt.Errorf("%w: the boot id is not a UUID", ErrInvalid)
	}
	if h.Identity.UUID == "" && len(h.Identity.MACs) == 0 {
		return Greeting{}, fmt.Errorf("%w: the machine has neither a UUID nor a MAC address", ErrInvalid)
	}
	g := Greeting{Token: rand.Text() + rand.Text()}
	err := f.change(ctx, func(tx *sql.Tx) error {
		m, err := f.recognise(ctx, tx, h.Identity)
		if errors.Is(err, ErrUnknown) {
			m, err = f.introduce(ctx, tx, h.Identity)
		}
		if err != nil {
			return err
		}
		now := f.o.Now().UTC()
		m.learn(h.Identity)
		m.Inventory, m.LastSeen = h.Inventory, now
		if err := f.save(ctx, tx, m, true); err != nil {
			return err
		}
		var owner string
		err = tx.QueryRowContext(ctx, "SELECT machine FROM boots WHERE boot = ?", h.Boot).Scan(&owner)
		if err == nil && owner != m.ID {
			return fmt.Errorf("%w: the boot id is another machine's", ErrInvalid)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO boots (boot, machine, token, seq, created) VALUES (?, ?, ?, 0, ?)
			ON CONFLICT (boot) DO UPDATE SET token = excluded.token`, h.Boot, m.ID, hash(g.Token), now.UnixNano()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM boots WHERE machine = ?1 AND boot NOT IN
			(SELECT boot FROM boots WHERE machine = ?1 ORDER BY created DESC, rowid DESC LIMIT ?2)`, m.ID, maxBoots); err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		g.Machine = m
		if g.Job = live(jobs); g.Job != nil {
			g.Home, err = f.newHome(ctx, tx, g.Job.Spec.ID)
		}
		return err
	})
	if err != nil {
		return Greeting{}, fmt.Errorf("greeting a machine: %w", err)
	}
	return g, nil
}

// newHome makes a one-time token for a job. Each hello of the job gets its own, because only their hashes are kept; the
// first that is used voids them all.
func (f *Fleet) newHome(ctx context.Context, tx *sql.Tx, id string) (string, error) {
	token := rand.Text() + rand.Text()
	if _, err := tx.ExecContext(ctx, "INSERT INTO homes (token, job, created) VALUES (?, ?, ?)", hash(token), id, f.o.Now().UnixNano()); err != nil {
		return "", err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM homes WHERE job = ?1 AND token NOT IN
		(SELECT token FROM homes WHERE job = ?1 ORDER BY created DESC, rowid DESC LIMIT ?2)`, id, maxHomes)
	return token, err
}

// Session is one boot that a token belongs to.
type Session struct {
	Boot    string
	Machine string // Machine.ID
}

// Session returns whose token it is, or ErrToken.
func (f *Fleet) Session(ctx context.Context, token string) (s Session, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		s, _, err = session(ctx, tx, token)
		return err
	})
	return s, err
}

func session(ctx context.Context, tx *sql.Tx, token string) (s Session, seq uint64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT boot, machine, seq FROM boots WHERE token = ?", hash(token)).Scan(&s.Boot, &s.Machine, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, 0, ErrToken
	}
	return s, seq, err
}

// Choose makes a job of what a person chose at the screen of the token's boot. The same choice made twice by one boot
// is one job. It returns the job and the one-time token of what will be installed.
func (f *Fleet) Choose(ctx context.Context, token string, o Order) (j Job, home string, err error) {
	if err := o.validate(); err != nil {
		return j, "", err
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		s, _, err := session(ctx, tx, token)
		if err != nil {
			return err
		}
		m, err := byKey(ctx, tx, s.Machine)
		if err != nil {
			return err
		}
		j, err = f.order(ctx, tx, &m, o, Screen, s.Boot)
		if errors.Is(err, ErrBusy) && j.Boot == s.Boot && j.Spec.Image.Ref == o.Image.Ref && j.Spec.Disk == o.Disk && j.Spec.Erase == o.Erase {
			err = nil
		}
		if err != nil {
			return err
		}
		home, err = f.newHome(ctx, tx, j.Spec.ID)
		return err
	})
	if err != nil {
		return Job{}, "", err
	}
	f.grown()
	return j, home, nil
}

// Home takes the report of an installed system that is up, once per job: its token, and every other one of that job, is
// void afterwards. The machine is deployed from then on.
func (f *Fleet) Home(ctx context.Context, token string, r job.HomeReport) (m Machine, err error) {
	r = job.HomeReport{Hostname: job.Printable(r.Hostname), MachineID: job.Printable(r.MachineID), Kernel: job.Printable(r.Kernel), Root: job.Sentence(r.Root)}
	err = f.change(ctx, func(tx *sql.Tx) error {
		jobs, err := queryJobs(ctx, tx, "SELECT data FROM jobs WHERE id = (SELECT job FROM homes WHERE token = ?)", hash(token))
		if err != nil {
			return err
		}
		if len(jobs) == 0 {
			return ErrToken
		}
		j, now := jobs[0], f.o.Now().UTC()
		if _, err := tx.ExecContext(ctx, "DELETE FROM homes WHERE job = ?", j.Spec.ID); err != nil {
			return err
		}
		// The agent's last event may not have got through before its reboot; a system that is up proves it.
		if j.State == job.Started {
			j.State, j.Changed, j.Message = job.Done, now, ""
			if err := saveJob(ctx, tx, j); err != nil {
				return err
			}
		}
		if m, err = byKey(ctx, tx, j.Machine); err != nil {
			return err
		}
		m.Deployed = &Deployment{Job: j.Spec.ID, Image: j.Spec.Image.Ref, Time: now, Report: r}
		m.LastSeen = now
		if err := f.save(ctx, tx, m, true); err != nil {
			return err
		}
		return f.note(ctx, tx, j, job.Info, fmt.Sprintf("%s is up as %s, kernel %s: deployed", j.Spec.Image.Ref, r.Hostname, r.Kernel))
	})
	if err != nil {
		return Machine{}, fmt.Errorf("hearing from an installed system: %w", err)
	}
	f.grown()
	return m, nil
}

// hash is how tokens are stored: they are random, so that a plain hash is enough.
func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
