package api

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// problem is what the server answered err with, the zero value for none.
func problem(err error) job.Problem {
	var p *job.Problem
	if errors.As(err, &p) {
		return *p
	}
	return job.Problem{}
}

// serviced is a site with an installed machine, whose service has a client and has checked in.
func serviced(t testing.TB) (s *site, operator *Client, with func(tls.Certificate) *tls.Config, service *job.Client) {
	t.Helper()
	s, with = newKeyed(t)
	conf := with(newKey(t))
	installMachine(t, s, conf, bootID, mac)
	if _, err := job.NewClient(s.URL, conf).CheckIn(t.Context(), job.CheckIn{Root: "@roots/web-1"}); err != nil {
		t.Fatal(err)
	}
	s.skip.Add(int64(time.Minute))
	return s, NewClient(s.URL, adminToken, s.tls), with, job.NewClient(s.URL, conf)
}

// TestUpdate tells one update from both sides: an order, a check-in, a plan, and the new root.
func TestUpdate(t *testing.T) {
	ctx := t.Context()
	s, operator, _, service := serviced(t)
	if _, err := operator.Update(ctx, mac, Update{Image: "sysv:1"}); err == nil ||
		!strings.Contains(err.Error(), "does not start with systemd") {
		t.Errorf("Update() to an image that cannot prove itself = %v", err)
	}
	m, err := operator.Update(ctx, mac, Update{Image: "web:stable", When: "2026-11-30T06:00:00+01:00"})
	if err != nil || m.Job == nil || m.Status != "update pending" || m.Current {
		t.Fatalf("Update() = %+v, %v", m, err)
	}
	if spec := m.Job.Spec; spec.Image.Ref != "web:2@amd64" || spec.Asked != "web:stable" ||
		spec.When != "2026-11-30T05:00:00Z" {
		t.Errorf("Update() makes the job %+v", spec)
	}
	in := job.CheckIn{Agent: "1", Root: "@roots/web-1", Features: []string{job.FeatureUpdate}}
	out, err := service.CheckIn(ctx, in)
	if err != nil || out.Job == nil || out.Job.ID != m.Job.Spec.ID || out.Job.Kind != job.Update ||
		len(out.Job.Sources) != 1 || out.Job.Home != (job.Home{}) || !out.Job.Service || out.Next != 300 {
		t.Fatalf("CheckIn() = %+v with %+v, %v", out, out.Job, err)
	}
	got, err := service.Plan(ctx, job.PlanAsk{Job: out.Job.ID, Have: []string{bootID, otherBoot, "x"}})
	if err != nil || got.Ref != "web:2@amd64" || len(got.Streams) != 2 {
		t.Errorf("Plan() = %+v, %v", got, err)
	}
	if _, err := service.Plan(ctx, job.PlanAsk{Job: out.Job.ID, Kernel: true}); problem(err).Status != 400 ||
		!strings.Contains(err.Error(), "has no kernel image") {
		t.Errorf("Plan() of a kernel = %v", err)
	}
	if err := service.Stream(ctx, map[string]string{}, nil); err != nil {
		t.Errorf("Stream() = %v", err)
	}
	if got, err := service.Settings(ctx); err != nil || got.State != job.Ready {
		t.Errorf("Settings() = %+v, %v", got, err)
	}
	s.skip.Add(int64(time.Minute))
	in.Job = &job.JobReport{ID: m.Job.Spec.ID, State: job.Done}
	if out, err := service.CheckIn(ctx, in); err != nil || out.Job != nil || out.Cancelled {
		t.Errorf("CheckIn() of the end = %+v, %v", out, err)
	}
	if m, err = operator.Machine(ctx, mac); err != nil || m.Deployed == nil || m.Deployed.Image != "web:2@amd64" ||
		m.Status != "deployed" {
		t.Errorf("Machine() = %+v, %v", m, err)
	}
	if m, err = operator.Update(ctx, mac, Update{Image: "web:2"}); err != nil || !m.Current || m.Job != nil {
		t.Errorf("Update() to the image that it has = %+v, %v", m, err)
	}
	for _, c := range []struct {
		in     Update
		status int
		want   string
	}{
		{Update{Image: "web:1"}, 409, "web:1@amd64 is older than web:2@amd64, which node-52540000000a has; to go " +
			"back, add --allow-older"},
		{Update{}, 400, "names no image"},
		{Update{Image: "web:9"}, 422, "no such image"},
		{Update{Image: "web:3@arm64"}, 400, "another architecture"},
		{Update{Image: "web:3", When: "soon"}, 400, "is not a time to start the new root"},
	} {
		if _, err := operator.Update(ctx, mac, c.in); problem(err).Status != c.status ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("Update(%+v) = %v, want %d with %q", c.in, err, c.status, c.want)
		}
	}
	if _, err := operator.Update(ctx, "52:54:00:00:00:0f", Update{Image: "web:3"}); problem(err).Status != 404 {
		t.Errorf("Update() of a machine that does not exist = %v", err)
	}
	if m, err = operator.Update(ctx, mac, Update{Image: "web:1", AllowOlder: true}); err != nil ||
		!m.Job.Spec.AllowOlder {
		t.Errorf("Update() with AllowOlder = %+v, %v", m, err)
	}
	if _, err := operator.Update(ctx, mac, Update{Image: "web:3"}); problem(err).Status != 409 ||
		!strings.Contains(err.Error(), "machine cancel") {
		t.Errorf("Update() over another one = %v", err)
	}
}

