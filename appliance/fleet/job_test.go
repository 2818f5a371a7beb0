package fleet

import (
	"errors"
	"testing"
	"time"

	"griddle/appliance/job"
)

func TestApply(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	pending := Job{Origin: Operator, State: job.Pending}
	started := Job{State: job.Started, Spec: job.Spec{Started: "S1"}}
	for _, c := range []struct {
		name  string
		job   Job
		event job.Event
		state job.State
		disk  string
		err   error
	}{
		{"nothing", pending, job.Event{Phase: job.PhaseCheck}, job.Pending, "", nil},
		{"begin", pending, job.Event{State: job.Started, Disk: "S1"}, job.Started, "S1", nil},
		{"begin on no disk", pending, job.Event{State: job.Started}, job.Failed, "", ErrOtherDisk},
		{"refused before beginning", pending, job.Event{State: job.Failed, Message: "disk bears data"},
			job.Failed, "", nil},
		{"done without beginning", pending, job.Event{State: job.Done}, job.Failed, "", ErrOtherDisk},
		{"taken back by the agent", pending, job.Event{State: job.Cancelled}, job.Cancelled, "", nil},
		{"resume on its disk", started, job.Event{State: job.Started, Disk: "S1"}, job.Started, "S1", nil},
		{"resume on another disk", started, job.Event{State: job.Started, Disk: "S2"}, job.Failed, "S1", ErrOtherDisk},
		{"done", started, job.Event{State: job.Done}, job.Done, "S1", nil},
		{"failed", started, job.Event{State: job.Failed}, job.Failed, "S1", nil},
		{"unknown state", started, job.Event{State: "exploded"}, job.Started, "S1", errUnknownState},
		{"back to pending", started, job.Event{State: job.Pending}, job.Started, "S1", nil},
		{"done twice", Job{State: job.Done}, job.Event{State: job.Done}, job.Done, "", nil},
		{"failed after done", Job{State: job.Done}, job.Event{State: job.Failed}, job.Done, "", ErrOver},
		{"begin after cancel", Job{State: job.Cancelled}, job.Event{State: job.Started, Disk: "S1"},
			job.Cancelled, "", ErrOver},
		{"progress after cancel", Job{State: job.Cancelled}, job.Event{Phase: job.PhaseReceive},
			job.Cancelled, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.job.Apply(c.event, now)
			if got.State != c.state || got.Spec.Started != c.disk || !errors.Is(err, c.err) ||
				(err == nil) != (c.err == nil) {
				t.Errorf("Apply(%+v) = %s on %q, %v, want %s on %q, %v", c.event, got.State, got.Spec.Started, err,
					c.state, c.disk, c.err)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	for state, want := range map[job.State]error{job.Pending: nil, job.Started: nil, job.Done: ErrOver,
		job.Failed: ErrOver, job.Cancelled: ErrOver} {
		if _, err := (Job{State: state}).Cancel(time.Time{}); !errors.Is(err, want) {
			t.Errorf("Cancel() of a job that is %s = %v, want %v", state, err, want)
		}
	}
}

func TestDecide(t *testing.T) {
	wrote := func(s job.State) Job { return Job{Origin: Operator, State: s, Spec: job.Spec{Started: "S1"}} }
	screen := func(s job.State) Job { return Job{Origin: Screen, State: s, Spec: job.Spec{Started: "S1"}} }
	for _, c := range []struct {
		name   string
		policy Policy
		jobs   []Job // the newest first
		want   string
	}{
		{"unknown, menu", OfferMenu, nil, "menu"},
		{"unknown, agent", StartAgent, nil, "agent"},
		{"unknown, local", BootLocal, nil, "local"},
		{"pending", BootLocal, []Job{{Origin: Operator, State: job.Pending}}, "agent"},
		{"started", BootLocal, []Job{wrote(job.Started)}, "agent"},
		{"done", StartAgent, []Job{wrote(job.Done)}, "local"},
		{"done before, now refused untouched", StartAgent,
			[]Job{{Origin: Operator, State: job.Failed}, wrote(job.Done)}, "local"},
		{"done before, then ruined", OfferMenu, []Job{wrote(job.Failed), wrote(job.Done)}, "menu"},
		{"cancelled half way", OfferMenu, []Job{wrote(job.Cancelled)}, "menu"},
		{"chosen at a screen", BootLocal, []Job{screen(job.Pending)}, "local"},
		{"chosen at a screen and begun", OfferMenu, []Job{screen(job.Started)}, "menu"},
		{"begun at a screen, deployed before", OfferMenu, []Job{screen(job.Started), wrote(job.Done)}, "local"},
		{"failed at a screen, deployed before", OfferMenu, []Job{screen(job.Failed), wrote(job.Done)}, "local"},
		{"done at a screen", OfferMenu, []Job{screen(job.Done)}, "menu"},
		{"done at a screen, where the agent starts", StartAgent, []Job{screen(job.Done)}, "menu"},
		{"begun at a screen, ordered", OfferMenu,
			[]Job{screen(job.Started), {Origin: Operator, State: job.Pending}}, "agent"},
		{"done before, new one pending", OfferMenu,
			[]Job{{Origin: Operator, State: job.Pending}, wrote(job.Done)}, "agent"},
	} {
		got := []string{"menu", "local", "agent"}[decide(c.policy, c.jobs)]
		if got != c.want {
			t.Errorf("decide(%s) = %s, want %s", c.name, got, c.want)
		}
	}
}
