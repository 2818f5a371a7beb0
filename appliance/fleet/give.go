package fleet

import (
	"context"
	"database/sql"
	"fmt"

	"griddle/appliance/job"
)

// Asking is a boot or an installed system that asks for the settings of its machine.
type Asking struct {
	Declared
	Own Job    // the install or update that it may carry out
	MAC string // that the boot came by, or the first of the machine
}

// Asking returns who p proves. It returns ErrToken or ErrKey if p proves no one, and ErrOver if that has no install or
// update to carry out.
func (f *Fleet) Asking(ctx context.Context, p Proof) (a Asking, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		w, err := f.worker(ctx, tx, p)
		if err != nil {
			return err
		}
		if w.Own == nil || w.Own.Spec.Kind == job.Relay ||
			w.Own.Spec.Kind == job.Erase {
			return fmt.Errorf("%w: %s has no live install or update", ErrOver, w.Machine.Name)
		}
		a.Own = *w.Own
		if w.Boot == "" {
			if macs := w.Machine.Identity.MACs; len(macs) > 0 {
				a.MAC = macs[0]
			}
		} else if err := tx.QueryRowContext(ctx, "SELECT mac FROM boots WHERE boot = ?",
			w.Boot).Scan(&a.MAC); err != nil {
			return err
		}
		a.Declared, err = f.declared(ctx, tx, w.Machine)
		return err
	})
	return a, err
}

// Give decides whether the boot of p gets the settings of its machine for the job with this ID, and writes that into
// the journal: Ready, or Waiting with the code that an operator has to compare. Settings with secrets are for boots
// whose key an operator approved. It returns ErrUnapproved for one that has no key. An installed system has no screen
// with a code: without an approved key it gets ErrWeakKey.
func (f *Fleet) Give(ctx context.Context, p Proof, id string, secret bool) (out job.Settings, err error) {
	if p.Token == "" && p.Key != "" {
		return f.giveService(ctx, p.Key, id, secret)
	}
	err = f.change(ctx, func(tx *sql.Tx) error {
		s, _, err := f.session(ctx, tx, p)
		if err != nil {
			return err
		}
		var from, given string
		if err := tx.QueryRowContext(ctx, "SELECT source, given FROM boots WHERE boot = ?", s.Boot).Scan(&from,
			&given); err != nil {
			return err
		}
		var own bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ? AND machine = ?)", id,
			s.Machine).Scan(&own); err != nil {
			return err
		}
		if !own { // an operator merged or deleted machines since it asked
			return fmt.Errorf("%w: it is not a job of %s", ErrOver, s.Name)
		}
		if secret && !s.Approved {
			m, err := byID(ctx, tx, s.Machine)
			if err != nil {
				return err
			}
			out.State = job.Waiting
			if out.Code, err = f.await(ctx, tx, m, s.Boot, from); err == nil && out.Code == "" {
				err = fmt.Errorf("%w, and it cannot: its agent proves no key; make a new boot image with `make boot`",
					ErrUnapproved)
			}
			return err
		}
		out.State = job.Ready
		if given == id {
			return nil
		}
		if _, err := tx.ExecContext(ctx, "UPDATE boots SET given = ? WHERE boot = ?", id, s.Boot); err != nil {
			return err
		}
		what := "no secrets"
		if secret {
			what = fmt.Sprintf("with secrets, key %.16s", p.Key)
		}
		return f.journal(ctx, tx, s.Machine, "", job.Event{Time: f.o.Now().UTC(), Job: id, Level: job.Info,
			Message: job.Sentence(fmt.Sprintf("the boot at %s gets the settings of this machine (%s)", place(from),
				what))})
	})
	if err != nil {
		return job.Settings{}, err
	}
	f.grown()
	return out, nil
}

// giveService is Give for an installed system that carries out an update.
func (f *Fleet) giveService(ctx context.Context, key, id string, secret bool) (job.Settings, error) {
	err := f.change(ctx, func(tx *sql.Tx) error {
		w, err := f.worker(ctx, tx, Proof{Key: key})
		if err != nil {
			return err
		}
		if w.Own == nil || w.Own.Spec.ID != id { // an operator merged or deleted machines since it asked
			return fmt.Errorf("%w: it is not a job of %s", ErrOver, w.Machine.Name)
		}
		if secret && !w.Approved {
			return fmt.Errorf("%w, and its settings have secrets; start it from the network with this job, and run "+
				"`griddle machine approve %s CODE` with the code on its screen", ErrWeakKey, w.Machine.Name)
		}
		if w.Own.Given {
			return nil
		}
		w.Own.Given = true
		if err := saveJob(ctx, tx, *w.Own); err != nil {
			return err
		}
		what := "no secrets"
		if secret {
			what = fmt.Sprintf("with secrets, key %.16s", key)
		}
		return f.note(ctx, tx, *w.Own, job.Info, fmt.Sprintf("the service on the machine gets its settings (%s)", what))
	})
	if err != nil {
		return job.Settings{}, err
	}
	f.grown()
	return job.Settings{State: job.Ready}, nil
}

// TooOld notes in the journal that the boot of p gets no job, because its agent cannot do what the job needs; once for
// a job. An update then waits for the service of the machine, which boots its disk.
func (f *Fleet) TooOld(ctx context.Context, p Proof, id, needs string) error {
	note := "not " + id
	err := f.change(ctx, func(tx *sql.Tx) error {
		s, _, err := f.session(ctx, tx, p)
		if err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, "UPDATE boots SET given = ?1 WHERE boot = ?2 AND given <> ?1", note, s.Boot)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE jobs SET data = json_set(data, '$.tooOld', json('true')) WHERE "+
			"id = ? AND machine = ? AND data ->> '$.spec.kind' = ?", id, s.Machine, string(job.Update)); err != nil {
			return err
		}
		return f.journal(ctx, tx, s.Machine, "", job.Event{Time: f.o.Now().UTC(), Job: id, Level: job.Warning,
			Message: job.Sentence(fmt.Sprintf("the boot image is too old for %s, and gets no job; make a new one with "+
				"`make boot`, and copy it to the server's boot_dir", needs))})
	})
	if err == nil {
		f.grown()
	}
	return err
}
