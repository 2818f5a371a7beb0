package fleet

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/appliance/job"
	"griddle/netboot"
)

const (
	stranger = "10.66.6.6"
	victim   = "52:54:00:00:00:0a" // macA
)

// proof is what an agent without a key shows.
func (g Greeting) proof() Proof { return Proof{Token: g.Token} }

func say(t *testing.T, f *Fleet, from, id, boot string, macs ...string) Greeting {
	t.Helper()
	g, err := f.Hello(t.Context(), from, "", hello(id, boot, macs...))
	if err != nil {
		t.Fatalf("Hello(%s, %v) = %v", id, macs, err)
	}
	return g
}

func send(t *testing.T, f *Fleet, g Greeting, boot string, events ...job.Event) job.Acknowledged {
	t.Helper()
	ack, err := f.Append(t.Context(), g.proof(), job.Events{Boot: boot, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func bootsSpec(t *testing.T, f *Fleet, mac string) string {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := f.Boot(t.Context(), netboot.Machine{MAC: hw, Arch: netboot.UEFI})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%v from %q", spec.Action, spec.Volume)
}

// deploy orders an install for a machine and carries it out to its end.
func deploy(t *testing.T, f *Fleet, mac, id string) Job {
	t.Helper()
	_, j, err := f.Install(t.Context(), mac, order())
	if err != nil {
		t.Fatal(err)
	}
	boot := uuid.NewString()
	g := say(t, f, "10.0.0.9", id, boot, mac)
	send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"},
		job.Event{Seq: 2, Job: j.Spec.ID, State: job.Done})
	if _, err := f.Home(t.Context(), g.Home, job.HomeReport{Hostname: "h"}); err != nil {
		t.Fatal(err)
	}
	return j
}

// TestStrangerErasesNothing is the attack on any machine whose address is known: a hello in its name with a made-up
// boot, and a choice with a disk to erase. Whatever the stranger reports then, the machine boots what it booted
// before, and its own hello gets no job.
func TestStrangerErasesNothing(t *testing.T) {
	for _, policy := range []Policy{OfferMenu, StartAgent, BootLocal} {
		for _, prepared := range []string{"never seen", "sighted", "known", "deployed"} {
			t.Run(string(policy)+", "+prepared, func(t *testing.T) {
				c := newClock()
				ctx, f := t.Context(), open(t, Options{Now: c.now, Unknown: policy})
				switch prepared {
				case "sighted":
					boots(t, f, victim)
				case "known":
					say(t, f, "10.0.0.9", uuidA, uuid.NewString(), victim)
				case "deployed":
					deploy(t, f, victim, uuidA)
				}
				before := bootsSpec(t, f, victim)
				boot := uuid.NewString()
				g := say(t, f, stranger, uuidA, boot, victim)
				o := order()
				o.Disk, o.Erase = "serial:S1", "S1"
				j, _, err := f.Choose(ctx, g.proof(), o)
				if err != nil {
					t.Fatal(err)
				}
				check := func(when string) {
					t.Helper()
					if got := bootsSpec(t, f, victim); got != before {
						t.Errorf("%s it boots %s, before %s", when, got, before)
					}
					if own := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), victim); own.Job != nil {
						t.Errorf("%s its own hello gets the job %+v", when, own.Job)
					}
				}
				check("after the choice")
				send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"})
				check("after the beginning")
				c.pass(30 * 24 * time.Hour)
				check("a month later")
				// Even a report that all went well starts nothing: a machine that an operator installed keeps its disk,
				// and another one has at most the menu, whose default is the disk.
				g = say(t, f, stranger, uuidA, boot, victim)
				send(t, f, g, boot, job.Event{Seq: 2, Job: j.Spec.ID, State: job.Done})
				if got := bootsSpec(t, f, victim); prepared == "deployed" && got != before ||
					strings.HasPrefix(got, "agent") {
					t.Errorf("after the end it boots %s, before %s", got, before)
				}
			})
		}
	}
}

