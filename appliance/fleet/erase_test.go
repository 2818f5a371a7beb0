package fleet

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/netboot"
)

// certificate is what a machine reports of disk S1, which had the system of the job installed.
func certificate(id, installed string, r job.EraseResult) *job.Certificate {
	return &job.Certificate{Version: 1, Job: id, Result: r, Level: job.Clear, Method: "overwrite", Approved: true,
		Machine: "forged", Disk: job.Disk{Path: "/dev/sda", Serial: "S1", Size: 1e9, Installed: installed}}
}

// erases has a boot carry out the erase of a machine up to the state, and returns the job as the boot got it.
func (r *room) erases(mac, installed string, state job.State) job.Spec {
	r.t.Helper()
	boot := uuid.NewString()
	g := prove(r.t, r.Fleet, "ada", boot, mac)
	if g.Job == nil || g.Job.Spec.Kind != job.Erase || g.Home != "" || len(g.Unfinished) > 0 {
		r.t.Fatalf("the boot got %+v", g)
	}
	id := g.Job.Spec.ID
	events := []job.Event{{Seq: 1, Job: id, Phase: job.PhaseErase, State: job.Started, Disk: "S1",
		Certificate: certificate(id, installed, job.EraseBegun)}}
	switch state {
	case job.Done:
		events = append(events, job.Event{Seq: 2, Job: id, Phase: job.PhaseVerify, State: job.Done,
			Certificate: certificate(id, installed, job.Erased)})
	case job.Failed:
		events = append(events, job.Event{Seq: 2, Job: id, Phase: job.PhaseErase, Level: job.Error, State: job.Failed,
			Message: "the disk does not answer any more", Certificate: certificate(id, installed, job.EraseFailed)})
	}
	if _, err := r.Append(r.t.Context(), Proof{g.Token, "ada"}, job.Events{Boot: boot, Events: events}); err != nil {
		r.t.Fatal(err)
	}
	return g.Job.Spec
}

