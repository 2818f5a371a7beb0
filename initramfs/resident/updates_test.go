package resident

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/pool/history"
	"griddle/initramfs/resident/order"
)

const updateJob = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// TestUpdate: an order of the server waits for the unit, what the unit does and what comes of it goes to the server,
// and the end of it until the server has heard it.
func TestUpdate(t *testing.T) {
	s := newServer(t)
	o := machine(t, s)
	o.Updates = func() bool { return true }
	files := order.Open(o.Dir, o.Run)
	s.job = &job.Spec{ID: updateJob, Kind: job.Update, Image: job.Image{Ref: "web:2@amd64"}, When: job.WhenReboot}
	checkIn := func() job.CheckIn {
		t.Helper()
		s.got = nil
		if _, err := rounds(t, o, 1); err != nil || len(s.got) != 1 {
			t.Fatalf("the server got %+v, %v", s.got, err)
		}
		return s.got[0]
	}
	if got := checkIn(); got.Job != nil || len(got.Features) == 0 || got.Features[0] != job.FeatureUpdate {
		t.Errorf("before the order the server got %+v", got)
	}
	w, err := files.Waiting()
	if err != nil || w == nil || w.Spec.ID != updateJob || w.Spec.When != job.WhenReboot {
		t.Fatalf("the order is %+v, %v", w, err)
	}
	if got := checkIn(); got.Job == nil || got.Job.State != job.Started || got.Job.ID != updateJob {
		t.Errorf("with the order the server got %+v", got.Job)
	}
	files.Tell(order.Progress{Job: updateJob, Phase: job.PhaseReceive, Progress: &job.Progress{Done: 1, Total: 4}})
	if got := checkIn(); got.Job.Phase != job.PhaseReceive || got.Job.Progress.Percent() != 25 {
		t.Errorf("while it receives the server got %+v", got.Job)
	}
	err = errors.Join(files.TellRoots([]job.Root{{Name: "web", Runs: true}, {Name: "web-2", Next: true}}), files.End(
		order.Result{Job: updateJob, Root: "web-2", State: order.Switched, Phase: job.PhaseSwitch, Boot: order.Boot()}))
	if err != nil {
		t.Fatal(err)
	}
	if got := checkIn(); got.Job.State != job.Started || got.Job.Phase != job.PhaseSwitch || len(got.Roots) != 2 {
		t.Errorf("after the switch the server got %+v, %+v", got.Job, got.Roots)
	}
	dir, err := os.OpenRoot(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := history.Append(dir, history.Event{Kind: history.Failed, Root: "web-2", Image: "web-2",
		Reason: "web.service failed", Lines: []string{"no such file"}}); err != nil {
		t.Fatal(err)
	}
	s.status = 503
	checkIn() // the server does not take it
	s.status = 0
	got := checkIn()
	if got.Job == nil || got.Job.State != job.Failed || !strings.Contains(got.Job.Message, "web.service failed") ||
		got.Fell == nil || got.Fell.Job != updateJob || got.Fell.Lines[0] != "no such file" {
		t.Errorf("after the fallback the server got %+v and %+v", got.Job, got.Fell)
	}
	if got := checkIn(); got.Job != nil || got.Fell != nil {
		t.Errorf("once it has heard the server got %+v and %+v", got.Job, got.Fell)
	}
	if w, err := files.Waiting(); w != nil || err != nil {
		t.Errorf("an order that is over waits again: %+v, %v", w, err)
	}
}

// A cancelled order goes, and a system without the units takes none and does not say that it could.
func TestUpdateRefused(t *testing.T) {
	s := newServer(t)
	o := machine(t, s)
	files := order.Open(o.Dir, o.Run)
	s.job = &job.Spec{ID: updateJob, Kind: job.Update, Image: job.Image{Ref: "web:2@amd64"}}
	o.Updates = func() bool { return false }
	if _, err := rounds(t, o, 2); err != nil || len(s.got[0].Features) != 0 ||
		!strings.Contains(s.got[0].Trouble, "run `griddle-agent update --set-up` on it") ||
		!strings.Contains(s.got[1].Trouble, "this system cannot do") {
		t.Errorf("a system without the units: the server got %+v, %v", s.got, err)
	}
	if w, err := files.Waiting(); w != nil || err != nil {
		t.Errorf("it took the order %+v, %v", w, err)
	}
	o.Updates = func() bool { return true }
	s.job.Kind, s.got = job.Install, nil
	if _, err := rounds(t, o, 2); err != nil || !strings.Contains(s.got[1].Trouble, `"install"`) {
		t.Errorf("an install: the server got %+v, %v", s.got, err)
	}
	s.job.Kind = job.Update
	if _, err := rounds(t, o, 1); err != nil {
		t.Fatal(err)
	}
	if w, err := files.Waiting(); w == nil || err != nil {
		t.Fatalf("the order is %+v, %v", w, err)
	}
	s.job, s.cancelled = nil, true
	if _, err := rounds(t, o, 1); err != nil {
		t.Fatal(err)
	}
	if w, err := files.Waiting(); w != nil || err != nil {
		t.Errorf("the cancelled order is %+v, %v", w, err)
	}
	// Rubbish in the place of an order is reported, and the check-ins continue.
	if err := os.WriteFile(filepath.Join(o.Dir, "order.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cancelled, s.got = false, nil
	if _, err := rounds(t, o, 2); err != nil || !strings.Contains(s.got[1].Trouble, "order.json") {
		t.Errorf("with rubbish the server got %+v, %v", s.got, err)
	}
}

// The service does not wait when an update has something to report.
func TestRest(t *testing.T) {
	s := newServer(t)
	o := machine(t, s)
	o.Wait = func(ctx context.Context, _ time.Duration) { <-ctx.Done() }
	w, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.at.Close()
	w.told = w.orders.Changed()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		time.AfterFunc(time.Minute, func() { w.orders.Tell(order.Progress{Job: updateJob}) })
		w.rest(t.Context(), time.Hour, true)
		if d := time.Since(begin); d < time.Minute || d > 2*time.Minute {
			t.Errorf("it waited for %s, want a minute", d)
		}
	})
}

// The server hears for some days of an image that is damaged, unless there is something worse.
func TestDamagedImage(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	all := []history.Event{{Kind: history.Damaged, Image: "web-1@amd64", Time: now.Add(-8 * 24 * time.Hour)}}
	if got := damage(all, now); got != "" {
		t.Errorf("after 8 days the server hears %q", got)
	}
	all = append(all, history.Event{Kind: history.Damaged, Image: "web-2@amd64", Time: now.Add(-time.Hour)},
		history.Event{Kind: history.Made, Root: "web-3@amd64", Time: now})
	if got := damage(all, now); !strings.HasPrefix(got, "the image web-2@amd64 in its pool may be damaged") {
		t.Errorf("the server hears %q", got)
	}
	s := newServer(t)
	o := machine(t, s)
	o.Updates = func() bool { return true }
	dir, err := os.OpenRoot(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := history.Append(dir, history.Event{Kind: history.Damaged, Image: "web-2@amd64"}); err != nil {
		t.Fatal(err)
	}
	if _, err := rounds(t, o, 1); err != nil || len(s.got) != 1 || !strings.Contains(s.got[0].Trouble, "web-2@amd64") {
		t.Errorf("the server got %+v, %v", s.got, err)
	}
}
