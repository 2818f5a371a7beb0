//go:build e2e

package full

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// receiving matches the agent's screen while a fair part of the image has come and a fair part has not.
var receiving = []string{`\[ >> \] Receive image`, `[2-6]\d %`}

// TestTrouble has one room; each machine in it has trouble of its own. A server that is killed is everybody's trouble,
// so it comes when the others are done.
func TestTrouble(t *testing.T) {
	s := open(t, e2e.Proxy)
	run := func(t *testing.T, name string, together bool, trouble func(ctx context.Context, t *testing.T, s *suite)) {
		t.Run(name, func(t *testing.T) {
			e2etest.Passes(t)
			if together {
				t.Parallel()
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			trouble(ctx, t, s)
		})
	}
	t.Run("together", func(t *testing.T) {
		run(t, "power cut", true, powerCut)
		run(t, "dirty disk", true, dirtyDisk)
	})
	run(t, "server killed", false, serverKilled)
}

// powerCut takes the power away in the middle of the stream: the next boot finds a disk that is not marked installed
// and starts again, with no key pressed.
func powerCut(ctx context.Context, t *testing.T, s *suite) {
	other, untouched := e2etest.OtherDisk(t, s.room, "bystander")
	m := s.machine(ctx, t, "cut", e2e.BIOS, e2e.Virtio, other)
	s.order(ctx, t, m)
	on(ctx, t, m)
	defer m.PowerCut()
	if _, err := m.Console().WaitScreen(ctx, receiving...); err != nil {
		t.Fatal(err)
	}
	m.PowerCut()
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if known.Job == nil || known.Job.State != job.Started {
		t.Errorf("after the power cut the job is %+v, want it started", known.Job)
	}
	on(ctx, t, m)
	s.watch(ctx, t, m)
	e2etest.CheckSystem(ctx, t, m, s.container, m.Name)
	untouched()
}

// serverKilled kills the server in the middle of the stream. The agent says so, tries until the server
// is back, and goes on.
func serverKilled(ctx context.Context, t *testing.T, s *suite) {
	m := s.machine(ctx, t, "orphan", e2e.UEFI, e2e.Virtio)
	s.order(ctx, t, m)
	on(ctx, t, m)
	defer m.PowerCut()
	if _, err := m.Console().WaitScreen(ctx, receiving...); err != nil {
		t.Fatal(err)
	}
	s.site.Kill()
	// Reports fail too, at once; the stream goes on from multicast to HTTP first.
	if _, err := m.Console().WaitScreen(ctx, `WARNING\s+attempt`); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	s.watch(ctx, t, m)
	e2etest.CheckSystem(ctx, t, m, s.container, m.Name)
	all, err := s.site.Journal(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	warned := false
	for _, e := range all {
		warned = warned || e.Event.Level == job.Warning && e.Event.Phase == job.PhaseReceive
	}
	if !warned {
		t.Error("the journal does not say that the stream was interrupted")
	}
}

// dirtyDisk has a filesystem on it: it is refused with what would be lost, and taken when the operator names it. Its
// bus is one that the template's kernel does not drive, so it ends with the install.
func dirtyDisk(ctx context.Context, t *testing.T, s *suite) {
	m := s.machine(ctx, t, "dirty", e2e.UEFI, e2e.SATA)
	if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q",
		"-L", "thesis", m.Disks[0].File).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	before := e2etest.Hash(t, m.Disks[0].File)
	s.order(ctx, t, m)
	on(ctx, t, m)
	defer m.PowerCut()
	e, err := s.site.WaitJournal(ctx, m, "the refusal", func(e fleet.Entry) bool { return e.Event.State == job.Failed })
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ext4", "thesis", "dirty"} {
		if !strings.Contains(e.Event.Message, want) {
			t.Errorf("the refusal %q does not name %q", e.Event.Message, want)
		}
	}
	m.PowerCut()
	if after := e2etest.Hash(t, m.Disks[0].File); after != before {
		t.Error("the refused disk was changed")
	}
	s.order(ctx, t, m, "--erase", "dirty")
	on(ctx, t, m)
	if _, err := s.site.WaitJournal(ctx, m, "the end of the install", func(e fleet.Entry) bool {
		return e.Event.State == job.Done
	}); err != nil {
		t.Fatal(err)
	}
}
