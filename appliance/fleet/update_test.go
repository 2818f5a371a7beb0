package fleet

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/netboot"
)

// update is the order of an update to web:2.
func update() Order {
	return Order{Kind: job.Update, Image: job.Image{Ref: "web:2@amd64", Document: "sha256:2"}, Asked: "web:stable"}
}

// room is a fleet with deployed machines that have services.
type room struct {
	*Fleet
	t *testing.T
	c *clock
}

func newRoom(t *testing.T, o Options) *room {
	t.Helper()
	c := newClock()
	o.Now = c.now
	return &room{open(t, o), t, c}
}

// deployed installs web:1 on the machine with the address; its system has reported, and checks in with the key.
func (r *room) deployed(key, mac string) Machine {
	r.t.Helper()
	ctx := r.t.Context()
	home := homeOf(r.t, r.Fleet, key, mac)
	hostKey := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgER+oTq/ggOWnGoqhy6QkLlMK2+XvJBHehHinQ8WHT"
	if _, err := r.Home(ctx, home, job.HomeReport{Hostname: "h", Kernel: "6.1", Root: "@roots/web-1",
		HostKeys: []string{hostKey}}); err != nil {
		r.t.Fatal(err)
	}
	m := r.show(mac).Machine
	if m.Deployed == nil || r.checkIn(key, job.CheckIn{Root: "@roots/web-1"}).Job != nil {
		r.t.Fatalf("the machine is %+v", m)
	}
	return m
}