// TestChoiceEndsWithItsBoot: a screen's job goes on for its own boot alone, and the next boot gets the menu and, with
// the mark that is on the disk, the offer to continue.
func TestChoiceEndsWithItsBoot(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	first := uuid.NewString()
	g := say(t, f, "10.0.0.9", uuidA, first, victim)
	o := order()
	o.Disk, o.Erase = "path:/dev/vda", "/dev/vda"
	j, home, err := f.Choose(ctx, g.proof(), o)
	if err != nil {
		t.Fatal(err)
	}
	send(t, f, g, first, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"})
	// The power is cut. The next boot of the machine sees the mark on its disk.
	c.pass(2 * time.Minute)
	if got := boots(t, f, victim); got != netboot.Menu {
		t.Errorf("the next boot gets %v, want the menu", got)
	}
	next := uuid.NewString()
	h := hello(uuidA, next, victim)
	h.Inventory.Disks = []job.Disk{{Path: "/dev/vdb", Serial: "S1", Unfinished: j.Spec.ID},
		{Path: "/dev/vda", Serial: "S2", Unfinished: uuid.NewString()}}
	g2, err := f.Hello(ctx, "10.0.0.9", "", h)
	if err != nil || g2.Job != nil || len(g2.Unfinished) != 1 ||
		g2.Unfinished[0] != (job.Unfinished{Job: j.Spec.ID, Image: "web:1@amd64"}) {
		t.Fatalf("Hello() = %+v, %v, want no job and the offer to continue", g2, err)
	}
	j2, home2, err := f.Continue(ctx, g2.proof(), j.Spec.ID, "serial:S1")
	if err != nil || j2.Spec.ID != j.Spec.ID || j2.Spec.Image.Ref != j.Spec.Image.Ref || j2.Spec.Disk != "serial:S1" ||
		home2 == "" || home2 == home {
		t.Fatalf("Continue() = %+v, %v, want the same job on the marked disk", j2.Spec, err)
	}
	if j2.Spec.Erase != "" || j2.Spec.Started != "" {
		t.Errorf("the continued job may erase %q and was begun on %q: its mark alone may be written over",
			j2.Spec.Erase, j2.Spec.Started)
	}
	// What the first boot still says counts for nothing; the second one ends the job.
	if ack := send(t, f, g, first, job.Event{Seq: 2, Job: j.Spec.ID, Message: "on"}); !ack.Cancelled {
		t.Error("the boot before is not told to stop")
	}
	send(t, f, g2, next, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"},
		job.Event{Seq: 2, Job: j.Spec.ID, State: job.Done})
	v, _, err := f.Show(ctx, victim)
	if err != nil || v.Status() != "installed" {
		t.Errorf("the machine is %q, %v", v.Status(), err)
	}
	if _, _, err := f.Continue(ctx, g2.proof(), j.Spec.ID, "serial:S1"); !errors.Is(err, ErrOver) {
		t.Errorf("Continue() of a job that is done = %v, want ErrOver", err)
	}
}

// TestContinueRefuses: only the mark of an install that this machine's screen began goes on, and not while it is under
// way.
func TestContinueRefuses(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	boot := uuid.NewString()
	g := say(t, f, "10.0.0.9", "", boot, victim)
	j, _, err := f.Choose(ctx, g.proof(), order())
	if err != nil {
		t.Fatal(err)
	}
	again := say(t, f, stranger, "", uuid.NewString(), victim)
	if _, _, err := f.Continue(ctx, again.proof(), j.Spec.ID, "largest"); !errors.Is(err, ErrOver) {
		t.Errorf("of an install that wrote nothing: %v, want ErrOver", err)
	}
	send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"})
	if _, _, err := f.Continue(ctx, again.proof(), j.Spec.ID, "largest"); !errors.Is(err, ErrBusy) {
		t.Errorf("of an install that is under way: %v, want ErrBusy", err)
	}
	other := say(t, f, stranger, "", uuid.NewString(), macB)
	for name, err := range map[string]error{
		"another machine's": second(f.Continue(ctx, other.proof(), j.Spec.ID, "largest")),
		"a guess":           second(f.Continue(ctx, again.proof(), uuid.NewString(), "largest")),
	} {
		if !errors.Is(err, ErrOver) {
			t.Errorf("of %s: %v, want ErrOver", name, err)
		}
	}
	if _, err := f.Cancel(ctx, victim); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	if _, _, err := f.Continue(ctx, again.proof(), j.Spec.ID, "largest"); !errors.Is(err, ErrOver) {
		t.Errorf("of an install that the operator cancelled: %v, want ErrOver", err)
	}
	deployed := deploy(t, f, "52:54:00:00:00:0c", "")
	op := say(t, f, "10.0.0.9", "", uuid.NewString(), "52:54:00:00:00:0c")
	if _, _, err := f.Continue(ctx, op.proof(), deployed.Spec.ID, "largest"); !errors.Is(err, ErrOver) {
		t.Errorf("of an operator's install: %v, want ErrOver", err)
	}
}

func second[A, B any](_ A, _ B, err error) error { return err }

// TestHellosVoidNoToken: hundreds of hellos in a machine's name leave the token of its install, and the one-time token
// of its system, as they were; for an operator's job and for a screen's.
func TestHellosVoidNoToken(t *testing.T) {
	for _, by := range []Origin{Operator, Screen} {
		t.Run(string(by), func(t *testing.T) {
			c := newClock()
			ctx, f := t.Context(), open(t, Options{Now: c.now})
			boot := uuid.NewString()
			if by == Operator {
				if _, _, err := f.Install(ctx, victim, order()); err != nil {
					t.Fatal(err)
				}
			}
			g := say(t, f, "10.0.0.9", uuidA, boot, victim)
			if by == Screen {
				j, home, err := f.Choose(ctx, g.proof(), order())
				if err != nil {
					t.Fatal(err)
				}
				g.Job, g.Home = &j, home
			}
			id := g.Job.Spec.ID
			send(t, f, g, boot, job.Event{Seq: 1, Job: id, State: job.Started, Disk: "S1"})
			for range 10 * maxBoots {
				c.pass(time.Second)
				s := say(t, f, stranger, uuidA, uuid.NewString(), victim)
				if by == Screen { // and choices, which make the strangers' boots look busy too
					f.Choose(ctx, s.proof(), order())
				}
			}
			send(t, f, g, boot, job.Event{Seq: 2, Job: id, State: job.Done})
			if _, err := f.Home(ctx, g.Home, job.HomeReport{}); err != nil {
				t.Errorf("Home() = %v", err)
			}
		})
	}
}

// TestStrangerEndsNoInstall: while a boot carries an operator's job out, reports from another boot of the machine wait.
// When the boot is silent, as after a power cut, the next one takes over.
func TestStrangerEndsNoInstall(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	if _, _, err := f.Install(ctx, victim, order()); err != nil {
		t.Fatal(err)
	}
	boot, other := uuid.NewString(), uuid.NewString()
	g := say(t, f, "10.0.0.9", uuidA, boot, victim)
	id := g.Job.Spec.ID
	send(t, f, g, boot, job.Event{Seq: 1, Job: id, State: job.Started, Disk: "S1"})
	s := say(t, f, stranger, uuidA, other, victim)
	for _, state := range []job.State{job.Failed, job.Cancelled, job.Done, job.Started} {
		c.pass(time.Second)
		_, err := f.Append(ctx, s.proof(),
			job.Events{Boot: other, Events: []job.Event{{Seq: 1, Job: id, State: state, Disk: "S2"}}})
		if !errors.Is(err, ErrBusy) {
			t.Errorf("a stranger's %s = %v, want ErrBusy", state, err)
		}
	}
	if ack := send(t, f, g, boot, job.Event{Seq: 2, Job: id, Message: "on"}); ack.Cancelled {
		t.Error("the install was taken back")
	}
	c.pass(carrying + time.Second)
	if ack := send(t, f, s, other, job.Event{Seq: 1, Job: id, State: job.Started, Disk: "S1"}); ack.Cancelled {
		t.Error("after a minute of silence the next boot cannot go on")
	}
}

// TestTokensExpire a day after their last use, and not before.
func TestTokensExpire(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	g := say(t, f, "10.0.0.9", "", uuid.NewString(), victim)
	for range 3 {
		c.pass(tokenLife - time.Minute)
		if _, err := f.Session(ctx, g.proof()); err != nil {
			t.Fatalf("Session() = %v", err)
		}
	}
	c.pass(tokenLife + time.Second)
	if _, err := f.Session(ctx, g.proof()); !errors.Is(err, ErrToken) {
		t.Errorf("Session() after a day = %v, want ErrToken", err)
	}
	if _, _, err := f.Choose(ctx, g.proof(), order()); !errors.Is(err, ErrToken) {
		t.Errorf("Choose() after a day = %v, want ErrToken", err)
	}
}

// TestOrderOverScreen: a choice that only a stranger made does not keep an operator from an order for long, and not at
// all with Replace.
func TestOrderOverScreen(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	boot := uuid.NewString()
	g := say(t, f, stranger, "", boot, victim)
	if _, _, err := f.Choose(ctx, g.proof(), order()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Install(ctx, victim, order()); !errors.Is(err, ErrBusy) {
		t.Errorf("Install() over an install at the screen = %v, want ErrBusy", err)
	}
	o := order()
	o.Replace = true
	_, j, err := f.Install(ctx, victim, o)
	if err != nil {
		t.Fatalf("Install() with Replace = %v", err)
	}
	if _, _, err := f.Choose(ctx, g.proof(), order()); !errors.Is(err, ErrBusy) {
		t.Errorf("Choose() over an order = %v, want ErrBusy", err)
	}
	if _, k, err := f.Install(ctx, victim, o); err != nil || k.Spec.ID == j.Spec.ID {
		t.Errorf("Install() with Replace over an order = %v", err)
	}
	if _, err := f.Cancel(ctx, victim); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Choose(ctx, g.proof(), order()); err != nil {
		t.Fatal(err)
	}
	c.pass(silence + time.Minute)
	if v, _, err := f.Show(ctx, victim); err != nil || v.Status() != "interrupted" {
		t.Errorf("with its boot silent the machine is %q, %v", v.Status(), err)
	}
	if _, _, err := f.Install(ctx, victim, order()); err != nil {
		t.Errorf("Install() over an interrupted install = %v", err)
	}
}