// TestNeeds: an update that a service cannot carry out says what a person has to do, until it is under way.
func TestNeeds(t *testing.T) {
	s := fleet.Service{Features: []string{}}
	bare := job.Spec{Kind: job.Update, Kernel: job.Image{Ref: "griddle/kernel:6@amd64"}}
	for _, c := range []struct {
		name   string
		change func(j *fleet.Job)
		has    []string
		want   []string // nothing: ""
	}{
		{"no updates", func(*fleet.Job) {}, []string{},
			[]string{"run `griddle-agent update --set-up` there as root, or start the machine from the network"}},
		{"no updates, also from the network", func(j *fleet.Job) { j.TooOld = true }, []string{},
			[]string{"--set-up` there as root; the boot image is too old for it too"}},
		{"no kernel", func(*fleet.Job) {}, []string{job.FeatureUpdate},
			[]string{"too old for an image that gets its kernel from another one", "`make boot`", "start the machine"}},
		{"both", func(*fleet.Job) {}, []string{job.FeatureUpdate, job.FeatureKernel}, nil},
		{"not known", func(*fleet.Job) {}, nil, nil},
		{"a boot carries it out", func(j *fleet.Job) { j.State = job.Started }, []string{}, nil},
		{"the new root waits", func(j *fleet.Job) { j.Phase = job.PhaseSwitch }, []string{}, nil},
		{"an install", func(j *fleet.Job) { j.Spec.Kind = job.Install }, []string{}, nil},
	} {
		j := fleet.Job{Spec: bare, State: job.Pending}
		c.change(&j)
		s.Features = c.has
		got := needs(fleet.View{Machine: fleet.Machine{Service: &s}, Job: &j})
		if (got == "") != (c.want == nil) {
			t.Errorf("%s: needs() = %q", c.name, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: needs() = %q, want %q in it", c.name, got, want)
			}
		}
	}
	if got := needs(fleet.View{Job: &fleet.Job{Spec: bare, State: job.Pending}}); got != "" {
		t.Errorf("needs() of a machine without a service = %q", got)
	}
}

