package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

const macThird = "52:54:00:00:00:0c"

// modelled is a deployed machine of a model.
func (r *room) modelled(key, mac, product string) {
	r.t.Helper()
	r.deployed(key, mac)
	h := hello("", uuid.NewString(), mac)
	h.Identity.Vendor, h.Identity.Product = "Dell Inc.", product
	if _, err := r.Hello(r.t.Context(), "10.0.0.9", key, h); err != nil {
		r.t.Fatal(err)
	}
}

// TestKexecFails: what does not work on one machine is not tried on others of its model, also with orders that they
// have already.
func TestKexecFails(t *testing.T) {
	r := newRoom(t, Options{})
	machines := map[string]string{"ada": macA, "ben": macB, "cyd": macThird}
	for key, mac := range machines {
		r.modelled(key, mac, map[string]string{"ada": "7090", "ben": "7090", "cyd": "3000"}[key])
		r.order(mac)
	}
	feature := []string{job.FeatureKexec}
	may := func(want map[string]bool) {
		t.Helper()
		for key, mac := range machines {
			live := r.checkIn(key, job.CheckIn{Kexec: r.show(mac).Machine.Kexec}).Job
			g := prove(t, r.Fleet, key, uuid.NewString(), mac)
			if live == nil || live.Spec.Kexec != want[key] || g.Job == nil || g.Job.Spec.Kexec != want[key] {
				t.Errorf("%s: the service gets %+v, a boot %+v, want kexec %t", key, live, g.Job, want[key])
			}
		}
	}
	may(map[string]bool{"ada": true, "ben": true, "cyd": true})
	failed := job.Kexec{Time: r.c.now(), Root: "web-2@amd64", Failed: true}
	for range 2 { // the same failure is one line of the journal
		r.checkIn("ada", job.CheckIn{Features: feature, Kexec: &failed})
	}
	if log := r.journal(macA); strings.Count(log, "web-2@amd64 did not come up by kexec: machines of its model (Dell "+
		"Inc. 7090)") != 1 {
		t.Errorf("the journal says\n%s", log)
	}
	no := map[string]bool{"ada": false, "ben": false, "cyd": true}
	may(no)
	// Neither an older service nor a new install, which have no record, make it forgotten.
	r.checkIn("ada", job.CheckIn{})
	may(no)
	r.c.pass(time.Hour)
	if _, err := r.Cancel(t.Context(), macA); err != nil {
		t.Fatal(err)
	}
	r.deployed("ada", macA)
	r.order(macA)
	r.checkIn("ada", job.CheckIn{Features: feature})
	may(no)
	// One that works does.
	r.checkIn("ada", job.CheckIn{Features: feature, Kexec: &job.Kexec{Time: r.c.now(), Root: "web-3@amd64"}})
	may(map[string]bool{"ada": true, "ben": true, "cyd": true})
	// So does a person who removes the record.
	failed.Time = r.c.now()
	r.checkIn("ada", job.CheckIn{Features: feature, Kexec: &failed})
	may(no)
	r.checkIn("ada", job.CheckIn{Features: feature})
	may(map[string]bool{"ada": true, "ben": true, "cyd": true})
}

// TestKexecShown: show names the machine because of which another one does not start by kexec, and a merge keeps what
// came of the newest start.
func TestKexecShown(t *testing.T) {
	r := newRoom(t, Options{})
	r.modelled("ada", macA, "7090")
	r.modelled("ben", macB, "7090")
	r.modelled("cyd", macThird, "3000")
	want := func(mac, name string) {
		t.Helper()
		if v := r.show(mac); v.KexecFailed != name {
			t.Errorf("of %s show says that kexec failed on %q, want %q", v.Machine.Name, v.KexecFailed, name)
		}
	}
	want(macA, "")
	failed := job.Kexec{Time: r.c.now(), Root: "web-2", Failed: true}
	r.checkIn("ada", job.CheckIn{Kexec: &failed})
	ada := r.show(macA).Machine.Name
	want(macA, ada)
	want(macB, ada)
	want(macThird, "")

	works := job.Kexec{Time: r.c.now().Add(time.Hour), Root: "web-3"}
	r.checkIn("cyd", job.CheckIn{Kexec: &works})
	for _, c := range []struct {
		into, from string
		want       job.Kexec
	}{{macB, macA, failed}, {macThird, macB, works}} {
		if m, err := r.Merge(t.Context(), c.into, c.from); err != nil || m.Kexec == nil || *m.Kexec != c.want {
			t.Errorf("Merge(%s, %s) = %+v, %v, want %+v", c.into, c.from, m.Kexec, err, c.want)
		}
	}
}

// A machine whose firmware does not say its model is a model of its own.
func TestKexecNoModel(t *testing.T) {
	r := newRoom(t, Options{})
	for key, mac := range map[string]string{"ada": macA, "ben": macB} {
		r.deployed(key, mac)
		r.order(mac)
	}
	a := r.checkIn("ada", job.CheckIn{Kexec: &job.Kexec{Time: r.c.now(), Root: "web-2", Failed: true}})
	if b := r.checkIn("ben", job.CheckIn{}); a.Job == nil || a.Job.Spec.Kexec || b.Job == nil || !b.Job.Spec.Kexec {
		t.Errorf("after a failure of ada's machine: %+v, %+v", a.Job, b.Job)
	}
}

func TestKexecPolicy(t *testing.T) {
	for policy, want := range map[Kexec][2]bool{"": {false, true}, KexecUpdates: {false, true},
		KexecAlways: {true, true}, KexecNever: {false, false}} {
		r := newRoom(t, Options{})
		r.deployed("ada", macA)
		r.Reconfigure(Options{Kexec: policy})
		if j := r.order(macA); j.Spec.Kexec != want[1] {
			t.Errorf("%q: an update has kexec %t", policy, j.Spec.Kexec)
		}
		if _, _, err := r.Install(t.Context(), macB, order()); err != nil {
			t.Fatal(err)
		}
		if g := prove(t, r.Fleet, "ben", uuid.NewString(), macB); g.Job == nil || g.Job.Spec.Kexec != want[0] {
			t.Errorf("%q: an install is %+v", policy, g.Job)
		}
		relay := order()
		relay.Kind, relay.Disk = job.Relay, ""
		if _, j, err := r.Install(t.Context(), macThird, relay); err != nil || j.Spec.Kexec {
			t.Errorf("%q: a relay is %+v, %v", policy, j, err)
		}
	}
}
