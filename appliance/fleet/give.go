package fleet

import (
	"context"
	"database/sql"
	"fmt"

	"griddle/appliance/job"
)

// Asking is a boot that asks for the settings of its machine.
type Asking struct {
	Declared
	Own Job    // the install that the boot may carry out
	MAC string // that the boot came by
}

// Asking returns the boot of p. It returns ErrToken if p proves none, and ErrOver if it has no install to carry out.
func (f *Fleet) Asking(ctx context.Context, p Proof) (a Asking, err error) {
	err = f.change(ctx, func(tx *sql.Tx) error {
		s, _, err := f.session(ctx, tx, p)
		if err != nil {
			return err
		}
		m, err := byID(ctx, tx, s.Machine)
		if err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		own := f.ownJob(jobs, s)
		if own == nil || own.Spec.Kind != job.Install {
			return fmt.Errorf("%w: %s has no live install", ErrOver, m.Name)
		}
		a.Own = *own
		if err := tx.QueryRowContext(ctx, "SELECT mac FROM boots WHERE boot = ?", s.Boot).Scan(&a.MAC); err != nil {
			return err
		}
		a.Declared, err = f.declared(ctx, tx, m)
		return err
	})
	return a, err
}

// Give decides whether the boot of p gets the settings of its machine for the job with this ID, and writes that into
// the journal: Ready, or Waiting with the code that an operator has to compare. Settings with secrets are for boots
// whose key an operator approved. It returns ErrUnapproved for one that has no key.
func (f *Fleet) Give(ctx context.Context, p Proof, id string, secret bool) (out job.Settings, err error) {
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

// TooOld notes in the journal that the boot of p gets no job, because its agent asks for no settings; once for a job.
func (f *Fleet) TooOld(ctx context.Context, p Proof, id string) error {
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
		return f.journal(ctx, tx, s.Machine, "", job.Event{Time: f.o.Now().UTC(), Job: id, Level: job.Warning,
			Message: "the boot image is too old for the settings of this machine, and gets no job; make a new one " +
				"with `make boot`, and copy it to the server's boot_dir"})
	})
	if err == nil {
		f.grown()
	}
	return err
}
