package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/netboot"
)

var reboot = Order{Kind: job.Reboot}

// acts gives a machine an action.
func (r *room) acts(key string, o Order) Job {
	r.t.Helper()
	_, j, err := r.Install(r.t.Context(), key, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// able is a machine whose service carries out actions.
func (r *room) able(key, mac string) job.CheckIn {
	r.t.Helper()
	r.deployed(key, mac)
	in := job.CheckIn{Root: "@roots/web-1", Boot: uuid.NewString(), Features: []string{job.FeatureReboot}}
	if a := r.checkIn(key, in); a.Job != nil || a.ActionOver {
		r.t.Fatalf("the check-in got %+v", a)
	}
	return in
}

// TestReboot tells one restart, from the order to the service that is up again.
func TestReboot(t *testing.T) {
	r := newRoom(t, Options{Unknown: StartAgent})
	in := r.able("ada", macA)
	j := r.acts(macA, reboot)
	if j.Spec.Kind != job.Reboot || j.State != job.Pending || !j.Spec.Until.Equal(r.c.now().Add(time.Hour)) {
		t.Errorf("the job is %+v", j)
	}
	r.want(macA, "reboot pending", "web:1@amd64", netboot.Local)
	if same := r.acts(macA, reboot); same.Spec.ID != j.Spec.ID {
		t.Errorf("the same order again made the job %+v", same)
	}
	// A boot of the machine gets no action, and cannot report one.
	boot := uuid.NewString()
	g := prove(t, r.Fleet, "", boot, macA)
	if g.Job != nil {
		t.Errorf("a boot got the job %+v", g.Job)
	}
	if _, err := r.Append(t.Context(), Proof{Token: g.Token}, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: j.Spec.ID, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
	// A service of the version before gets none.
	old := in
	old.Features = nil
	if a := r.checkIn("ada", old); a.Job != nil {
		t.Errorf("a service without the feature got %+v", a.Job)
	}
	if a := r.checkIn("ada", in); a.Job == nil || a.Job.Spec.ID != j.Spec.ID {
		t.Fatalf("the check-in got %+v, want the job", a)
	}
	in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Started, Phase: job.PhaseRestart,
		Message: "the machine restarts"}
	if a := r.checkIn("ada", in); a.Job != nil || a.ActionOver {
		t.Errorf("the check-in before the restart got %+v", a)
	}
	r.want(macA, "restarting", "web:1@amd64", netboot.Local)
	if _, _, err := r.Install(t.Context(), macA, reboot); !errors.Is(err, ErrBusy) {
		t.Errorf("another order meanwhile: %v", err)
	}
	in.Boot = uuid.NewString()
	in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Done, Message: "the machine restarted, and runs web-1"}
	if a := r.checkIn("ada", in); a.Job != nil || a.ActionOver {
		t.Errorf("the check-in after the restart got %+v", a)
	}
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	_, jobs, err := r.Show(t.Context(), macA)
	if err != nil || jobs[0].State != job.Done || jobs[0].Root != "" ||
		r.show(macA).Job.Spec.Kind != job.Install {
		t.Errorf("the jobs are %+v, %v", jobs, err)
	}
	if log := r.journal(macA); !strings.Contains(log, "info pending job: restart the machine") ||
		!strings.Contains(log, "info done the machine restarted, and runs web-1") {
		t.Errorf("the journal is\n%s", log)
	}
}

// TestActionRefused: what a machine cannot do, or may not do now, is refused, and changes nothing.
func TestActionRefused(t *testing.T) {
	r := newRoom(t, Options{})
	ctx := t.Context()
	r.deployed("ada", macA)
	for name, c := range map[string]struct {
		key   string
		order Order
		want  error
		text  string
	}{
		"an old service": {macA, reboot, ErrInvalid, "has not said that it can"},
		"no machine":     {"52:54:00:00:00:0c", reboot, ErrUnknown, ""},
		"an image":       {macA, Order{Kind: job.Reboot, Image: job.Image{Ref: "web:1@amd64"}}, ErrInvalid, "image"},
		"a disk":         {macA, Order{Kind: job.Reboot, Erase: "S1"}, ErrInvalid, "names no disk"},
		"too long":       {macA, Order{Kind: job.Reboot, Within: 8 * 24 * time.Hour}, ErrInvalid, "at most"},
		"another kind":   {macA, Order{Kind: "format"}, ErrInvalid, "unknown kind"},
	} {
		_, _, err := r.Install(ctx, c.key, c.order)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.text)
		}
	}
	if _, _, err := r.Install(ctx, macB, order()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Install(ctx, macB, reboot); !errors.Is(err, ErrInvalid) ||
		!strings.Contains(err.Error(), "no service") {
		t.Errorf("a machine without a system: %v", err)
	}
	r.checkIn("ada", job.CheckIn{Root: "@roots/web-1", Features: []string{job.FeatureReboot}})
	update := r.order(macA)
	if _, _, err := r.Install(ctx, macA, reboot); !errors.Is(err, ErrBusy) {
		t.Errorf("during an update: %v", err)
	}
	o := reboot
	o.Replace = true
	if j := r.acts(macA, o); j.State != job.Pending {
		t.Errorf("in place of the update: %+v", j)
	}
	if _, jobs, err := r.Show(ctx, macA); err != nil || jobs[1].Spec.ID != update.Spec.ID ||
		jobs[1].State != job.Cancelled {
		t.Errorf("the update is %+v, %v", jobs[1], err)
	}
	if _, _, err := r.Install(ctx, macA, order()); !errors.Is(err, ErrBusy) ||
		!strings.Contains(err.Error(), "for a reboot is pending") {
		t.Errorf("an install meanwhile: %v", err)
	}
}

