package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
)

// installed has a boot with the key carry out an operator's install of the machine with the address.
func installed(t *testing.T, f *Fleet, key, mac string) Machine {
	t.Helper()
	ctx := t.Context()
	m, _, err := f.Install(ctx, mac, order())
	if err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	g := prove(t, f, key, boot, mac)
	if g.Job == nil {
		t.Fatalf("the hello of %s gets no job", mac)
	}
	id := g.Job.Spec.ID
	if _, err := f.Append(ctx, Proof{g.Token, key}, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: id, State: job.Started, Disk: "S1"}, {Seq: 2, Job: id, State: job.Done}}}); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestCheckIn: the system of an install checks in with the key of its boot, and what it says changes its own machine
// only.
func TestCheckIn(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	a, b := installed(t, f, "ada", macA), installed(t, f, "bob", macB)
	for _, key := range []string{"", "eve"} {
		if _, err := f.CheckIn(ctx, stranger, key, job.CheckIn{}); !errors.Is(err, ErrKey) ||
			!strings.Contains(err.Error(), "start it from the network and install it again") {
			t.Errorf("CheckIn() with the key %q = %v, want ErrKey and what to do", key, err)
		}
	}
	before, _, err := f.Show(ctx, macB)
	if err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	got, err := f.CheckIn(ctx, "10.0.0.7", "ada", job.CheckIn{Agent: "1 of 2026\x1b[2J", Root: b.Name, Notice: 7,
		Trouble: strings.Repeat("x", 2000)})
	m := got.Machine
	if err != nil || m.ID != a.ID || m.Service.From != "10.0.0.7" || m.Service.Agent != "1 of 2026 [2J" ||
		len(m.Service.Trouble) != 400 || m.Service.Notice != 7 || !m.LastSeen.Equal(c.now()) {
		t.Errorf("CheckIn() = %+v with %+v, %v", m, m.Service, err)
	}
	after, _, err := f.Show(ctx, macB)
	if err != nil || encode(after.Machine) != encode(before.Machine) {
		t.Errorf("another machine was\n%s and is\n%s, %v", encode(before.Machine), encode(after.Machine), err)
	}
	if log, err := f.read(ctx, macA, 0, 100); err != nil || !strings.Contains(encode(log), "the machine reports: xxx") {
		t.Errorf("the journal has %+v, %v, want the trouble", log, err)
	}
	c.pass(time.Second)
	if _, err := f.CheckIn(ctx, stranger, "ada", job.CheckIn{}); !errors.Is(err, ErrOften) {
		t.Errorf("CheckIn() after a second = %v, want ErrOften", err)
	}
	c.pass(-24 * time.Hour) // the server's clock was corrected
	if _, err := f.CheckIn(ctx, stranger, "ada", job.CheckIn{}); err != nil {
		t.Errorf("CheckIn() after the clock went back = %v", err)
	}
}

// TestInstalledKeyIsWeak: the key of an install approves nothing, and ends with the next install or with the machine.
func TestInstalledKeyIsWeak(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	m := installed(t, f, "ada", macA)
	f.Reconfigure(Options{Enrolment: EnrolApprove, Now: c.now})
	g := prove(t, f, "ada", uuid.NewString(), macA)
	if !g.Waiting {
		t.Error("a boot with the key of an install needs no approval")
	}
	f.Reconfigure(Options{Enrolment: EnrolClosed, Now: c.now})
	if _, err := f.Hello(ctx, stranger, "ada", hello("", uuid.NewString(), macB)); !errors.Is(err, ErrClosed) {
		t.Errorf("Hello() of another machine with the key of an install = %v, want ErrClosed", err)
	}
	f.Reconfigure(Options{Now: c.now})
	installed(t, f, "eve", macA)
	if _, err := f.CheckIn(ctx, stranger, "ada", job.CheckIn{}); !errors.Is(err, ErrKey) {
		t.Errorf("CheckIn() with the key of the install before = %v, want ErrKey", err)
	}
	// A key that an operator approved stays, and decides where the same key installed another machine.
	if _, err := f.Approve(ctx, macA, g.Code); err != nil {
		t.Fatal(err)
	}
	installed(t, f, "ada", macB)
	if got, err := f.CheckIn(ctx, stranger, "ada", job.CheckIn{}); err != nil || got.Machine.ID != m.ID {
		t.Errorf("CheckIn() with an approved key = %s, %v, want %s", got.Machine.Name, err, m.Name)
	}
	if _, err := f.Delete(ctx, macA, false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.CheckIn(ctx, stranger, "eve", job.CheckIn{}); !errors.Is(err, ErrKey) {
		t.Errorf("CheckIn() of a deleted machine = %v, want ErrKey", err)
	}
}

// TestHomeProvesTheInstall: where the last event was lost, the report of the system counts, and so does its key.
func TestHomeProvesTheInstall(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	m, _, err := f.Install(ctx, macA, order())
	if err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	g := prove(t, f, "ada", boot, macA)
	if _, err := f.Append(ctx, Proof{g.Token, "ada"}, job.Events{Boot: boot, Events: []job.Event{
		{Seq: 1, Job: g.Job.Spec.ID, State: job.Started, Disk: "S1"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Home(ctx, g.Home, job.HomeReport{}); err != nil {
		t.Fatal(err)
	}
	if got, err := f.CheckIn(ctx, stranger, "ada", job.CheckIn{}); err != nil || got.Machine.ID != m.ID {
		t.Errorf("CheckIn() = %s, %v, want %s", got.Machine.Name, err, m.Name)
	}
}
