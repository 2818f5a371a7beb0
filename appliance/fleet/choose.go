package fleet

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"

	"griddle/appliance/job"
)

// Choose makes a job from the choice on the screen of the token's boot. The job belongs to that boot: no other boot
// gets it, and it does not change what the machine boots next. If one boot makes the same choice twice, it is one job.
// Choose returns the job and the one-time token for the system that will be installed.
func (f *Fleet) Choose(ctx context.Context, p Proof, o Order) (j Job, home string, err error) {
	if err := o.validate(); err != nil {
		return j, "", err
	}
	err = f.atScreen(ctx, p, &home, func(tx *sql.Tx, s Session, m *Machine, jobs []Job) (Job, error) {
		if l := chosenBy(jobs, s.Boot); l != nil {
			want := o.spec()
			if l.Spec.Image.Ref == o.Image.Ref && l.Spec.Disk == o.Disk && l.Spec.Erase == o.Erase &&
				bytes.Equal(l.Spec.Layout, want.Layout) && l.Spec.Plan == want.Plan {
				j = *l
				return j, nil
			}
			return j, fmt.Errorf("%w: the job of %s for %s is %s", ErrBusy, m.Name, l.what(), l.State)
		}
		if err := f.endSilent(ctx, tx, *m, jobs); err != nil {
			return j, err
		}
		if m.Rank == Sighting {
			if err := f.makeRoom(ctx, tx, Touched, m.source); err != nil {
				return j, err
			}
			m.Rank = Touched
		}
		j, err = f.order(ctx, tx, m, o, Screen, s.Boot)
		return j, err
	})
	if err != nil {
		return Job{}, "", err
	}
	f.grown()
	return j, home, nil
}

// Continue gives the job id to the token's boot: the same image for the disk that rule names. An earlier boot of the
// same machine chose this job on its screen and started to write. The job may now overwrite only what has its own mark,
// whatever the first choice allowed. The mark is id; only that disk and this file have it. With a layout it continues
// with the plan that the first choice agreed to.
func (f *Fleet) Continue(ctx context.Context, p Proof, id string, rule job.DiskRule) (j Job, home string, err error) {
	if rule, err = job.ParseDiskRule(string(rule)); err != nil {
		return j, "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	err = f.atScreen(ctx, p, &home, func(tx *sql.Tx, s Session, m *Machine, jobs []Job) (Job, error) {
		for _, old := range jobs {
			if old.Spec.ID == id && old.continues() {
				j = old
			}
		}
		if j.Spec.ID == "" {
			return j, fmt.Errorf("%w: no install with the mark %s was started on this machine's screen and is "+
				"unfinished; install the image again",
				ErrOver, job.Printable(id))
		}
		if err := f.carries(ctx, tx, j, s.Boot); err != nil {
			return j, err
		}
		if l := chosenBy(jobs, s.Boot); l != nil && l.Spec.ID != id {
			return j, fmt.Errorf("%w: the job of %s for %s is %s", ErrBusy, m.Name, l.what(), l.State)
		}
		now := f.o.Now().UTC()
		j.Boot, j.State, j.Begun, j.Changed, j.Message, j.Progress, j.Phase = s.Boot, job.Pending,
			true, now, "", nil, ""
		// The disk may have another name now; the mark identifies it. A layout names its disks itself.
		if j.Spec.Erase, j.Spec.Started = "", ""; j.Spec.Layout == nil {
			j.Spec.Disk = rule
		}
		if err := saveJob(ctx, tx, j); err != nil {
			return j, err
		}
		return j, f.note(ctx, tx, j, job.Info,
			fmt.Sprintf("job: continue to install %s on disk %s (requested on the screen)", j.Spec.Image.Ref, rule))
	})
	if err != nil {
		return Job{}, "", err
	}
	f.grown()
	return j, home, nil
}

// atScreen looks up whose screen the token is, lets do make a job for it, and makes the token of what will be
// installed. An operator's live job goes first.
func (f *Fleet) atScreen(ctx context.Context, p Proof, home *string,
	do func(*sql.Tx, Session, *Machine, []Job) (Job, error)) error {
	return f.change(ctx, func(tx *sql.Tx) error {
		s, _, err := f.session(ctx, tx, p)
		if err != nil {
			return err
		}
		m, err := byID(ctx, tx, s.Machine)
		if err != nil {
			return err
		}
		if !f.mayWork(s) {
			return fmt.Errorf("%w: run `griddle machine approve %s CODE` with the code on the machine's screen; a "+
				"machine whose screen shows no code needs a new boot image (`make boot`)", ErrUnapproved, m.Name)
		}
		if err := inUse(m); err != nil {
			return err
		}
		jobs, err := jobsOf(ctx, tx, m.ID)
		if err != nil {
			return err
		}
		if l := ordered(jobs); l != nil {
			return fmt.Errorf("%w: the operator's job of %s for %s is %s", ErrBusy, m.Name, l.what(), l.State)
		}
		j, err := do(tx, s, &m, jobs)
		if err != nil {
			return err
		}
		*home, err = f.newHome(ctx, tx, j, s.Boot)
		return err
	})
}

// endSilent ends the jobs that other boots of m chose and that have not been heard of for long, and fails where too
// many others are under way.
func (f *Fleet) endSilent(ctx context.Context, tx *sql.Tx, m Machine, jobs []Job) error {
	now, running := f.o.Now().UTC(), 0
	for _, l := range jobs {
		if !l.Live() || l.Origin != Screen {
			continue
		}
		heard, err := heardSince(ctx, tx, l.Boot, now.Add(-silence).UnixNano())
		if err != nil {
			return err
		}
		if heard {
			running++
		} else if err := f.end(ctx, tx, l.interrupt(now)); err != nil {
			return err
		}
	}
	if running >= maxChoosing {
		return fmt.Errorf("%w: %d installs were already chosen on screens that claim to be %s",
			ErrBusy, running, m.Name)
	}
	return nil
}
