package order

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"griddle/appliance/job"
)

func actionOf(id string) *Order { return &Order{Spec: job.Spec{ID: id, Kind: job.Reboot}} }

// What a machine began it knows, also the earlier ones, up to a bound; and the end of an action is not that of an
// update.
func TestActionFiles(t *testing.T) {
	f := Open(t.TempDir(), t.TempDir())
	if b, err := f.Begun(); b.Has("") || b.Has(one) || err != nil || f.Acted() != nil {
		t.Errorf("empty folders have %+v, %v, %+v", b, err, f.Acted())
	}
	for i := range 3 * maxBefore {
		if err := f.Begin(Begun{Job: fmt.Sprint(i), Boot: "boot"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Begin(Begun{Job: one, Boot: "boot"}), f.Begin(Begun{Job: one, Boot: "boot"})); err != nil {
		t.Fatal(err)
	}
	b, err := f.Begun()
	if err != nil || b.Job != one || b.Boot != "boot" || !b.Has(one) || !b.Has(fmt.Sprint(3*maxBefore-1)) ||
		b.Has("0") || b.Has(two) || len(b.Before) != maxBefore {
		t.Errorf("Begun() = %+v", b)
	}
	before := f.Changed()
	if err := errors.Join(f.Give(*actionOf(two)), f.End(Result{Job: two, State: Switched})); err != nil {
		t.Fatal(err)
	}
	if w, err := f.Waiting(); err != nil || w == nil {
		t.Errorf("the end of an update ended an action: %+v, %v", w, err)
	}
	if err := f.EndAction(Result{Job: two, State: Done, Message: "a\nb"}); err != nil || f.Changed() == before {
		t.Error(err)
	}
	if w, err := f.Waiting(); err != nil || w != nil || f.Acted().Message != "a b" || f.Result().State != Switched {
		t.Errorf("after the end: %+v, %v, %+v, %+v", w, err, f.Acted(), f.Result())
	}
}

// No one knows what was begun if the file cannot be read; the next one that begins mends it.
func TestBegunDamaged(t *testing.T) {
	f := Open(t.TempDir(), t.TempDir())
	if err := os.WriteFile(filepath.Join(f.dir, begunFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := f.Begun(); !errors.Is(err, ErrDamaged) {
		t.Errorf("Begun() = %+v, %v", b, err)
	}
	if err := f.Begin(Begun{Job: one, Boot: "boot"}); err != nil {
		t.Fatal(err)
	}
	if b, err := f.Begun(); err != nil || !b.Has(one) {
		t.Errorf("then Begun() = %+v, %v", b, err)
	}
}

// An action is reported beside an update that waits for a restart, until the server has heard the end of both.
func TestActionReports(t *testing.T) {
	update := &Result{Job: one, Root: "web-2", State: Switched, Phase: job.PhaseSwitch, Boot: "first"}
	s := Situation{Root: "web", Boot: "first", Result: update, Waiting: actionOf(two)}
	check := func(what string, state, action job.State, phase job.Phase) {
		t.Helper()
		u, a := s.Job(), s.Action()
		if u == nil || u.State != state || u.ID != one || a == nil || a.State != action || a.ID != two ||
			a.Phase != phase {
			t.Errorf("%s: the server hears of the update %+v, and of the action %+v", what, u, a)
		}
	}
	check("with the order", job.Started, job.Started, job.PhaseCheck)
	if h := s.Heard(); h != (Reported{Switched: one}) {
		t.Errorf("then it has heard %+v", h)
	}
	s.Progress = &Progress{Job: two, Phase: job.PhaseRestart, Message: "the machine restarts"}
	check("before the restart", job.Started, job.Started, job.PhaseRestart)
	if h := s.Heard(); h != (Reported{Switched: one, Restarts: two}) {
		t.Errorf("then it has heard %+v", h)
	}
	s.Reported, s.Boot, s.Root, s.Progress, s.Waiting = s.Heard(), "second", "web-2", nil, nil
	s.Acted = &Result{Job: two, State: Done, Phase: job.PhaseRestart}
	check("after it", job.Started, job.Done, job.PhaseRestart)
	s.Reported = s.Heard()
	if a := s.Action(); a != nil || s.Reported.Acted != two {
		t.Errorf("the end is told again: %+v, %+v", a, s.Reported)
	}
	s.Acted = &Result{Job: "third", State: Failed, Message: "no"}
	if a := s.Action(); a == nil || a.State != job.Failed || a.Message != "no" {
		t.Errorf("the next one is told as %+v", a)
	}
	// An update that runs is no action, and the other way around.
	s = Situation{Waiting: &Order{Spec: job.Spec{ID: one, Kind: job.Update}}}
	if s.Action() != nil || s.Job() == nil {
		t.Errorf("an update is told as %+v, %+v", s.Action(), s.Job())
	}
	s = Situation{Waiting: actionOf(one)}
	if s.Job() != nil || !reflect.DeepEqual(s.Heard(), Reported{}) {
		t.Errorf("an action is told as %+v, heard %+v", s.Job(), s.Heard())
	}
}

// A machine takes an action once, also from a server whose state was restored from a copy.
func TestNextAction(t *testing.T) {
	waits, update := actionOf(two), orderOf(one, "web:2@amd64")
	for _, c := range []struct {
		name string
		s    Situation
		out  job.CheckedIn
		want Action
	}{
		{"an action", Situation{}, job.CheckedIn{Job: &waits.Spec}, Take},
		{"it waits", Situation{Waiting: waits}, job.CheckedIn{Job: &waits.Spec}, Stay},
		{"it was begun, and waits", Situation{Waiting: waits, Begun: Begun{Job: two}}, job.CheckedIn{Job: &waits.Spec},
			Stay},
		{"it was begun", Situation{Begun: Begun{Job: two}}, job.CheckedIn{Job: &waits.Spec}, Stay},
		{"it was begun before", Situation{Begun: Begun{Job: one, Before: []string{two}}},
			job.CheckedIn{Job: &waits.Spec}, Stay},
		{"it ended", Situation{Acted: &Result{Job: two}}, job.CheckedIn{Job: &waits.Spec}, Stay},
		{"another one ended", Situation{Acted: &Result{Job: one}}, job.CheckedIn{Job: &waits.Spec}, Take},
		{"it is over", Situation{Waiting: waits}, job.CheckedIn{ActionOver: true}, Forget},
		{"an update is over", Situation{Waiting: waits}, job.CheckedIn{Cancelled: true}, Stay},
		{"an update waits, an action is over", Situation{Waiting: &update}, job.CheckedIn{ActionOver: true}, Stay},
	} {
		if got := c.s.Next(c.out); got != c.want {
			t.Errorf("%s: Next() = %d, want %d", c.name, got, c.want)
		}
	}
}
