//go:build e2e

package full

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// TestReset installs a machine of a classroom: each start is fresh, with the homes and persistent data of before, also
// after hard power cuts that use up all fresh systems, and after an update that comes while it runs.
func TestReset(t *testing.T) {
	e2etest.Passes(t)
	s := open(t, e2e.Proxy)
	next := s.release(t, "3")
	onFirmwares(t, func(t *testing.T, f e2e.Firmware) { s.resets(t, f, next) })
}

// fresh is the name of a fresh root.
var fresh = regexp.MustCompile(`^/@roots/(.*)~([0-9]+)$`)

func (s *suite) resets(t *testing.T, f e2e.Firmware, next string) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m := s.machine(ctx, t, string(f), f, e2e.Virtio)
	s.order(ctx, t, m, "--reset")
	on(ctx, t, m)
	defer m.PowerCut()
	t.Logf("figure: %s: %v", t.Name(), s.watch(ctx, t, m))
	if err := m.Login(ctx); err != nil {
		t.Fatal(err)
	}
	ask := func(command string) string {
		t.Helper()
		return e2etest.Shell(m.Run).Ask(ctx, t, command)
	}
	number := 0
	// is checks that a new fresh root of an image runs, with what is to be there.
	is := func(image string) {
		t.Helper()
		got := fresh.FindStringSubmatch(ask("findmnt -no FSROOT /"))
		if got == nil || got[1] != strings.Replace(image, ":", "-", 1) {
			t.Fatalf("%s runs %q, want a fresh root of %s", m.Name, got, image)
		}
		last := number
		if _, err := fmt.Sscan(got[2], &number); err != nil || number == last {
			t.Errorf("%s runs number %d again", m.Name, number)
		}
	}
	const dirt = "for d in /etc /root /home /persistent; do echo mine >$d/mine; done; sync"
	stays := func() {
		t.Helper()
		if got := ask("ls /etc/mine /root/mine /home/mine /persistent/mine 2>/dev/null"); strings.Join(
			strings.Fields(got), " ") != "/home/mine /persistent/mine" {
			t.Errorf("after a restart of %s there is %q", m.Name, got)
		}
		if got := ask("systemctl --failed --plain --no-legend"); got != "" {
			t.Errorf("on %s units failed: %s", m.Name, got)
		}
	}
	back := func() {
		t.Helper()
		if _, err := m.WaitLogin(ctx); err != nil {
			t.Fatal(err)
		}
		if err := m.Login(ctx); err != nil {
			t.Fatal(err)
		}
	}
	is(s.image)
	ask(dirt)
	if err := m.Console().Send("systemctl reboot\r"); err != nil {
		t.Fatal(err)
	}
	back()
	is(s.image)
	stays()
	ask(dirt)

	// Two power cuts right after the kernel begins: nothing has prepared fresh roots in between.
	m.PowerCut()
	for range 2 {
		on(ctx, t, m)
		if _, err := m.Console().Wait(ctx, `Linux version`); err != nil {
			t.Fatal(err)
		}
		m.PowerCut()
	}
	on(ctx, t, m)
	if _, err := m.WaitReset(ctx); err != nil { // the base has made fresh roots
		t.Fatal(err)
	}
	back()
	number = 0 // that of before may be there again, as another root
	is(s.image)
	stays()
	ask(dirt)
	ask("until griddle-agent status | grep -q '; 2 fresh'; do sleep 1; done")

	if err := s.site.Update(ctx, m, next); err != nil {
		t.Fatal(err)
	}
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.site.WaitJournal(ctx, m, "the end of the update", func(e fleet.Entry) bool {
		return e.Event.Job == known.Job.Spec.ID && e2e.InState(job.Done)(e)
	}); err != nil {
		t.Fatal(err)
	}
	back()
	number = 0
	is(next)
	stays()
	known, err = s.site.Machine(ctx, m)
	if err != nil || known.Deployed == nil || known.Deployed.Image != next || known.Service.Reset() != job.ResetSystem {
		t.Errorf("the server knows %+v and %+v on %s, %v; want %s, reset", known.Deployed, known.Service, m.Name, err,
			next)
	}
}
