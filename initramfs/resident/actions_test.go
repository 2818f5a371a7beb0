package resident

import (
	"slices"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/resident/order"
)

// TestAction: an action of the server waits for the unit, beside an update that waits for a restart, and goes when the
// server takes it back; one that this program does not know is refused.
func TestAction(t *testing.T) {
	s := newServer(t)
	o := machine(t, s)
	o.Updates = func() bool { return true }
	files := order.Open(o.Dir, o.Run)
	if err := files.End(order.Result{Job: updateJob, Root: "web-2", State: order.Switched, Phase: job.PhaseSwitch,
		Boot: order.Boot()}); err != nil {
		t.Fatal(err)
	}
	const id = "11111111-1111-4111-8111-111111111111"
	s.job = &job.Spec{ID: id, Kind: job.Reboot}
	checkIn := func() job.CheckIn {
		t.Helper()
		s.got = nil
		if _, err := rounds(t, o, 1); err != nil || len(s.got) != 1 {
			t.Fatalf("the server got %+v, %v", s.got, err)
		}
		return s.got[0]
	}
	if got := checkIn(); got.Action != nil || !slices.Contains(got.Features, job.FeatureReboot) {
		t.Errorf("before the order the server got %+v", got)
	}
	if w, err := files.Waiting(); err != nil || w == nil || w.Spec.Kind != job.Reboot {
		t.Fatalf("the order is %+v, %v", w, err)
	}
	got := checkIn()
	if got.Action == nil || got.Action.ID != id || got.Action.State != job.Started || got.Job == nil ||
		got.Job.ID != updateJob {
		t.Errorf("with the order the server got %+v and %+v", got.Action, got.Job)
	}
	files.Tell(order.Progress{Job: id, Phase: job.PhaseRestart})
	if got := checkIn(); got.Action.Phase != job.PhaseRestart || files.Reported().Restarts != id {
		t.Errorf("before the restart the server got %+v, and has heard %+v", got.Action, files.Reported())
	}
	s.job, s.over = nil, true
	checkIn()
	if w, err := files.Waiting(); err != nil || w != nil {
		t.Errorf("after it was cancelled the order is %+v, %v", w, err)
	}
	s.job, s.over = &job.Spec{ID: id, Kind: "format"}, false
	if _, err := rounds(t, o, 2); err != nil || !strings.Contains(s.got[len(s.got)-1].Trouble, `"format"`) {
		t.Errorf("an unknown action: the server got %+v, %v", s.got, err)
	}
	if w, err := files.Waiting(); err != nil || w != nil {
		t.Errorf("the unknown action is %+v, %v", w, err)
	}
}