// TestRebootOfUpdate: an update that waits for a restart gets it, and both end.
func TestRebootOfUpdate(t *testing.T) {
	r := newRoom(t, Options{})
	in := r.able("ada", macA)
	u := r.order(macA)
	in.Job = &job.JobReport{ID: u.Spec.ID, State: job.Started, Phase: job.PhaseSwitch}
	r.checkIn("ada", in)
	j := r.acts(macA, reboot)
	if a := r.checkIn("ada", in); a.Job == nil || a.Job.Spec.ID != j.Spec.ID {
		t.Fatalf("the check-in got %+v", a)
	}
	r.want(macA, "reboot pending", "web:1@amd64", netboot.Local)
	in.Root, in.Boot = "@roots/web-2", uuid.NewString()
	in.Job = &job.JobReport{ID: u.Spec.ID, State: job.Done}
	in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Done}
	if a := r.checkIn("ada", in); a.Job != nil || a.Cancelled || a.ActionOver {
		t.Errorf("after the restart the check-in got %+v", a)
	}
	r.want(macA, "deployed", "web:2@amd64", netboot.Local)
	if _, jobs, err := r.Show(t.Context(), macA); err != nil || jobs[0].State != job.Done || jobs[1].State != job.Done {
		t.Errorf("the jobs are %+v, %v", jobs, err)
	}
}

// TestActionLapses: a machine that is off does not do weeks later what no one thinks of any more.
func TestActionLapses(t *testing.T) {
	r := newRoom(t, Options{})
	in := r.able("ada", macA)
	o := reboot
	o.Within = 10 * time.Minute
	j := r.acts(macA, o)
	r.c.pass(10*time.Minute + time.Second)
	if a := r.checkIn("ada", in); a.Job != nil {
		t.Errorf("too late the machine got %+v", a.Job)
	}
	r.c.pass(takeTime)
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	_, jobs, err := r.Show(t.Context(), macA)
	if err != nil || jobs[0].State != job.Failed || !strings.Contains(jobs[0].Message, "was taken back") {
		t.Errorf("the job is %+v, %v", jobs[0], err)
	}
	in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Started}
	if a := r.checkIn("ada", in); !a.ActionOver || a.Cancelled {
		t.Errorf("a service that has it all the same got %+v", a)
	}
	// It did it all the same, as it says.
	in.Action.State = job.Done
	r.checkIn("ada", in)
	if _, jobs, err = r.Show(t.Context(), macA); err != nil || jobs[0].State != job.Done {
		t.Errorf("the job is %+v, %v", jobs[0], err)
	}
	// One that waits does not stand in the way of the next job once its time is over.
	r.acts(macA, o)
	r.c.pass(time.Hour)
	if _, _, err := r.Install(t.Context(), macA, order()); err != nil {
		t.Error(err)
	}
}

// TestCancelAction: a service stops an action that was cancelled; and reports of one machine do not touch another's.
func TestCancelAction(t *testing.T) {
	r := newRoom(t, Options{})
	in, other := r.able("ada", macA), r.able("bob", macB)
	j := r.acts(macA, reboot)
	other.Action = &job.JobReport{ID: j.Spec.ID, State: job.Done}
	r.checkIn("bob", other)
	other.Action, other.Job = nil, &job.JobReport{ID: j.Spec.ID, State: job.Done}
	r.checkIn("bob", other)
	in.Job = &job.JobReport{ID: j.Spec.ID, State: job.Done} // it is no update
	if a := r.checkIn("ada", in); a.Job == nil {
		t.Errorf("the check-in got %+v", a)
	}
	in.Job, in.Action = nil, &job.JobReport{ID: j.Spec.ID, State: job.Started}
	r.checkIn("ada", in)
	if c, err := r.Cancel(t.Context(), macA); err != nil || c.Spec.ID != j.Spec.ID {
		t.Fatalf("Cancel() = %+v, %v", c, err)
	}
	if a := r.checkIn("ada", in); !a.ActionOver || a.Cancelled || a.Job != nil {
		t.Errorf("after it was cancelled the check-in got %+v", a)
	}
}