// TestOldAgents: what cannot carry a job out does not get it: an agent and a service of the version before, and those
// that cannot add a kernel.
func TestOldAgents(t *testing.T) {
	ctx := t.Context()
	s, operator, with, service := serviced(t)
	if _, err := operator.Update(ctx, mac, Update{Image: "bare"}); err != nil {
		t.Fatal(err)
	}
	if out, err := service.CheckIn(ctx, job.CheckIn{Agent: "1"}); err != nil || out.Job != nil {
		t.Errorf("CheckIn() of the version before = %+v, %v", out, err)
	}
	for i, c := range []struct {
		features []string
		want     string
	}{
		{nil, "the boot image of this machine is too old for updates"},
		{[]string{job.FeatureUpdate}, "too old for an image that gets its kernel from another one"},
		{[]string{job.FeatureUpdate, job.FeatureKernel}, ""},
	} {
		boot := []string{otherBoot, "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f03", "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f04"}[i]
		agent := job.NewClient(s.URL, with(newKey(t)))
		w, err := agent.Hello(ctx, job.Hello{Boot: boot, Identity: job.Identity{MACs: []string{mac}},
			Features: c.features})
		if c.want != "" && (problem(err).Status != http.StatusUpgradeRequired ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("Hello() with %q = %v, want 426", c.features, err)
		}
		if c.want == "" && (err != nil || w.Job == nil || w.Job.Kernel.Ref != "griddle/kernel:6@amd64" ||
			w.Job.Home != (job.Home{})) {
			t.Errorf("Hello() with %q = %+v, %v", c.features, w.Job, err)
		}
		if c.want == "" {
			if got, err := agent.Plan(ctx, job.PlanAsk{Job: w.Job.ID, Kernel: true}); err != nil ||
				got.Ref != "griddle/kernel:6@amd64" {
				t.Errorf("Plan() of the kernel = %+v, %v", got, err)
			}
		}
	}
	// A choice on the screen of an agent that cannot add a kernel.
	agent := job.NewClient(s.URL, s.tls)
	if _, err := agent.Hello(ctx, job.Hello{Boot: "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f09",
		Identity: job.Identity{MACs: []string{otherMAC}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Choose(ctx, job.Choice{Image: "bare", Disk: "largest"}); problem(err).Status !=
		http.StatusUpgradeRequired {
		t.Errorf("Choose() of an image without a kernel = %v, want 426", err)
	}
}

// TestMachineAsks: a machine asks for its own updates. With private images it learns of no others, and needs a key that
// an operator approved.
func TestMachineAsks(t *testing.T) {
	ctx := t.Context()
	s, with := newKeyed(t)
	conf := with(newKey(t))
	installMachine(t, s, conf, bootID, mac)
	operator, service := NewClient(s.URL, adminToken, s.tls), job.NewClient(s.URL, conf)
	if _, err := job.NewClient(s.URL, with(newKey(t))).Update(ctx, job.UpdateAsk{}); problem(err).Status != 401 {
		t.Errorf("Update() of a stranger = %v, want 401", err)
	}
	if got, err := service.Update(ctx, job.UpdateAsk{Image: "web:1"}); err != nil || got.ID != "" ||
		got.Image.Ref != "web:1@amd64" {
		t.Errorf("Update() to the present image = %+v, %v", got, err)
	}
	got, err := service.Update(ctx, job.UpdateAsk{When: job.WhenReboot})
	if err != nil || got.Image.Ref != "web:3@amd64" || got.When != job.WhenReboot || got.Kind != job.Update ||
		len(got.Sources) != 1 {
		t.Fatalf("Update() = %+v, %v", got, err)
	}
	if m, err := operator.Machine(ctx, mac); err != nil || m.Job.Origin != fleet.Resident {
		t.Errorf("the machine is %+v, %v", m, err)
	}
	if _, err := service.Update(ctx, job.UpdateAsk{When: "soon"}); problem(err).Status != 400 {
		t.Errorf("Update() at no time = %v", err)
	}
	if _, err := service.Update(ctx, job.UpdateAsk{Image: strings.Repeat("x", 20<<10)}); problem(err).Status != 413 {
		t.Errorf("Update() with a long name = %v", err)
	}
	s.handler.o.Private = true
	for _, image := range []string{"", "web:2", "db"} {
		if _, err := service.Update(ctx, job.UpdateAsk{Image: image}); problem(err).Status != 403 ||
			!strings.Contains(err.Error(), "`griddle machine update node-52540000000a --image IMAGE`") {
			t.Errorf("Update() to %q with a key that no operator approved = %v, want 403", image, err)
		}
	}
	s.fleet.Reconfigure(fleet.Options{Enrolment: fleet.EnrolApprove})
	w, err := job.NewClient(s.URL, conf).Hello(ctx, job.Hello{Boot: otherBoot,
		Identity: job.Identity{MACs: []string{mac}}, Sources: []string{job.SourceHTTPS}})
	if err != nil || w.Approval == nil {
		t.Fatalf("Hello() = %+v, %v", w, err)
	}
	if _, err := operator.Approve(ctx, mac, w.Approval.Code); err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"set", "db", "web2:1", "griddle/kernel", "x\x1b"} {
		if _, err := service.Update(ctx, job.UpdateAsk{Image: image}); problem(err).Status != 403 ||
			strings.Contains(err.Error(), "no such image") {
			t.Errorf("Update() to %q = %v, want 403", image, err)
		}
	}
	if _, err := service.Update(ctx, job.UpdateAsk{Image: "web:2"}); err != nil {
		t.Errorf("Update() to a version of its template = %v", err)
	}
}

// TestFollows: a timer gets no image again from which its machine fell back, or a person went back. One who names the
// image gets it.
func TestFollows(t *testing.T) {
	ctx := t.Context()
	s, _, _, service := serviced(t)
	says := func(in job.CheckIn) {
		t.Helper()
		s.skip.Add(int64(time.Minute))
		if _, err := service.CheckIn(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(want string) job.Spec {
		t.Helper()
		if got, err := service.Update(ctx, job.UpdateAsk{}); problem(err).Status != 409 ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("Update() = %+v, %v, want 409 with %q", got, err, want)
		}
		got, err := service.Update(ctx, job.UpdateAsk{Image: "web:3"})
		if err != nil || got.ID == "" {
			t.Fatalf("Update() to web:3 = %+v, %v", got, err)
		}
		return got
	}
	got, err := service.Update(ctx, job.UpdateAsk{})
	if err != nil || got.Image.Ref != "web:3@amd64" {
		t.Fatalf("Update() = %+v, %v", got, err)
	}
	says(job.CheckIn{Root: "@roots/web-1", Job: &job.JobReport{ID: got.ID, State: job.Failed, Message: "no space"}})
	if got, err = service.Update(ctx, job.UpdateAsk{}); err != nil || got.ID == "" {
		t.Fatalf("Update() after one that failed before the switch = %+v, %v", got, err)
	}
	says(job.CheckIn{Root: "@roots/web-1", Fell: &job.Fell{Job: got.ID, Root: "@roots/web-3"}})
	got = refused("web:3@amd64 already failed on node-52540000000a, so the machine does not take it by itself")
	says(job.CheckIn{Root: "@roots/web-3", Job: &job.JobReport{ID: got.ID, State: job.Done}})
	if got, err := service.Update(ctx, job.UpdateAsk{Image: "web:1", AllowOlder: true}); err != nil || got.ID == "" {
		t.Fatalf("Update() back = %+v, %v", got, err)
	} else {
		says(job.CheckIn{Root: "@roots/web-1", Job: &job.JobReport{ID: got.ID, State: job.Done}})
	}
	refused("web:3@amd64 already failed on")
}

// TestHostilePlans: a machine gets plans for its own live job and nothing else, and few at a time.
func TestHostilePlans(t *testing.T) {
	ctx := t.Context()
	s, operator, with, service := serviced(t)
	other := with(newKey(t))
	installMachine(t, s, other, otherBoot, otherMAC)
	if _, err := job.NewClient(s.URL, other).CheckIn(ctx, job.CheckIn{}); err != nil {
		t.Fatal(err)
	}
	m, err := operator.Update(ctx, otherMAC, Update{Image: "set"})
	if err != nil {
		t.Fatal(err)
	}
	ask := job.PlanAsk{Job: m.Job.Spec.ID}
	if _, err := service.Plan(ctx, ask); problem(err).Status != 409 {
		t.Errorf("Plan() of another machine's job = %v, want 409", err)
	}
	if _, err := job.NewClient(s.URL, with(newKey(t))).Plan(ctx, ask); problem(err).Status != 401 {
		t.Errorf("Plan() with the key of no machine = %v, want 401", err)
	}
	if _, err := job.NewClient(s.URL, s.tls).Plan(ctx, ask); problem(err).Status != 401 {
		t.Errorf("Plan() without a key = %v, want 401", err)
	}
	mine := job.NewClient(s.URL, other)
	if _, err := mine.Plan(ctx, ask); err != nil {
		t.Errorf("Plan() = %v", err)
	}
	for range 2 {
		hold, err := s.handler.plans.Take(m.ID, true, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer hold.Release()
	}
	if _, err := mine.Plan(ctx, ask); problem(err).Status != 503 {
		t.Errorf("the third Plan() at a time = %v, want 503", err)
	}
	if _, err := mine.Update(ctx, job.UpdateAsk{}); problem(err).Status != 503 {
		t.Errorf("Update() beside two plans = %v, want 503", err)
	}
}
