package fleet

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"griddle/appliance/job"
)

// report takes in what the service of m says about an update or an action, as r, and says whether that is over for the
// server. The key names the machine, so that only its own jobs are found. It changes jobs, which are those of m.
func (f *Fleet) report(ctx context.Context, tx *sql.Tx, m *Machine, jobs []Job, in job.CheckIn,
	r *job.JobReport) (over bool, err error) {
	if r == nil {
		return false, nil
	}
	now := f.o.Now().UTC()
	ended := r.State == job.Done || r.State == job.Failed
	var own *Job
	for i := range jobs {
		if j := jobs[i]; j.Spec.ID == r.ID && (j.isAction() && r == in.Action ||
			j.Spec.Kind == job.Update && r == in.Job) {
			own = &jobs[i]
		}
	}
	if own == nil {
		return !ended, f.journal(ctx, tx, m.ID, "", job.Event{Time: now, Level: job.Warning,
			Message: "the service on the machine reports on a job that is not its own"})
	}
	before := *own
	if before.State == job.Done || !before.Live() && r.State != job.Done {
		return !ended, nil
	}
	if *own, err = before.Report(*r, in.Root, now); err != nil {
		return !ended, f.note(ctx, tx, before, job.Warning, err.Error())
	}
	if own.Live() {
		own.Carrier = byService
	}
	if own.State == job.Done && !own.isAction() {
		m.deploy(*own, r.Kernel, now)
	}
	if err := saveJob(ctx, tx, *own); err != nil {
		return false, err
	}
	ev := job.Event{Time: now, Job: own.Spec.ID, Phase: own.Phase, Level: job.Info, Progress: r.Progress}
	if own.State != before.State {
		ev.State = own.State
	}
	if own.Message != before.Message || ev.State != "" || own.Phase != before.Phase {
		ev.Message = own.Message
	}
	if own.State == job.Failed {
		ev.Level = job.Error
	}
	if ev.State == "" && ev.Message == "" && ev.Progress == nil && own.Phase == before.Phase {
		return false, nil
	}
	return false, f.journal(ctx, tx, m.ID, cmp.Or(in.Boot, byService), ev)
}

// deploy makes the image of an update the one that m has. Names, addresses and host keys are those of its install.
func (m *Machine) deploy(j Job, kernel string, now time.Time) {
	d := Deployment{Job: j.Spec.ID, Image: j.Spec.Image.Ref, Time: now}
	if m.Deployed != nil {
		d.Report = m.Deployed.Report
	}
	d.Report.Kernel, d.Report.Root = cmp.Or(kernel, d.Report.Kernel), j.Root
	m.Deployed = &d
}

// fell takes in that a root of m did not prove itself. The update that made it has failed. A service repeats it until
// it is answered, so that it is noted once.
func (f *Fleet) fell(ctx context.Context, tx *sql.Tx, m *Machine, jobs []Job, fell job.Fell) error {
	now := f.o.Now().UTC()
	if encode(m.Fell) == encode(fell) {
		return nil
	}
	m.Fell = &fell
	what := fmt.Sprintf("the root %s did not prove itself, and the machine runs another one: %s", fell.Root,
		cmp.Or(fell.Reason, "no reason was reported"))
	for i, j := range jobs {
		if j.Spec.Kind != job.Update || !j.Live() || j.Spec.ID != fell.Job && (fell.Job != "" || j.due()) {
			continue
		}
		j = j.fail(cmp.Or(fell.Reason, "the new root did not prove itself"))
		j.Changed, j.Phase = now, job.PhaseSwitch // what was said of the switch may be lost
		jobs[i] = j
		if err := saveJob(ctx, tx, j); err != nil {
			return err
		}
		if err := f.note(ctx, tx, j, job.Error, what); err != nil {
			return err
		}
		what = ""
	}
	if what != "" {
		if err := f.journal(ctx, tx, m.ID, "", job.Event{Time: now, Level: job.Error,
			Message: job.Sentence(what)}); err != nil {
			return err
		}
	}
	for _, line := range fell.Lines {
		if err := f.journal(ctx, tx, m.ID, "", job.Event{Time: now, Level: job.Info,
			Message: job.Sentence("| " + line)}); err != nil {
			return err
		}
	}
	return nil
}

// runs follows a person who went back to another root: if the one that runs was made by another job of m that was done,
// m has the image of that job.
func runs(m *Machine, jobs []Job, now time.Time) {
	if m.Deployed == nil || m.Service.Root == "" || m.Service.Root == m.Deployed.Report.Root {
		return
	}
	for _, j := range jobs {
		if j.State == job.Done && j.Root == m.Service.Root {
			m.deploy(j, "", now)
			return
		}
	}
}

// strays says whether the service of m runs another root than the one that m is known to have.
func (m *Machine) strays() bool {
	d, s := m.Deployed, m.Service
	return d != nil && s != nil && d.Report.Root != "" && s.Root != "" && s.Root != d.Report.Root
}

// keepRoot writes down the root that the job of m's system made, where an earlier server did not: a person may go back
// to it.
func keepRoot(ctx context.Context, tx *sql.Tx, m Machine, jobs []Job) error {
	if m.Deployed == nil || m.Deployed.Report.Root == "" {
		return nil
	}
	for i, j := range jobs {
		if j.Spec.ID == m.Deployed.Job && j.Root == "" {
			jobs[i].Root = m.Deployed.Report.Root
			return saveJob(ctx, tx, jobs[i])
		}
	}
	return nil
}
