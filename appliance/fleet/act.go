package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/appliance/job"
)

// actionOrigin is the column origin of an operator's action: it may be live beside an operator's update that waits for
// a restart, and no boot has anything to do with it.
const actionOrigin = "action"

// origin is the column origin of the job.
func (j Job) origin() string {
	if j.isAction() {
		return actionOrigin
	}
	return string(j.Origin)
}

// takeTime is how long a service may need to report an action that it got at the last moment.
const takeTime = time.Minute

// acting is the live action of a machine, nil for none.
func acting(jobs []Job) *Job { return live(jobs, Job.isAction) }

func (j Job) isAction() bool { return j.Spec.Kind.IsAction() }

// validateAction checks an order of an action: it has nothing of other kinds of jobs.
func (o Order) validateAction() error {
	if o.Image.Ref != "" || o.Kernel.Ref != "" || o.Reset != "" || len(o.Args) > 0 || o.Hostname != "" ||
		o.When != "" || o.AllowOlder || o.Level != "" {
		return fmt.Errorf("%w: a %s installs nothing, but the order has an image or something of a system", ErrInvalid,
			o.Kind)
	}
	if o.Within < 0 || o.Within > job.ActionWaitMost {
		return fmt.Errorf("%w: a %s waits for its machine for %s at most", ErrInvalid, o.Kind, job.ActionWaitMost)
	}
	if o.Kind == job.Run {
		if err := job.CheckLine(o.Argv, o.Limit); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	} else if len(o.Argv) > 0 || o.Limit != 0 {
		return fmt.Errorf("%w: a %s runs no program, but the order names one", ErrInvalid, o.Kind)
	}
	if o.Root != "" && (o.Kind != job.Rollback || job.Sentence(o.Root) != o.Root || len(o.Root) > 128) {
		return fmt.Errorf("%w: %q is not the name of a root to go back to", ErrInvalid, job.Printable(o.Root))
	}
	return nil
}

// act is Install for an action, in tx.
func (f *Fleet) act(ctx context.Context, tx *sql.Tx, key string, o Order) (m Machine, j Job, err error) {
	if _, err := byKey(ctx, tx, key); err != nil {
		return m, j, err
	}
	if m, err = f.named(ctx, tx, key); err != nil {
		return m, j, err
	}
	err = m.Can(o.Kind)
	if err == nil && o.Kind == job.Rollback {
		err = m.goesBack(o.Root)
	}
	if err != nil {
		return m, j, err
	}
	jobs, err := jobsOf(ctx, tx, m.ID)
	if err != nil {
		return m, j, err
	}
	if err := f.lapse(ctx, tx, jobs); err != nil {
		return m, j, err
	}
	if l := acting(jobs); l != nil && !o.Replace && o.repeats(*l) {
		return m, *l, nil
	}
	if err := f.makeWay(ctx, tx, m, jobs, o); err != nil {
		return m, j, err
	}
	j, err = f.order(ctx, tx, &m, o, Operator, "")
	return m, j, err
}

// Can says why no service on m can carry out an action of this kind, nil if one can.
func (m Machine) Can(kind job.Kind) error {
	switch {
	case m.Service == nil:
		return fmt.Errorf("%w: no service on %s has checked in, and only that can carry out a %s; a system that has "+
			"just started checks in soon", ErrInvalid, m.Name, kind)
	case slices.Contains(m.Service.Features, job.ActionFeature(kind)):
		return nil
	case kind == job.Run && slices.Contains(m.Service.Features, job.FeatureRollback):
		return fmt.Errorf("%w: %s runs no programs of the server: the file /etc/griddle/no-run there forbids it",
			ErrInvalid, m.Name)
	case !m.Service.updates():
		return fmt.Errorf("%w: the system on %s has no unit that carries out a %s: run `griddle-agent update "+
			"--set-up` there as root, or update it from the network", ErrInvalid, m.Name, kind)
	}
	return fmt.Errorf("%w: the service on %s has not said that it can carry out a %s: it is too old, or has not "+
		"checked in since this server was upgraded; it takes its next version from the boot image in the server's "+
		"boot_dir (`make boot`)", ErrInvalid, m.Name, kind)
}

// goesBack says why m cannot go back to a root, "" for the one before, as far as its service told which ones it has.
func (m Machine) goesBack(to string) error {
	var have []string
	good := false
	for _, r := range m.Service.Roots {
		if r.Name == to && to != "" {
			return nil
		}
		good = good || r.Good && !r.Runs || r.Runs && !r.Next
		have = append(have, r.Name)
	}
	switch {
	case len(have) == 0 || to == "" && good:
		return nil
	case to == "":
		return fmt.Errorf("%w: %s has no other root that was found good: it has %s", ErrInvalid, m.Name,
			strings.Join(have, ", "))
	}
	return fmt.Errorf("%w: %s has no root %s: it has %s", ErrInvalid, m.Name, job.Printable(to),
		strings.Join(have, ", "))
}

// repeats says whether the order is for the very action that the job is, and that waits for its machine. A program that
// is ordered twice is to run twice.
func (o Order) repeats(j Job) bool {
	return o.Kind != job.Run && j.State == job.Pending && j.Spec.Kind == o.Kind && j.Spec.Root == o.Root
}

// makeWay ends the live jobs of m for an action, or says which one is in the way. An update that waits for a restart
// stays: the restart is what it waits for.
func (f *Fleet) makeWay(ctx context.Context, tx *sql.Tx, m Machine, jobs []Job, o Order) error {
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j Job) bool {
		return j.Spec.Kind == job.Update && !j.due() && o.Kind == job.Reboot
	})
	own := live(jobs, func(j Job) bool { return j.Origin == Resident })
	if own != nil && !o.Replace {
		return fmt.Errorf("%w: the update to %s that %s asked for is %s", ErrBusy, own.Spec.Image.Ref, m.Name,
			own.State)
	}
	return f.endLiveJobs(ctx, tx, m, jobs, o.Replace)
}

// lapse ends the actions among jobs, which are a machine's, that it did not begin in time.
func (f *Fleet) lapse(ctx context.Context, tx *sql.Tx, jobs []Job) error {
	now := f.o.Now().UTC()
	for i, j := range jobs {
		if !j.isAction() || j.State != job.Pending || !now.After(j.Spec.Until.Add(takeTime)) {
			continue
		}
		j = j.fail(fmt.Sprintf("the machine did not begin it until %s UTC, and it was taken back",
			j.Spec.Until.UTC().Format(time.DateTime)))
		jobs[i], j.Changed = j, now
		if err := f.end(ctx, tx, j); err != nil {
			return err
		}
	}
	return nil
}

// gives is the action that the service of a machine gets with a check-in, nil for none. What the service has reported
// it has.
func (f *Fleet) gives(jobs []Job, in job.CheckIn) *Job {
	l := acting(jobs)
	if l == nil || l.State != job.Pending || f.o.Now().After(l.Spec.Until) ||
		!slices.Contains(in.Features, job.ActionFeature(l.Spec.Kind)) {
		return nil
	}
	return l
}

// actionCourse is View.course of an action: how one ended says nothing of the machine.
func (j Job) actionCourse() string {
	switch {
	case j.State == job.Pending:
		return string(j.Spec.Kind) + " pending"
	case j.State == job.Started && j.Spec.Kind == job.Rollback:
		return "going back"
	case j.State == job.Started && j.Spec.Kind == job.Run:
		return "running a program"
	case j.State == job.Started:
		return "restarting"
	}
	return ""
}
