package fleet

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// TestComing: a service that asks for a stream learns which others will ask for the same, and how long they may take.
func TestComing(t *testing.T) {
	r := newRoom(t, Options{CheckIn: 2 * time.Minute})
	const macC, macD, call = "52:54:00:00:00:0c", "52:54:00:00:00:0d", 10 * time.Second
	boot := uuid.NewString()
	names := map[string]string{}
	for key, mac := range map[string]string{"ada": macA, "bob": macB, "cyd": macC, "dan": macD} {
		names[r.deployed(key, mac).Name] = key
	}
	for _, key := range []string{"ada", "bob", "cyd", "dan"} {
		r.checkIn(key, job.CheckIn{Root: "@roots/web-1", Boot: boot})
	}
	asks := func(key string, same int, patience time.Duration, coming ...string) {
		t.Helper()
		a, err := r.Streaming(t.Context(), Proof{Key: key})
		var got []string
		for _, name := range a.Coming {
			got = append(got, names[name])
		}
		slices.Sort(got)
		if err != nil || a.Same != same || a.Patience != patience || a.Relay || !slices.Equal(got, coming) {
			t.Errorf("%s learns that %q come within %v, and %d want it, %v; want %q within %v, and %d", key, got,
				a.Patience, a.Same, err, coming, patience, same)
		}
	}
	jobs := map[string]Job{}
	for key, mac := range map[string]string{"ada": macA, "bob": macB, "cyd": macC} {
		jobs[key] = r.order(mac)
	}
	// The last of them was heard five seconds ago, and its clock has a quarter of the interval more.
	asks("ada", 3, 150*time.Second-5*time.Second+call+askTime, "bob", "cyd")
	asks("bob", 2, 150*time.Second-5*time.Second+call+askTime, "cyd")
	asks("ada", 2, 150*time.Second-5*time.Second+call+askTime, "cyd")
	// One that receives or has failed does not come any more.
	r.checkIn("cyd", job.CheckIn{Job: &job.JobReport{ID: jobs["cyd"].Spec.ID, State: job.Failed, Message: "x"}})
	asks("ada", 1, askTime)
	// One that is late is off.
	r.order(macD)
	r.c.pass(3 * time.Minute)
	asks("ada", 1, askTime)
	// One whose interval is long is not waited for.
	r.Reconfigure(Options{CheckIn: time.Hour})
	r.checkIn("dan", job.CheckIn{Root: "@roots/web-1", Boot: boot})
	asks("ada", 1, askTime)
}

// TestComingCannot: a machine whose service cannot carry out updates does not come.
func TestComingCannot(t *testing.T) {
	r := newRoom(t, Options{})
	r.deployed("ada", macA)
	r.deployed("bob", macB)
	r.order(macA)
	r.order(macB)
	for _, c := range []struct {
		features []string
		coming   int
	}{{nil, 0}, {[]string{job.FeatureKernel}, 0}, {[]string{job.FeatureUpdate}, 1}} {
		r.c.pass(5 * time.Second)
		in := job.CheckIn{Root: "@roots/web-1", Features: c.features}
		if _, err := r.CheckIn(t.Context(), "10.0.0.7", "bob", in); err != nil {
			t.Fatal(err)
		}
		if a, err := r.Streaming(t.Context(), Proof{Key: "ada"}); err != nil || len(a.Coming) != c.coming {
			t.Errorf("with the features %q of the other one: %+v, %v, want %d coming", c.features, a, err, c.coming)
		}
	}
}

// TestComingHasIt: a machine that has the image already does not come.
func TestComingHasIt(t *testing.T) {
	r := newRoom(t, Options{})
	r.deployed("ada", macA)
	r.deployed("bob", macB)
	r.order(macA)
	j := r.order(macB)
	for _, c := range []struct {
		phase job.Phase
		same  int
	}{{"", 2}, {job.PhaseCheck, 2}, {job.PhaseReceive, 1}, {job.PhaseVerify, 1}, {job.PhaseSwitch, 1}} {
		if c.phase != "" {
			r.checkIn("bob", job.CheckIn{Job: &job.JobReport{ID: j.Spec.ID, State: job.Started, Phase: c.phase}})
		}
		if a, err := r.Streaming(t.Context(), Proof{Key: "ada"}); err != nil || a.Same != c.same ||
			len(a.Coming) != c.same-1 {
			t.Errorf("while the other one is in phase %q: %+v, %v, want %d", c.phase, a, err, c.same)
		}
	}
}
