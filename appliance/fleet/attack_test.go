package fleet

import (
	"errors"
	"fmt"
	"net"
	"slices"
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

func say(t *testing.T, f *Fleet, from, id, boot string, macs ...string) Greeting {
	t.Helper()
	g, err := f.Hello(t.Context(), from, hello(id, boot, macs...))
	if err != nil {
		t.Fatalf("Hello(%s, %v) = %v", id, macs, err)
	}
	return g
}

func send(t *testing.T, f *Fleet, g Greeting, boot string, events ...job.Event) job.Acknowledged {
	t.Helper()
	ack, err := f.Append(t.Context(), g.Token, job.Events{Boot: boot, Events: events})
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
				j, _, err := f.Choose(ctx, g.Token, o)
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
	j, home, err := f.Choose(ctx, g.Token, o)
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
	g2, err := f.Hello(ctx, "10.0.0.9", h)
	if err != nil || g2.Job != nil || len(g2.Unfinished) != 1 ||
		g2.Unfinished[0] != (job.Unfinished{Job: j.Spec.ID, Image: "web:1@amd64"}) {
		t.Fatalf("Hello() = %+v, %v, want no job and the offer to continue", g2, err)
	}
	j2, home2, err := f.Continue(ctx, g2.Token, j.Spec.ID, "serial:S1")
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
	if _, _, err := f.Continue(ctx, g2.Token, j.Spec.ID, "serial:S1"); !errors.Is(err, ErrOver) {
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
	j, _, err := f.Choose(ctx, g.Token, order())
	if err != nil {
		t.Fatal(err)
	}
	again := say(t, f, stranger, "", uuid.NewString(), victim)
	if _, _, err := f.Continue(ctx, again.Token, j.Spec.ID, "largest"); !errors.Is(err, ErrOver) {
		t.Errorf("of an install that wrote nothing: %v, want ErrOver", err)
	}
	send(t, f, g, boot, job.Event{Seq: 1, Job: j.Spec.ID, State: job.Started, Disk: "S1"})
	if _, _, err := f.Continue(ctx, again.Token, j.Spec.ID, "largest"); !errors.Is(err, ErrBusy) {
		t.Errorf("of an install that is under way: %v, want ErrBusy", err)
	}
	other := say(t, f, stranger, "", uuid.NewString(), macB)
	for name, err := range map[string]error{
		"another machine's": second(f.Continue(ctx, other.Token, j.Spec.ID, "largest")),
		"a guess":           second(f.Continue(ctx, again.Token, uuid.NewString(), "largest")),
	} {
		if !errors.Is(err, ErrOver) {
			t.Errorf("of %s: %v, want ErrOver", name, err)
		}
	}
	if _, err := f.Cancel(ctx, victim); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	if _, _, err := f.Continue(ctx, again.Token, j.Spec.ID, "largest"); !errors.Is(err, ErrOver) {
		t.Errorf("of an install that the operator cancelled: %v, want ErrOver", err)
	}
	deployed := deploy(t, f, "52:54:00:00:00:0c", "")
	op := say(t, f, "10.0.0.9", "", uuid.NewString(), "52:54:00:00:00:0c")
	if _, _, err := f.Continue(ctx, op.Token, deployed.Spec.ID, "largest"); !errors.Is(err, ErrOver) {
		t.Errorf("of an operator's install: %v, want ErrOver", err)
	}
}

func second[A, B any](_ A, _ B, err error) error { return err }

// TestHelloMergesNothing: one hello that lists the addresses of 40 machines changes none of them.
func TestHelloMergesNothing(t *testing.T) {
	for _, kept := range []string{"ordered", "chosen at their screens"} {
		t.Run(kept, func(t *testing.T) {
			ctx, f := t.Context(), open(t, Options{})
			var macs []string
			for i := range 40 {
				mac := fmt.Sprintf("52:54:00:00:02:%02x", i)
				macs = append(macs, mac)
				if kept == "ordered" {
					deploy(t, f, mac, "")
					continue
				}
				g := say(t, f, "10.0.0.9", "", uuid.NewString(), mac)
				if _, _, err := f.Choose(ctx, g.Token, order()); err != nil {
					t.Fatal(err)
				}
			}
			before := map[string]Machine{}
			for _, v := range list(t, f) {
				before[v.Machine.ID] = v.Machine
			}
			say(t, f, stranger, uuidB, uuid.NewString(), append([]string{"52:54:00:00:03:01"}, macs...)...)
			changed := 0
			for _, v := range list(t, f) {
				old, ok := before[v.Machine.ID]
				if !ok {
					continue // the stranger's own sighting
				}
				if delete(before, v.Machine.ID); len(v.Machine.Identity.MACs) != 1 || old.Name != v.Machine.Name {
					t.Errorf("%s now has %v", v.Machine.Name, v.Machine.Identity.MACs)
				}
				if encode(old) != encode(v.Machine) {
					changed++ // the one that the hello is taken for is shown with the conflict
				}
				if entries, err := f.read(ctx, v.Machine.ID, 0, 100); err != nil || len(entries) == 0 {
					t.Errorf("the journal of %s has %d entries, %v", v.Machine.Name, len(entries), err)
				}
			}
			if len(before) != 0 || changed > 1 {
				t.Errorf("%d machines are gone and %d changed", len(before), changed)
			}
		})
	}
}

// TestForeignUUID: hellos with another UUID, before the order or after it, do not keep the true machine from its order.
func TestForeignUUID(t *testing.T) {
	for name, attack := range map[string]func(t *testing.T, f *Fleet, install func()){
		"before the order": func(t *testing.T, f *Fleet, install func()) {
			for range 3 {
				say(t, f, stranger, uuid.NewString(), uuid.NewString(), victim)
			}
			install()
		},
		"after the order": func(t *testing.T, f *Fleet, install func()) {
			install()
			for range 3 {
				say(t, f, stranger, uuid.NewString(), uuid.NewString(), victim)
			}
		},
		"with the address behind another": func(t *testing.T, f *Fleet, install func()) {
			say(t, f, stranger, uuidB, uuid.NewString(), macB, victim)
			install()
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, f := t.Context(), open(t, Options{})
			var j Job
			attack(t, f, func() {
				var err error
				if _, j, err = f.Install(ctx, victim, order()); err != nil {
					t.Fatal(err)
				}
			})
			if got := boots(t, f, victim); got != netboot.Agent {
				t.Errorf("it boots %v, want the agent", got)
			}
			g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), victim)
			if g.Job == nil || g.Job.Spec.ID != j.Spec.ID {
				t.Errorf("its hello gets %+v, want its order", g.Job)
			}
			if name == "after the order" {
				v, _, err := f.Show(ctx, victim)
				if err != nil || len(v.Machine.Conflicts) == 0 ||
					!strings.Contains(v.Machine.Conflicts[0].What, stranger) {
					t.Errorf("Show() has the conflicts %+v, %v, want the stranger's", v.Machine.Conflicts, err)
				}
			}
		})
	}
}

