//go:build e2e

package full

import (
	"context"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// TestUpdate gives an installed machine that starts from the network another image, and then installs a third one
// without --erase. Homes, persistent data and the machine's identity stay both times.
func TestUpdate(t *testing.T) {
	e2etest.Passes(t)
	s := open(t, e2e.Proxy)
	images := []string{s.release(t, "3"), s.release(t, "4")}
	onFirmwares(t, func(t *testing.T, f e2e.Firmware) { s.updates(t, f, images) })
}

func (s *suite) updates(t *testing.T, f e2e.Firmware, images []string) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m := s.machine(ctx, t, string(f), f, e2e.Virtio)
	disk := "serial:" + m.Name
	if err := s.site.Install(ctx, m, s.image, "--disk", disk); err != nil {
		t.Fatal(err)
	}
	on(ctx, t, m)
	defer m.PowerCut()
	t.Logf("figure: %s: %v", t.Name(), s.watch(ctx, t, m))
	const state = "cat /etc/hostname /etc/machine-id; sha256sum /home/work /persistent/work /etc/ssh/ssh_host_*_key"
	ask := func() string {
		if _, err := m.WaitLogin(ctx); err != nil {
			t.Fatal(err)
		}
		if err := m.Login(ctx); err != nil {
			t.Fatal(err)
		}
		return e2etest.Shell(m.Run).Ask(ctx, t, state+"; sync")
	}
	if err := m.Login(ctx); err != nil {
		t.Fatal(err)
	}
	before := e2etest.Shell(m.Run).Ask(ctx, t, "for d in /home /persistent; do "+
		"head -c 300000 /dev/urandom >$d/work; done; "+state+"; sync")
	m.PowerCut()

	if err := s.site.Update(ctx, m, images[0]); err != nil {
		t.Fatal(err)
	}
	s.restarted(ctx, t, m, e2e.InState(job.Done))
	s.checkUpdated(ctx, t, m, images[0], before, ask())
	m.PowerCut()

	if err := s.site.Install(ctx, m, images[1], "--disk", disk); err != nil {
		t.Fatal(err)
	}
	s.restarted(ctx, t, m, e2e.Deployed)
	s.checkUpdated(ctx, t, m, images[1], before, ask())
}

// restarted switches a machine on that has a job, and waits for an entry about that job.
func (s *suite) restarted(ctx context.Context, t *testing.T, m *e2e.Machine, ok func(fleet.Entry) bool) {
	t.Helper()
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	on(ctx, t, m)
	if _, err := s.site.WaitJournal(ctx, m, "the end of the job", func(e fleet.Entry) bool {
		return e.Event.Job == known.Job.Spec.ID && ok(e)
	}); err != nil {
		t.Fatal(err)
	}
}

// checkUpdated compares what a machine has with what it had, and its root with an image.
func (s *suite) checkUpdated(ctx context.Context, t *testing.T, m *e2e.Machine, image, before, after string) {
	t.Helper()
	if after != before {
		t.Errorf("%s has with %s\n%s\nit had\n%s", m.Name, image, after, before)
	}
	root := "/@roots/" + strings.Replace(image, ":", "-", 1)
	if got := e2etest.Shell(m.Run).Ask(ctx, t, "findmnt -no FSROOT /; systemctl --failed --plain --no-legend"); got !=
		root {
		t.Errorf("%s runs %q, want %s without failed units", m.Name, got, root)
	}
	known, err := s.site.Machine(ctx, m)
	if err != nil || known.Deployed == nil || known.Deployed.Image != image {
		t.Errorf("the server knows %+v on %s, %v; want %s", known.Deployed, m.Name, err, image)
	}
}
