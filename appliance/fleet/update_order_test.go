package fleet

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/netboot"
)

// TestOrderUpdate: who gets no update.
func TestOrderUpdate(t *testing.T) {
	r := newRoom(t, Options{})
	ctx := t.Context()
	if _, _, err := r.Install(ctx, macB, update()); !errors.Is(err, ErrUnknown) {
		t.Errorf("an update of a machine that was never seen = %v, want ErrUnknown", err)
	}
	prove(t, r.Fleet, "bob", uuid.NewString(), macB)
	if _, _, err := r.Install(ctx, macB, update()); !errors.Is(err, ErrInvalid) ||
		!strings.Contains(err.Error(), "install it with `griddle machine install`") {
		t.Errorf("an update of a machine without a system = %v", err)
	}
	if _, err := r.Home(ctx, homeOf(t, r.Fleet, "bob", macB), job.HomeReport{Hostname: "h"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Install(ctx, macB, update()); !errors.Is(err, ErrInvalid) ||
		!strings.Contains(err.Error(), "install it again; /home and /persistent stay") {
		t.Errorf("an update of a system without a service = %v", err)
	}
	r.deployed("ada", macA)
	for _, o := range []Order{{Kind: job.Update}, {Kind: job.Update, Image: update().Image, Disk: "largest"},
		{Kind: job.Update, Image: update().Image, When: "soon"}} {
		if _, _, err := r.Install(ctx, macA, o); !errors.Is(err, ErrInvalid) {
			t.Errorf("Install(%+v) = %v, want ErrInvalid", o, err)
		}
	}
	first := r.order(macA)
	log := r.journal(macA)
	same := update()
	same.Image.Streams = []job.Stream{{Document: "sha256:9"}} // there is a delta by now
	if _, j, err := r.Install(ctx, macA, same); err != nil || j.Spec.ID != first.Spec.ID || r.journal(macA) != log {
		t.Errorf("the same update again = %+v, %v, want the first one", j, err)
	}
	for name, change := range map[string]func(o *Order){
		"another image":     func(o *Order) { o.Image.Ref, o.Image.Document = "web:3@amd64", "sha256:3" },
		"another document":  func(o *Order) { o.Image.Document = "sha256:3" },
		"another kernel":    func(o *Order) { o.Kernel.Ref = "griddle/kernel:6@amd64" },
		"another name":      func(o *Order) { o.Asked = "web:2" },
		"another time":      func(o *Order) { o.When = job.WhenReboot },
		"also older images": func(o *Order) { o.AllowOlder = true },
		"an install":        func(o *Order) { *o = order() },
	} {
		o := update()
		change(&o)
		if _, _, err := r.Install(ctx, macA, o); !errors.Is(err, ErrBusy) {
			t.Errorf("a second job, for %s = %v, want ErrBusy", name, err)
		}
	}
	o := update()
	o.Replace = true
	if _, j, err := r.Install(ctx, macA, o); err != nil || j.Spec.ID == first.Spec.ID {
		t.Errorf("a second update with Replace = %+v, %v", j, err)
	}
}

// TestOldBootImage: an agent that knows no updates gets none, and the machine then boots its disk.
func TestOldBootImage(t *testing.T) {
	r := newRoom(t, Options{})
	r.deployed("ada", macA)
	j := r.order(macA)
	g := prove(t, r.Fleet, "ada", uuid.NewString(), macA)
	for range 2 {
		if err := r.TooOld(t.Context(), Proof{g.Token, "ada"}, j.Spec.ID, "updates"); err != nil {
			t.Fatal(err)
		}
	}
	r.want(macA, "update pending", "web:1@amd64", netboot.Local)
	if got := r.journal(macA); strings.Count(got, "the boot image is too old for updates") != 1 {
		t.Errorf("the journal is\n%s", got)
	}
	if a := r.checkIn("ada", job.CheckIn{}); a.Job == nil {
		t.Error("the service does not get the update")
	}
}

// TestAskUpdate: a machine asks for its own update, after operators' jobs, and one at a time.
func TestAskUpdate(t *testing.T) {
	r := newRoom(t, Options{})
	ctx := t.Context()
	r.deployed("ada", macA)
	if _, _, err := r.AskUpdate(ctx, "eve", update()); !errors.Is(err, ErrKey) {
		t.Errorf("AskUpdate() with another key = %v, want ErrKey", err)
	}
	_, first, err := r.AskUpdate(ctx, "ada", update())
	if err != nil || first.Origin != Resident {
		t.Fatalf("AskUpdate() = %+v, %v", first, err)
	}
	if _, again, err := r.AskUpdate(ctx, "ada", update()); err != nil || again.Spec.ID != first.Spec.ID {
		t.Errorf("AskUpdate() again = %+v, %v", again, err)
	}
	r.want(macA, "update pending", "web:1@amd64", netboot.Local) // it changes nothing that the machine boots
	other := update()
	other.Image.Ref = "web:3@amd64"
	_, second, err := r.AskUpdate(ctx, "ada", other)
	if err != nil || second.Spec.ID == first.Spec.ID {
		t.Errorf("AskUpdate() of another image = %+v, %v", second, err)
	}
	if a := r.checkIn("ada", job.CheckIn{}); a.Job == nil || a.Job.Spec.ID != second.Spec.ID {
		t.Errorf("CheckIn() = %+v, want the second one", a.Job)
	}
	for i := range 300 { // of which only some are kept
		other.Image.Ref = fmt.Sprintf("web:%d@amd64", i+10)
		if _, _, err := r.AskUpdate(ctx, "ada", other); err != nil {
			t.Fatal(err)
		}
	}
	if _, jobs, err := r.Show(ctx, macA); err != nil || len(jobs) > maxJobs+3 {
		t.Errorf("the machine has %d jobs, %v", len(jobs), err)
	}
	j := r.order(macA)
	if _, got, err := r.AskUpdate(ctx, "ada", update()); err != nil || got.Spec.ID != j.Spec.ID {
		t.Errorf("AskUpdate() with an operator's update = %+v, %v, want that", got, err)
	}
	if _, _, err := r.Install(ctx, macA, Order{Image: order().Image, Disk: "largest", Replace: true}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.AskUpdate(ctx, "ada", update()); !errors.Is(err, ErrBusy) {
		t.Errorf("AskUpdate() with an operator's install = %v, want ErrBusy", err)
	}
}

// TestReinstalledAtTheScreen: what the old system asked for does not go to the new one.
func TestReinstalledAtTheScreen(t *testing.T) {
	r := newRoom(t, Options{})
	ctx := t.Context()
	r.deployed("ada", macA)
	if _, _, err := r.AskUpdate(ctx, "ada", update()); err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	p := Proof{prove(t, r.Fleet, "bob", boot, macA).Token, "bob"}
	j, _, err := r.Choose(ctx, p, order())
	if err != nil {
		t.Fatal(err)
	}
	if a := r.checkIn("ada", job.CheckIn{}); a.Job == nil {
		t.Error("a choice on the screen ends the update of the machine")
	}
	if _, err := r.Append(ctx, p, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S2"},
		{Seq: 2, Job: j.Spec.ID, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
	if a := r.checkIn("bob", job.CheckIn{}); a.Job != nil {
		t.Errorf("the new system gets %+v", a.Job)
	}
	if j := r.order(macA); j.Spec.Pool != "" {
		t.Errorf("the update names the pool %s of the system before", j.Spec.Pool)
	}
	if got := r.journal(macA); !strings.Contains(got, "the system that asked for it was replaced by an install") {
		t.Errorf("the journal is\n%s", got)
	}
}

// TestServiceSettings: settings with secrets are for a key that an operator approved, also for an installed system.
func TestServiceSettings(t *testing.T) {
	r := newRoom(t, Options{})
	ctx := t.Context()
	r.deployed("ada", macA)
	j := r.order(macA)
	p := Proof{Key: "ada"}
	if a, err := r.Asking(ctx, p); err != nil || a.Own.Spec.ID != j.Spec.ID || a.MAC != macA {
		t.Errorf("Asking() = %+v, %v", a, err)
	}
	for range 2 {
		if s, err := r.Give(ctx, p, j.Spec.ID, false); err != nil || s.State != job.Ready {
			t.Errorf("Give() without secrets = %+v, %v", s, err)
		}
	}
	if n := strings.Count(r.journal(macA), "gets its settings"); n != 1 {
		t.Errorf("the journal says %d times that the settings were given", n)
	}
	if _, err := r.Give(ctx, p, j.Spec.ID, true); !errors.Is(err, ErrWeakKey) ||
		!strings.Contains(err.Error(), "griddle machine approve") {
		t.Errorf("Give() with secrets to a weak key = %v, want ErrWeakKey", err)
	}
	g := prove(t, r.Fleet, "ada", uuid.NewString(), macA)
	if s, err := r.Give(ctx, Proof{g.Token, "ada"}, j.Spec.ID, true); err != nil || s.State != job.Waiting {
		t.Fatalf("Give() to a boot = %+v, %v", s, err)
	} else if _, err := r.Approve(ctx, macA, s.Code); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Give(ctx, p, j.Spec.ID, true); err != nil || s.State != job.Ready {
		t.Errorf("Give() with secrets to an approved key = %+v, %v", s, err)
	}
}