// TestClaimedAddressGetsNoOrder: a stranger who says that a machine with an order has the victim's address does not
// bring the order to the victim, nor the victim's order to that machine.
func TestClaimedAddressGetsNoOrder(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	if _, _, err := f.Install(ctx, macB, order()); err != nil {
		t.Fatal(err)
	}
	say(t, f, stranger, uuidA, uuid.NewString(), macB, victim)
	if got := boots(t, f, victim); got != netboot.Menu {
		t.Errorf("the victim boots %v, want the menu", got)
	}
	if g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), victim); g.Job != nil {
		t.Errorf("the victim's hello gets %+v", g.Job)
	}
	m, j, err := f.Install(ctx, victim, order())
	if err != nil || !m.has(victim) || m.has(macB) {
		t.Fatalf("Install(victim) goes to %+v, %v", m.Identity, err)
	}
	if g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), victim); g.Job == nil || g.Job.Spec.ID != j.Spec.ID {
		t.Errorf("the victim's hello gets %+v, want its own order", g.Job)
	}
}

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
				j, home, err := f.Choose(ctx, g.Token, order())
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
					f.Choose(ctx, s.Token, order())
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
		_, err := f.Append(ctx, s.Token,
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
		if _, err := f.Session(ctx, g.Token); err != nil {
			t.Fatalf("Session() = %v", err)
		}
	}
	c.pass(tokenLife + time.Second)
	if _, err := f.Session(ctx, g.Token); !errors.Is(err, ErrToken) {
		t.Errorf("Session() after a day = %v, want ErrToken", err)
	}
	if _, _, err := f.Choose(ctx, g.Token, order()); !errors.Is(err, ErrToken) {
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
	if _, _, err := f.Choose(ctx, g.Token, order()); err != nil {
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
	if _, _, err := f.Choose(ctx, g.Token, order()); !errors.Is(err, ErrBusy) {
		t.Errorf("Choose() over an order = %v, want ErrBusy", err)
	}
	if _, k, err := f.Install(ctx, victim, o); err != nil || k.Spec.ID == j.Spec.ID {
		t.Errorf("Install() with Replace over an order = %v", err)
	}
	if _, err := f.Cancel(ctx, victim); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Choose(ctx, g.Token, order()); err != nil {
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

// TestMainboard changes one: the address stays one machine's, and where two records came of it, merge or delete settles
// it.
func TestMainboard(t *testing.T) {
	c := newClock()
	ctx, f := t.Context(), open(t, Options{Now: c.now})
	deploy(t, f, victim, uuidA)
	c.pass(time.Hour)
	board := say(t, f, "10.0.0.9", uuidB, uuid.NewString(), victim)
	v, _, err := f.Show(ctx, victim)
	if err != nil || v.Status() != "deployed" || len(v.Machine.Conflicts) != 1 ||
		!strings.Contains(v.Machine.Conflicts[0].What, board.Machine.Name) {
		t.Fatalf("Show() = %+v, %v, want the machine that was deployed, and the conflict", v.Machine, err)
	}
	m, err := f.Merge(ctx, victim, board.Machine.Name)
	if err != nil || !m.has(victim) || m.Identity.UUID != uuidB || m.Rank != Ordered {
		t.Fatalf("Merge() = %+v, %v", m, err)
	}
	// A new network card too: another machine, until an operator says that it is this one.
	c.pass(time.Hour)
	say(t, f, "10.0.0.9", uuidB, uuid.NewString(), macB)
	if m, err = f.Merge(ctx, victim, macB); err != nil || !m.has(victim) || !m.has(macB) {
		t.Fatalf("Merge() = %+v, %v", m, err)
	}
	if all := list(t, f); len(all) != 1 || len(all[0].Machine.Conflicts) != 0 {
		t.Errorf("List() = %+v, want the one machine", all)
	}
	for _, mac := range []string{victim, macB} {
		if got := boots(t, f, mac); got != netboot.Local {
			t.Errorf("from %s it boots %v, want its disk", mac, got)
		}
	}
	// The same address with two boards, chosen at their screens: ambiguous until one is deleted.
	const shared = "52:54:00:00:00:0d"
	for _, id := range []string{uuid.NewString(), uuid.NewString()} {
		g := say(t, f, "10.0.0.9", id, uuid.NewString(), shared)
		if _, _, err := f.Choose(ctx, g.Token, order()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err = f.Show(ctx, shared); !errors.Is(err, ErrAmbiguous) ||
		!strings.Contains(err.Error(), "machine merge") {
		t.Fatalf("Show() of a shared address = %v, want ErrAmbiguous with what to do", err)
	}
	names := slices.DeleteFunc(list(t, f), func(v View) bool { return !v.Machine.has(shared) })
	if _, err := f.Delete(ctx, names[0].Machine.Name); !errors.Is(err, ErrBusy) {
		t.Errorf("Delete() of a machine on which an install is under way = %v, want ErrBusy", err)
	}
	c.pass(silence + time.Minute)
	if _, err := f.Delete(ctx, names[0].Machine.Name); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Show(ctx, shared); err != nil {
		t.Errorf("Show() with one of the two deleted = %v", err)
	}
}

// TestDockingStation carries its address from a machine that was deployed to another one: that is not taken for the
// first, and can be ordered by its name.
func TestDockingStation(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{})
	deploy(t, f, victim, uuidA)
	g := say(t, f, "10.0.0.9", uuidB, uuid.NewString(), victim)
	hw := netboot.Machine{MAC: []byte{0x52, 0x54, 0, 0, 0, 0x0a}, UUID: uuidB}
	if spec, err := f.Boot(ctx, hw); err != nil || spec.Action != netboot.Menu {
		t.Errorf("the other machine boots %v, %v, want the menu", spec.Action, err)
	}
	_, j, err := f.Install(ctx, g.Machine.Name, order())
	if err != nil {
		t.Fatal(err)
	}
	if g := say(t, f, "10.0.0.9", uuidA, uuid.NewString(), victim); g.Job != nil {
		t.Errorf("the first machine's hello gets the other's order")
	}
	if g := say(t, f, "10.0.0.9", uuidB, uuid.NewString(), victim); g.Job == nil || g.Job.Spec.ID != j.Spec.ID {
		t.Errorf("the other machine's hello gets %+v, want its order", g.Job)
	}
}

// TestSettle has what Delete, Rename and Merge refuse, and that a name goes to the operator who wants it.
func TestSettle(t *testing.T) {
	ctx, f := t.Context(), open(t, Options{Hostname: "{serial}"})
	h := hello("", uuid.NewString(), macB)
	h.Identity.Serial = "web1" // the stranger takes the name that the operator is going to give
	if _, err := f.Hello(ctx, stranger, h); err != nil {
		t.Fatal(err)
	}
	o := order()
	o.Hostname = "web1"
	m, _, err := f.Install(ctx, victim, o)
	if err != nil || m.Name != "web1" {
		t.Fatalf("Install() as web1 = %q, %v", m.Name, err)
	}
	if _, err := f.Delete(ctx, "web1"); !errors.Is(err, ErrBusy) {
		t.Errorf("Delete() with an order = %v, want ErrBusy", err)
	}
	if _, _, err := f.Install(ctx, macB, order()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Merge(ctx, "web1", macB); !errors.Is(err, ErrBusy) {
		t.Errorf("Merge() of two orders = %v, want ErrBusy", err)
	}
	if _, err := f.Merge(ctx, "web1", victim); !errors.Is(err, ErrInvalid) {
		t.Errorf("Merge() with itself = %v, want ErrInvalid", err)
	}
	if _, err := f.Rename(ctx, macB, "web1"); !errors.Is(err, ErrInvalid) {
		t.Errorf("Rename() to a name that is taken = %v, want ErrInvalid", err)
	}
	if _, err := f.Rename(ctx, macB, "a b"); !errors.Is(err, ErrInvalid) {
		t.Errorf("Rename() to nonsense = %v, want ErrInvalid", err)
	}
	if m, err := f.Rename(ctx, macB, "web2"); err != nil || m.Name != "web2" {
		t.Errorf("Rename() = %q, %v", m.Name, err)
	}
}