// TestActionsAreBounded: a machine that restarts each night keeps its other jobs.
func TestActionsAreBounded(t *testing.T) {
	r := newRoom(t, Options{})
	in := r.able("ada", macA)
	u := r.order(macA)
	in.Job = &job.JobReport{ID: u.Spec.ID, State: job.Done}
	r.checkIn("ada", in)
	in.Job = nil
	for range maxActions + 5 {
		j := r.acts(macA, reboot)
		in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Done}
		r.checkIn("ada", in)
	}
	_, jobs, err := r.Show(t.Context(), macA)
	if err != nil || len(jobs) != maxActions+2 || jobs[maxActions].Spec.ID != u.Spec.ID {
		t.Errorf("%d jobs are left, %v", len(jobs), err)
	}
}

// TestRollbackOrders: an operator names a root that the machine has, or leaves it to the machine.
func TestRollbackOrders(t *testing.T) {
	r := newRoom(t, Options{})
	in := r.able("ada", macA)
	in.Features = append(in.Features, job.FeatureRollback)
	in.Roots = []job.Root{{Name: "web-2", Runs: true, Next: true, Good: true}, {Name: "web-1"}}
	r.checkIn("ada", in)
	back := Order{Kind: job.Rollback}
	for root, want := range map[string]string{"": "no other root that was found good: it has web-2, web-1",
		"web-3": "has no root web-3", "a\nb": "is not the name of a root",
		strings.Repeat("x", 200): "is not the name"} {
		o := back
		o.Root = root
		if _, _, err := r.Install(t.Context(), macA, o); !errors.Is(err, ErrInvalid) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", root, err, want)
		}
	}
	o := reboot
	o.Root = "web-1"
	if _, _, err := r.Install(t.Context(), macA, o); !errors.Is(err, ErrInvalid) {
		t.Errorf("a reboot with a root: %v", err)
	}
	in.Roots[1].Good = true
	r.checkIn("ada", in)
	j := r.acts(macA, back)
	if a := r.checkIn("ada", in); a.Job == nil || a.Job.Spec.ID != j.Spec.ID || a.Job.Spec.Root != "" {
		t.Fatalf("the check-in got %+v", a)
	}
	in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Started, Phase: job.PhaseRestart}
	r.checkIn("ada", in)
	r.want(macA, "going back", "web:1@amd64", netboot.Local)
	in.Root = "@roots/web-1"
	in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Done, Message: "the machine runs web-1"}
	r.checkIn("ada", in)
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	back.Root = "web-2"
	first := r.acts(macA, back)
	back.Root = "web-1"
	if _, _, err := r.Install(t.Context(), macA, back); !errors.Is(err, ErrBusy) {
		t.Errorf("to another root meanwhile: %v", err)
	}
	back.Root = "web-2"
	if again := r.acts(macA, back); again.Spec.ID != first.Spec.ID {
		t.Errorf("the same again made %+v", again)
	}
}

// TestRunOrders: a program and what came of it; and a machine that forbids it.
func TestRunOrders(t *testing.T) {
	r := newRoom(t, Options{})
	in := r.able("ada", macA)
	in.Features = append(in.Features, job.FeatureRollback)
	r.checkIn("ada", in)
	o := Order{Kind: job.Run, Argv: []string{"df", "-h"}, Limit: 10}
	if _, _, err := r.Install(t.Context(), macA, o); !errors.Is(err, ErrInvalid) ||
		!strings.Contains(err.Error(), "/etc/griddle/no-run there forbids it") {
		t.Errorf("a machine that forbids it: %v", err)
	}
	in.Features = append(in.Features, job.FeatureRun)
	r.checkIn("ada", in)
	for _, bad := range []Order{{Kind: job.Run}, {Kind: job.Run, Argv: []string{"x"}, Limit: -1},
		{Kind: job.Reboot, Argv: []string{"x"}}} {
		if _, _, err := r.Install(t.Context(), macA, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	j := r.acts(macA, o)
	if _, _, err := r.Install(t.Context(), macA, o); !errors.Is(err, ErrBusy) {
		t.Errorf("the same again: %v, want ErrBusy: it would run twice", err)
	}
	if a := r.checkIn("ada", in); a.Job == nil || len(a.Job.Spec.Argv) != 2 || a.Job.Spec.Limit != 10 {
		t.Fatalf("the check-in got %+v", a)
	}
	in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Started, Phase: job.PhaseRun}
	if a := r.checkIn("ada", in); a.Job != nil {
		t.Errorf("while it runs the machine got %+v", a.Job)
	}
	r.want(macA, "running a program", "web:1@amd64", netboot.Local)
	in.Action = &job.JobReport{ID: j.Spec.ID, State: job.Done, Message: "the program is done",
		Ran: &job.Ran{Output: []byte("/dev/vda 5 %\n\x1b[2J")}}
	r.checkIn("ada", in)
	_, jobs, err := r.Show(t.Context(), macA)
	if err != nil || jobs[0].State != job.Done || jobs[0].Ran == nil || len(jobs[0].Ran.Output) != 17 {
		t.Errorf("the job is %+v, %v", jobs[0], err)
	}
	if log := r.journal(macA); !strings.Contains(log, "job: run df -h") || strings.Contains(log, "/dev/vda") {
		t.Errorf("the journal is\n%s", log)
	}
}