// homeOf has a boot with the key install web:1 on the machine with the address, and returns the token of its system.
func homeOf(t *testing.T, f *Fleet, key, mac string) (home string) {
	t.Helper()
	if _, _, err := f.Install(t.Context(), mac, order()); err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	g := prove(t, f, key, boot, mac)
	if _, err := f.Append(t.Context(), Proof{g.Token, key}, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: g.Job.Spec.ID, State: job.Started, Disk: "S1"},
		{Seq: 2, Job: g.Job.Spec.ID, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
	return g.Home
}

// order gives the machine an update.
func (r *room) order(key string) Job {
	r.t.Helper()
	_, j, err := r.Install(r.t.Context(), key, update())
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// checkIn has the service check in, five seconds after what was before.
func (r *room) checkIn(key string, in job.CheckIn) Answer {
	r.t.Helper()
	r.c.pass(5 * time.Second)
	in.Features = append(in.Features, job.FeatureUpdate)
	a, err := r.CheckIn(r.t.Context(), "10.0.0.7", key, in)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *room) show(key string) View {
	r.t.Helper()
	v, _, err := r.Show(r.t.Context(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// journal is what is in the journal of a machine, one line each.
func (r *room) journal(key string) string {
	r.t.Helper()
	all, err := r.read(r.t.Context(), key, 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	var out strings.Builder
	for _, e := range all {
		fmt.Fprintf(&out, "%s %s %s\n", e.Event.Level, e.Event.State, e.Event.Message)
	}
	return out.String()
}

func (r *room) want(key, status, image string, boot netboot.Action) {
	r.t.Helper()
	v := r.show(key)
	if got := v.Status(); got != status || v.Machine.Deployed.Image != image {
		r.t.Errorf("the machine is %q with %s, want %q with %s", got, v.Machine.Deployed.Image, status, image)
	}
	if got := boots(r.t, r.Fleet, key); got != boot {
		r.t.Errorf("as %q it boots %v, want %v", status, got, boot)
	}
}

// TestUpdateLive tells one update that the service of the installed system carries out.
func TestUpdateLive(t *testing.T) {
	r := newRoom(t, Options{})
	was := r.deployed("ada", macA)
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	j := r.order(macA)
	if j.Spec.Kind != job.Update || j.Spec.Pool != was.Deployed.Job || j.Spec.Asked != "web:stable" ||
		j.Spec.Disk != "" {
		t.Errorf("the job is %+v", j.Spec)
	}
	r.want(macA, "update pending", "web:1@amd64", netboot.Agent)

	// A service of the version before does not know updates.
	r.c.pass(5 * time.Second)
	old, err := r.CheckIn(t.Context(), "10.0.0.7", "ada", job.CheckIn{Agent: "0", Root: "@roots/web-1"})
	if err != nil || old.Job != nil || old.Cancelled {
		t.Errorf("CheckIn() of a service without updates = %+v, %v", old, err)
	}
	in := job.CheckIn{Root: "@roots/web-1", Boot: uuid.NewString()}
	if a := r.checkIn("ada", in); a.Job == nil || a.Job.Spec.ID != j.Spec.ID {
		t.Fatalf("CheckIn() = %+v, want the job", a)
	}
	in.Job = &job.JobReport{ID: j.Spec.ID, State: job.Started, Phase: job.PhaseReceive,
		Progress: &job.Progress{Done: 43, Total: 100}}
	if a := r.checkIn("ada", in); a.Job == nil || a.Cancelled {
		t.Errorf("CheckIn() during the update = %+v", a)
	}
	r.want(macA, "updating", "web:1@amd64", netboot.Agent)
	if p := r.show(macA).Job.Progress; p == nil || p.Percent() != 43 {
		t.Errorf("the progress is %+v", p)
	}
	in.Job = &job.JobReport{ID: j.Spec.ID, State: job.Started, Phase: job.PhaseSwitch, Message: "starts at 06:00"}
	if a := r.checkIn("ada", in); a.Job != nil || a.Cancelled {
		t.Errorf("CheckIn() after the switch = %+v", a)
	}
	r.want(macA, "update ready", "web:1@amd64", netboot.Local)
	// The new root runs, and has not proved itself yet.
	in = job.CheckIn{Root: "@roots/web-2", Boot: uuid.NewString()}
	r.checkIn("ada", in)
	r.want(macA, "update ready", "web:1@amd64", netboot.Local)
	in.Job = &job.JobReport{ID: j.Spec.ID, State: job.Done, Kernel: "6.12"}
	for range 2 { // the answer was lost
		if a := r.checkIn("ada", in); a.Cancelled || a.Job != nil {
			t.Errorf("CheckIn() of the end = %+v", a)
		}
	}
	r.want(macA, "deployed", "web:2@amd64", netboot.Local)
	d := r.show(macA).Machine.Deployed
	if d.Job != j.Spec.ID || d.Report.Kernel != "6.12" || d.Report.Root != "@roots/web-2" || d.Report.Hostname != "h" ||
		!reflect.DeepEqual(d.Report.HostKeys, was.Deployed.Report.HostKeys) {
		t.Errorf("deployed is %+v", d)
	}
	for _, want := range []string{"info pending job: update to web:2@amd64 (requested on the command line)",
		"info started", "starts at 06:00", "runs the root @roots/web-2; before, it ran @roots/web-1", "info done"} {
		if got := r.journal(macA); !strings.Contains(got, want) {
			t.Errorf("the journal has no %q:\n%s", want, got)
		}
	}
	// A person goes back to the first root: that has the image of the install.
	r.checkIn("ada", job.CheckIn{Root: "@roots/web-1", Boot: uuid.NewString()})
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	if s, err := r.SystemOf(t.Context(), macA); err != nil || s.Image != "web:1@amd64" || s.Asked != "" || s.Ordered ||
		s.Refuses("sha256:2") != was.Name+" had web:2@amd64 and went back from it" || s.Refuses("sha256:3") != "" {
		t.Errorf("SystemOf() = %+v, %v", s, err)
	}
}

// TestEarlierRoots: a person goes back to the root of a job that an earlier server did not write down, and to one that
// none did.
func TestEarlierRoots(t *testing.T) {
	r := newRoom(t, Options{})
	m := r.deployed("ada", macA)
	const forget = "UPDATE jobs SET data = json_remove(data, '$.root') WHERE id = ?"
	if _, err := r.db.Exec(forget, m.Deployed.Job); err != nil {
		t.Fatal(err)
	}
	j := r.order(macA)
	r.checkIn("ada", job.CheckIn{Root: "@roots/web-2", Job: &job.JobReport{ID: j.Spec.ID, State: job.Done}})
	r.want(macA, "deployed", "web:2@amd64", netboot.Local)
	r.checkIn("ada", job.CheckIn{Root: "@roots/web-1"})
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	for root, unsure := range map[string]bool{"@roots/older": true, "@roots/web-2": false} {
		r.checkIn("ada", job.CheckIn{Root: "@roots/web-2"})
		r.checkIn("ada", job.CheckIn{Root: root})
		s, err := r.OwnSystem(t.Context(), "ada")
		if err != nil || s.Unsure != unsure || (s.Refuses("sha256:2") != "") != unsure {
			t.Errorf("OwnSystem() with %s = %+v, %v", root, s, err)
		}
	}
}

// TestUpdateFallsBack: a root that does not prove itself ends the update, once, with the reason and what was said.
func TestUpdateFallsBack(t *testing.T) {
	r := newRoom(t, Options{})
	r.deployed("ada", macA)
	for i, named := range []bool{true, false} {
		j := r.order(macA)
		in := job.CheckIn{Root: "@roots/web-1", Job: &job.JobReport{ID: j.Spec.ID, State: job.Started,
			Phase: job.PhaseSwitch}}
		r.checkIn("ada", in)
		fell := job.Fell{Time: r.c.now(), Root: "@roots/web-2", Image: "web:2@amd64",
			Reason: "nginx.service failed\x1b[2J", Lines: []string{"bind: address in use", "exit 1"}}
		if named {
			fell.Job = j.Spec.ID
		}
		in = job.CheckIn{Root: "@roots/web-1", Fell: &fell}
		for range 3 {
			r.checkIn("ada", in)
		}
		r.want(macA, "update failed", "web:1@amd64", netboot.Local)
		v := r.show(macA)
		if v.Job.Message != "nginx.service failed [2J" || v.Machine.Fell == nil || len(v.Machine.Fell.Lines) != 2 {
			t.Errorf("the job is %+v, the fallback %+v", v.Job, v.Machine.Fell)
		}
		got := r.journal(macA)
		for _, want := range []string{"error failed the root @roots/web-2 did not prove itself, and the machine runs " +
			"another one: nginx.service failed [2J", "| bind: address in use"} {
			if n := strings.Count(got, want); n != i+1 {
				t.Errorf("the journal has %q %d times, want %d:\n%s", want, n, i+1, got)
			}
		}
	}
	// Without any update there is nothing that fails, and a next order replaces the failed one.
	r.checkIn("ada", job.CheckIn{Root: "@roots/web-1", Fell: &job.Fell{Time: r.c.now(), Root: "@roots/x"}})
	if got := r.journal(macA); !strings.Contains(got, "no reason was reported") {
		t.Errorf("the journal is\n%s", got)
	}
	r.order(macA)
	r.want(macA, "update pending", "web:1@amd64", netboot.Agent)
}

// TestUpdateFromTheNetwork tells one update that a boot carries out. The boot ends with the switch, whatever it says.
func TestUpdateFromTheNetwork(t *testing.T) {
	for _, last := range []job.Event{{State: job.Done}, {Phase: job.PhaseSwitch}} {
		r := newRoom(t, Options{})
		ctx := t.Context()
		r.deployed("ada", macA)
		j := r.order(macA)
		boot := uuid.NewString()
		g := prove(t, r.Fleet, "ada", boot, macA)
		if g.Job == nil || g.Job.Spec.ID != j.Spec.ID || g.Home != "" {
			t.Fatalf("Hello() = %+v", g)
		}
		p := Proof{g.Token, "ada"}
		if a, err := r.Streaming(ctx, p); err != nil || a.Same != 1 {
			t.Errorf("Streaming() = %+v, %v", a, err)
		}
		last.Seq, last.Job = 2, j.Spec.ID
		ack, err := r.Append(ctx, p, job.Events{Boot: boot, Events: []job.Event{
			{Seq: 1, Job: j.Spec.ID, State: job.Started, Phase: job.PhaseReceive}, last}})
		if err != nil || ack.Cancelled {
			t.Fatalf("Append() = %+v, %v", ack, err)
		}
		r.want(macA, "update ready", "web:1@amd64", netboot.Local)
		// A user who starts the agent again gets no job, and no one but the service can say how it ends.
		again := uuid.NewString()
		g = prove(t, r.Fleet, "ada", again, macA)
		if g.Job != nil {
			t.Errorf("Hello() after the switch gives %+v", g.Job)
		}
		ack, err = r.Append(ctx, Proof{g.Token, "ada"}, job.Events{Boot: again, Events: []job.Event{
			{Seq: 1, Job: j.Spec.ID, State: job.Failed, Message: "x"}}})
		if err != nil {
			t.Errorf("Append() = %+v, %v", ack, err)
		}
		r.want(macA, "update ready", "web:1@amd64", netboot.Local)
		r.checkIn("ada", job.CheckIn{Root: "@roots/web-2", Job: &job.JobReport{ID: j.Spec.ID, State: job.Done}})
		r.want(macA, "deployed", "web:2@amd64", netboot.Local)
	}
}

// TestTwoWaysAtOnce: while the service carries the update out, a boot of the machine waits.
func TestTwoWaysAtOnce(t *testing.T) {
	r := newRoom(t, Options{})
	ctx := t.Context()
	r.deployed("ada", macA)
	j := r.order(macA)
	boot := uuid.NewString()
	g := prove(t, r.Fleet, "eve", boot, macA)
	r.checkIn("ada", job.CheckIn{Job: &job.JobReport{ID: j.Spec.ID, State: job.Started, Phase: job.PhaseReceive}})
	fail := func(seq uint64) error {
		_, err := r.Append(ctx, Proof{g.Token, "eve"}, job.Events{Boot: boot, Events: []job.Event{
			{Seq: seq, Job: j.Spec.ID, State: job.Failed, Message: "x"}}})
		return err
	}
	if err := fail(1); !errors.Is(err, ErrBusy) {
		t.Errorf("Append() of another boot = %v, want ErrBusy", err)
	}
	r.c.pass(2 * time.Minute)
	if err := fail(1); err != nil || r.show(macA).Status() != "update failed" {
		t.Errorf("Append() after two minutes = %v, and the machine is %s", err, r.show(macA).Status())
	}
	// The machine itself knows better.
	a := r.checkIn("ada", job.CheckIn{Job: &job.JobReport{ID: j.Spec.ID, State: job.Started}})
	if !a.Cancelled {
		t.Error("the service does not learn that its job is over")
	}
	r.checkIn("ada", job.CheckIn{Root: "@roots/web-2", Job: &job.JobReport{ID: j.Spec.ID, State: job.Done}})
	r.want(macA, "deployed", "web:2@amd64", netboot.Local)
}

// TestAway: a machine whose service is silent for three intervals is away, by the interval that it was asked to keep.
func TestAway(t *testing.T) {
	r := newRoom(t, Options{CheckIn: time.Minute})
	r.deployed("ada", macA)
	r.c.pass(3 * time.Minute)
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	r.c.pass(time.Second)
	r.want(macA, "away", "web:1@amd64", netboot.Local)
	r.Reconfigure(Options{CheckIn: time.Hour})
	r.want(macA, "away", "web:1@amd64", netboot.Local)
	r.checkIn("ada", job.CheckIn{Root: "@roots/web-1"})
	if got := r.journal(macA); !strings.Contains(got, "the machine checks in again, after 3m6s") {
		t.Errorf("the journal is\n%s", got)
	}
	r.c.pass(2 * time.Hour)
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	r.order(macA)
	r.c.pass(2 * time.Hour)
	r.want(macA, "update pending", "web:1@amd64", netboot.Agent)
	if !r.show(macA).Away {
		t.Error("a machine with a job is not away")
	}
}

// TestInterval: a service of the version before waits a minute at least, so that it is not away after 30 seconds.
func TestInterval(t *testing.T) {
	r := newRoom(t, Options{CheckIn: 10 * time.Second})
	r.deployed("ada", macA)
	for boot, after := range map[string]time.Duration{"": 3 * time.Minute, uuid.NewString(): 30 * time.Second} {
		r.checkIn("ada", job.CheckIn{Root: "@roots/web-1", Boot: boot})
		r.c.pass(after)
		r.want(macA, "deployed", "web:1@amd64", netboot.Local)
		r.c.pass(time.Second)
		r.want(macA, "away", "web:1@amd64", netboot.Local)
	}
}
