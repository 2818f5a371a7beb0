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

// TestResume: an install that divided disks and failed, or was cancelled, is the same job again, with its records.
func TestResume(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	refused := func(why string, want error, says string) {
		t.Helper()
		if _, _, err := f.Resume(ctx, macA); !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("Resume() of %s = %v, want %v", why, err, want)
		}
	}
	refused("a machine that is not known", ErrUnknown, macA)
	_, j, err := f.Install(ctx, macA, laid())
	if err != nil {
		t.Fatal(err)
	}
	refused("a job that waits", ErrBusy, "is pending")
	boot := uuid.NewString()
	g := say(t, f, "10.0.0.9", "", boot, macA)
	seq := uint64(0)
	report := func(id string, state job.State) {
		t.Helper()
		seq++
		send(t, f, g, boot, job.Event{Seq: seq, Job: id, State: state, Disk: "S1", Message: string(state)})
	}
	report(j.Spec.ID, job.Started)
	keep(t, f, g, j.Spec.ID, `{"step":1}`, `{"step":2}`)
	for i, end := range []func(){func() { report(j.Spec.ID, job.Failed) }, func() { must(f.Cancel(ctx, macA)) }} {
		if end(); boots(t, f, macA) == netboot.Agent {
			t.Errorf("after its end the job starts the agent")
		}
		_, again, err := f.Resume(ctx, macA)
		if s := again.Spec; err != nil || s.ID != j.Spec.ID || string(s.Layout) != written || s.Plan != hashA ||
			again.State != job.Pending || s.Started != "S1" {
			t.Fatalf("Resume() = %+v, %v, want the same job", again, err)
		}
		if boots(t, f, macA) != netboot.Agent {
			t.Error("the job that is resumed does not start the agent")
		}
		boot, seq = uuid.NewString(), 0
		g = say(t, f, "10.0.0.9", "", boot, macA)
		if g.Job == nil || g.Job.Spec.ID != j.Spec.ID {
			t.Fatalf("the next boot gets %+v", g.Job)
		}
		report(j.Spec.ID, job.Started)
		keep(t, f, g, j.Spec.ID, fmt.Sprintf(`{"step":%d}`, 3+i))
	}
	if got := strings.Join(kept(t, f, g, j.Spec.ID, 1<<20), " "); got != `{"step":1} {"step":2} {"step":3} {"step":4}` {
		t.Errorf("the records are %s", got)
	}
	report(j.Spec.ID, job.Done)
	refused("a job that is done", ErrInvalid, "did not finish")
}

// TestResumeTheLast: only the last job that wrote to a disk counts, and what was chosen at the screen is an operator's
// job from then on.
func TestResumeTheLast(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	boot := uuid.NewString()
	g := say(t, f, "10.0.0.9", "", boot, macA)
	j, _, err := f.Choose(ctx, g.proof(), laid())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Resume(ctx, macA); !errors.Is(err, ErrBusy) {
		t.Errorf("Resume() of what the screen carries out = %v, want ErrBusy", err)
	}
	keep(t, f, g, j.Spec.ID, `{"step":1}`)
	send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Failed})
	m, again, err := f.Resume(ctx, macA)
	if err != nil || again.Spec.ID != j.Spec.ID || again.Origin != Operator || m.Rank != Ordered {
		t.Fatalf("Resume() = %+v, %v", again, err)
	}
	boot = uuid.NewString()
	if g = say(t, f, "10.0.0.8", "", boot, macA); g.Job == nil {
		t.Fatal("another boot does not get the job")
	}
	if _, err := f.Cancel(ctx, macA); err != nil {
		t.Fatal(err)
	}
	// An install without a layout that began and failed: what the records say is not so any more.
	_, other, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	send(t, f, g, boot, job.Event{Seq: 1, Job: other.Spec.ID, State: job.Started, Disk: "S1"},
		job.Event{Seq: 2, Job: other.Spec.ID, State: job.Failed})
	if _, _, err := f.Resume(ctx, macA); !errors.Is(err, ErrInvalid) {
		t.Errorf("Resume() after another install = %v, want ErrInvalid", err)
	}
}
