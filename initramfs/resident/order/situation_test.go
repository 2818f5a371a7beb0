package order

import (
	"strings"
	"testing"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool/history"
)

// What the server hears of an update, from the order to the end.
func TestJob(t *testing.T) {
	o := orderOf(one, "web:2@amd64")
	switched := &Result{Job: one, Root: "new", State: Switched, Phase: job.PhaseSwitch, Boot: "b1"}
	event := func(kind history.Kind, root string) history.Event {
		return history.Event{Kind: kind, Root: root, Reason: "web.service failed"}
	}
	made := event(history.Made, "new")
	for _, c := range []struct {
		name  string
		s     Situation
		state job.State // "" for no report
		phase job.Phase
		says  string
	}{
		{"nothing", Situation{}, "", "", ""},
		{"it has the order", Situation{Waiting: &o}, job.Started, job.PhaseCheck, "has the order"},
		{"it works", Situation{Waiting: &o, Progress: &Progress{Job: one, Phase: job.PhaseVerify, Message: "looking"}},
			job.Started, job.PhaseVerify, "looking"},
		{"progress of another one", Situation{Waiting: &o, Progress: &Progress{Job: two, Phase: job.PhaseVerify}},
			job.Started, job.PhaseCheck, ""},
		{"it failed", Situation{Result: &Result{Job: one, State: Failed, Phase: job.PhaseReceive, Message: "no space"}},
			job.Failed, job.PhaseReceive, "no space"},
		{"the server knows the end", Situation{Result: switched, Reported: Reported{Job: one}}, "", "", ""},
		{"it waits for a restart", Situation{Result: switched, Boot: "b1", Root: "old",
			History: []history.Event{made}}, job.Started, job.PhaseSwitch, "the next start of the machine takes new"},
		{"it just restarted to the old one", Situation{Result: switched, Boot: "b2", Root: "old", Up: time.Minute,
			History: []history.Event{made}}, job.Started, job.PhaseSwitch, "runs old"},
		{"it stays with the old one", Situation{Result: switched, Boot: "b2", Root: "old", Up: time.Hour,
			History: []history.Event{made}}, job.Failed, job.PhaseSwitch, "runs old, not new"},
		{"a person started the old one in the menu", Situation{Result: switched, Boot: "b2", Root: "old", Up: time.Hour,
			Roots: []job.Root{{Name: "old", Runs: true}, {Name: "new", Next: true}}, History: []history.Event{made}},
			job.Started, job.PhaseSwitch, "the next start of the machine takes new"},
		{"the new one has no try left", Situation{Result: switched, Boot: "b2", Root: "old", Up: time.Hour,
			Roots: []job.Root{{Name: "old", Runs: true, Next: true}, {Name: "new"}}, History: []history.Event{made}},
			job.Failed, job.PhaseSwitch, "runs old, not new"},
		{"on trial", Situation{Result: switched, Boot: "b2", Root: "new", Up: time.Hour,
			History: []history.Event{event(history.Blessed, "new"), made}}, job.Started, job.PhaseSwitch, "on trial"},
		{"blessed", Situation{Result: switched, Boot: "b2", Root: "new",
			History: []history.Event{made, event(history.Blessed, "new")}}, job.Done, job.PhaseSwitch, "runs new"},
		{"fell back", Situation{Result: switched, Boot: "b3", Root: "old",
			History: []history.Event{made, event(history.Failed, "new")}}, job.Failed, job.PhaseSwitch,
			"runs old again: web.service failed"},
		{"a person took it back", Situation{Result: switched, Boot: "b1", Root: "old",
			History: []history.Event{made, event(history.RolledBack, "old")}}, job.Failed, job.PhaseSwitch, "a person"},
		{"a person took it back, and it restarted", Situation{Result: switched, Boot: "b2", Root: "old",
			History: []history.Event{made, event(history.RolledBack, "old")}}, job.Failed, job.PhaseSwitch, "a person"},
		{"it had this image already", Situation{Result: &Result{Job: one, Root: "old", State: Current}, Root: "old"},
			job.Done, "", "runs old"},
		{"the power was cut after the switch", Situation{Result: &Result{Job: one, Root: "new", State: Current},
			Root: "new", History: []history.Event{made}}, job.Started, "", "on trial"},
	} {
		r := c.s.Job()
		if r == nil {
			r = &job.JobReport{}
		} else if r.ID != one {
			t.Errorf("%s: the report is of %q", c.name, r.ID)
		}
		if r.State != c.state || r.Phase != c.phase || !strings.Contains(r.Message, c.says) {
			t.Errorf("%s: the server hears %+v, want %s in %s with %q", c.name, r, c.state, c.phase, c.says)
		}
		ended := c.state == job.Done || c.state == job.Failed
		if heard := c.s.Heard(); ended && heard.Job != one || !ended && heard.Job != c.s.Reported.Job {
			t.Errorf("%s: then the server has heard %+v", c.name, heard)
		}
	}
}

// The server hears of each fallback once, and of the newest one only.
func TestFell(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	s := Situation{Result: &Result{Job: one, Root: "new"}, History: []history.Event{
		{Time: at, Kind: history.Failed, Root: "older"},
		{Time: at.Add(time.Hour), Kind: history.Failed, Root: "new", Image: "web-2", Reason: "why",
			Lines: []string{"x"}},
		{Time: at.Add(2 * time.Hour), Kind: history.Blessed, Root: "old"},
	}}
	f := s.Fell()
	if f == nil || f.Root != "new" || f.Job != one || f.Image != "web-2" || f.Reason != "why" || len(f.Lines) != 1 ||
		!f.Time.Equal(at.Add(time.Hour)) {
		t.Errorf("Fell() = %+v", f)
	}
	s.Reported = s.Heard()
	if f := s.Fell(); f != nil {
		t.Errorf("then Fell() = %+v", f)
	}
	s.Result, s.History, s.Reported = nil, s.History[:1], Reported{}
	if f := s.Fell(); f == nil || f.Root != "older" || f.Job != "" {
		t.Errorf("without an order Fell() = %+v", f)
	}
	if f := (Situation{}).Fell(); f != nil {
		t.Errorf("without a history Fell() = %+v", f)
	}
}

func TestNext(t *testing.T) {
	o, spec := orderOf(one, "web:2@amd64"), orderOf(two, "web:3@amd64").Spec
	for _, c := range []struct {
		name string
		s    Situation
		out  job.CheckedIn
		want Action
	}{
		{"nothing", Situation{}, job.CheckedIn{}, Stay},
		{"an order", Situation{}, job.CheckedIn{Job: &spec}, Take},
		{"the order that waits", Situation{Waiting: &o}, job.CheckedIn{Job: &o.Spec}, Stay},
		{"another order", Situation{Waiting: &o}, job.CheckedIn{Job: &spec, Cancelled: true}, Take},
		{"one that ended", Situation{Result: &Result{Job: two}}, job.CheckedIn{Job: &spec}, Stay},
		{"the next one", Situation{Result: &Result{Job: one}}, job.CheckedIn{Job: &spec}, Take},
		{"cancelled", Situation{Waiting: &o}, job.CheckedIn{Cancelled: true}, Forget},
		{"cancelled, and ended here", Situation{Result: &Result{Job: one}}, job.CheckedIn{Cancelled: true}, Stay},
		{"an older server", Situation{Waiting: &o}, job.CheckedIn{}, Stay},
	} {
		if got := c.s.Next(c.out); got != c.want {
			t.Errorf("%s: Next() = %d, want %d", c.name, got, c.want)
		}
	}
}
