package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"griddle/netboot"
)

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
				if _, _, err := f.Choose(ctx, g.proof(), order()); err != nil {
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
		if _, _, err := f.Choose(ctx, g.proof(), order()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err = f.Show(ctx, shared); !errors.Is(err, ErrAmbiguous) ||
		!strings.Contains(err.Error(), "machine merge") {
		t.Fatalf("Show() of a shared address = %v, want ErrAmbiguous with what to do", err)
	}
	names := slices.DeleteFunc(list(t, f), func(v View) bool { return !v.Machine.has(shared) })
	if _, err := f.Delete(ctx, names[0].Machine.Name, false); !errors.Is(err, ErrBusy) {
		t.Errorf("Delete() of a machine on which an install is under way = %v, want ErrBusy", err)
	}
	c.pass(silence + time.Minute)
	if _, err := f.Delete(ctx, names[0].Machine.Name, false); err != nil {
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
	if _, err := f.Hello(ctx, stranger, "", h); err != nil {
		t.Fatal(err)
	}
	o := order()
	o.Hostname = "web1"
	m, _, err := f.Install(ctx, victim, o)
	if err != nil || m.Name != "web1" {
		t.Fatalf("Install() as web1 = %q, %v", m.Name, err)
	}
	if _, err := f.Delete(ctx, "web1", false); !errors.Is(err, ErrBusy) {
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
