package api

import (
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
)

// A service gets an order for fresh systems only if it knows them. A machine that has them keeps them in later updates,
// also by an agent that a server has to refuse then, and gets an update to the same image for another reset.
func TestReset(t *testing.T) {
	ctx := t.Context()
	s, operator, _, service := serviced(t)
	if _, err := operator.Update(ctx, mac, Update{Image: "web:2", Reset: "often"}); problem(err).Status != 400 ||
		!strings.Contains(err.Error(), "use system, home") {
		t.Errorf("Update() with an unknown reset = %v", err)
	}
	if _, err := operator.Install(ctx, mac, Install{Image: "web:2", Disk: "largest", Reset: "often"}); problem(
		err).Status != 400 {
		t.Errorf("Install() with an unknown reset = %v", err)
	}
	if _, err := operator.Install(ctx, mac, Install{Image: "sysv:1", Disk: "largest", Reset: "home"}); err == nil ||
		!strings.Contains(err.Error(), "does not start with systemd") {
		t.Errorf("Install() of an image without systemd, reset = %v", err)
	}
	order := func(reset job.Reset, want job.Reset) {
		t.Helper()
		m, err := operator.Update(ctx, mac, Update{Image: "web:2", Reset: string(reset), Replace: true})
		if err != nil || m.Job == nil || m.Job.Spec.Reset != want {
			t.Fatalf("Update() with %q = %+v, %v, want %q", reset, m.Job, err, want)
		}
	}
	in := job.CheckIn{Root: "@roots/web-1", Features: []string{job.FeatureUpdate}}
	checkIn := func() job.CheckedIn {
		t.Helper()
		s.skip.Add(int64(time.Minute))
		out, err := service.CheckIn(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	order(job.ResetSystem, job.ResetSystem)
	if out := checkIn(); out.Job != nil {
		t.Errorf("a service that does not know them gets %+v", out.Job)
	}
	if m, err := operator.Machine(ctx, mac); err != nil || !strings.Contains(m.Needs, "fresh at each start") {
		t.Errorf("the machine needs %q, %v", m.Needs, err)
	}
	in.Features = append(in.Features, job.FeatureReset)
	if out := checkIn(); out.Job == nil || out.Job.Reset != job.ResetSystem {
		t.Errorf("a service that knows them gets %+v", out.Job)
	}
	in.Roots = []job.Root{{Name: "web-2", Runs: true, Reset: job.ResetSystem}}
	m, err := operator.Machine(ctx, mac)
	if err != nil || m.Job == nil {
		t.Fatal(m, err)
	}
	in.Root, in.Job = "@roots/web-2", &job.JobReport{ID: m.Job.Spec.ID, State: job.Done}
	checkIn()
	in.Job = nil
	if m, err := operator.Update(ctx, mac, Update{Image: "web:2"}); err != nil || !m.Current {
		t.Errorf("Update() to the same = %+v, %v", m, err)
	}
	if m, err := operator.Update(ctx, mac, Update{Image: "web:2", Reset: "system"}); err != nil || !m.Current {
		t.Errorf("Update() to the same, reset alike = %+v, %v", m, err)
	}
	order(job.ResetHome, job.ResetHome)
	order(job.ResetNo, job.ResetNo)
	if m, err = operator.Update(ctx, mac, Update{Image: "web:3", Replace: true}); err != nil ||
		m.Job.Spec.Reset != job.ResetSystem {
		t.Errorf("Update() without a word = %+v, %v", m.Job, err)
	}
}