func (r *room) orderErase(mac string) Job {
	r.t.Helper()
	_, j, err := r.Install(r.t.Context(), mac, Order{Kind: job.Erase, Erase: "S1", Level: job.Clear})
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// TestErase: a deployed machine erases the disk of its system. It boots the agent until that is done, then what a
// machine without a system boots, and it gets no job again. Its certificate stays with the job.
func TestErase(t *testing.T) {
	r := newRoom(t, Options{})
	was := r.deployed("ada", macA)
	j := r.orderErase(macA)
	if j.Spec.Kind != job.Erase || j.Spec.Erase != "S1" || j.Spec.Level != job.Clear || j.Spec.Disk != "" ||
		j.Spec.Image.Ref != "" {
		t.Errorf("the job is %+v", j.Spec)
	}
	r.want(macA, "erase pending", "web:1@amd64", netboot.Agent)
	r.erases(macA, was.Deployed.Job, job.Started)
	v := r.show(macA)
	if v.Status() != "erasing" || v.Machine.Deployed != nil || v.Machine.Service != nil {
		t.Errorf("the machine is %q, %+v", v.Status(), v.Machine)
	}
	if _, _, err := r.Install(t.Context(), macA, update()); !errors.Is(err, ErrInvalid) {
		t.Errorf("an update of a machine whose system is being erased: %v", err)
	}
	// A power cut: the next boot gets the same job, which names the disk that was begun.
	r.c.pass(2 * carrying)
	if boots(t, r.Fleet, macA) != netboot.Agent {
		t.Error("after a power cut it does not boot the agent")
	}
	if s := r.erases(macA, was.Deployed.Job, job.Done); s.ID != j.Spec.ID || s.Started != "S1" {
		t.Errorf("the next boot got %+v", s)
	}
	v = r.show(macA)
	if v.Status() != "erased" || boots(t, r.Fleet, macA) != netboot.Menu {
		t.Errorf("it is %q, and boots %v", v.Status(), boots(t, r.Fleet, macA))
	}
	c := v.Job.Certificate
	if c == nil || c.Result != job.Erased || c.Disk.Serial != "S1" || c.Machine != v.Machine.Name || c.Approved {
		t.Errorf("the certificate is %+v", c)
	}
	all, err := r.read(t.Context(), macA, 0, 1000)
	last := all[len(all)-1].Event
	if err != nil || last.Certificate == nil || last.Certificate.Machine != v.Machine.Name {
		t.Errorf("the journal ends with %+v, %v", last, err)
	}
	if g := prove(t, r.Fleet, "ada", uuid.NewString(), macA); g.Job != nil {
		t.Errorf("it gets the job again: %+v", g.Job)
	}
	// It may be installed again, and boots that.
	r.deployed("ada", macA)
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
}

// TestEraseOther: another disk is erased, and the system stays.
func TestEraseOther(t *testing.T) {
	r := newRoom(t, Options{})
	r.deployed("ada", macA)
	r.orderErase(macA)
	r.erases(macA, "", job.Done)
	r.want(macA, "deployed", "web:1@amd64", netboot.Local)
	r.orderErase(macA)
	r.erases(macA, "", job.Failed)
	r.want(macA, "erase failed", "web:1@amd64", netboot.Local)
}

// TestEraseFails: an erase that began and failed leaves no system either.
func TestEraseFails(t *testing.T) {
	for _, o := range []Options{{}, {Unknown: StartAgent}} {
		r := newRoom(t, o)
		was := r.deployed("ada", macA)
		r.orderErase(macA)
		r.erases(macA, was.Deployed.Job, job.Failed)
		v := r.show(macA)
		if v.Status() != "erase failed" || v.Job.Certificate.Result != job.EraseFailed ||
			boots(t, r.Fleet, macA) == netboot.Local {
			t.Errorf("it is %q, and boots %v", v.Status(), boots(t, r.Fleet, macA))
		}
	}
}

// TestEraseOrders: an order that does not name one disk, or that wants something of a system, is refused.
func TestEraseOrders(t *testing.T) {
	f := open(t, Options{})
	for name, o := range map[string]Order{
		"no name":         {Kind: job.Erase},
		"a blank name":    {Kind: job.Erase, Erase: "  "},
		"a rule":          {Kind: job.Erase, Erase: "S1", Disk: "largest"},
		"a rule alone":    {Kind: job.Erase, Disk: "largest"},
		"a long name":     {Kind: job.Erase, Erase: strings.Repeat("S", 257)},
		"an image":        {Kind: job.Erase, Erase: "S1", Image: job.Image{Ref: "web:1"}},
		"a host name":     {Kind: job.Erase, Erase: "S1", Hostname: "h"},
		"a reset":         {Kind: job.Erase, Erase: "S1", Reset: job.ResetHome},
		"a kernel option": {Kind: job.Erase, Erase: "S1", Args: []string{"quiet"}},
		"another level":   {Kind: job.Erase, Erase: "S1", Level: "destroy"},
	} {
		if _, _, err := f.Install(t.Context(), macA, o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := f.Install(t.Context(), macA, Order{Kind: job.Erase, Erase: "S1"}); err != nil {
		t.Fatal(err)
	}
	_, _, err := f.Install(t.Context(), macA, order())
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "erasing disk S1 is pending") {
		t.Errorf("another job meanwhile: %v", err)
	}
}

// TestEraseOfStrangers: what a machine reports of a job that is no erase makes no certificate, and ends no system.
func TestEraseOfStrangers(t *testing.T) {
	r := newRoom(t, Options{})
	was := r.deployed("ada", macA)
	if _, _, err := r.Install(t.Context(), macA, order()); err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	g := prove(t, r.Fleet, "ada", boot, macA)
	id := g.Job.Spec.ID
	if _, err := r.Append(t.Context(), Proof{g.Token, "ada"}, job.Events{Boot: boot, Events: []job.Event{{Seq: 1,
		Job:   id,
		State: job.Started, Disk: "S1", Certificate: certificate(id, was.Deployed.Job, job.EraseBegun)}}}); err != nil {
		t.Fatal(err)
	}
	if v := r.show(macA); v.Job.Certificate != nil || v.Machine.Deployed == nil {
		t.Errorf("%+v", v)
	}
}
