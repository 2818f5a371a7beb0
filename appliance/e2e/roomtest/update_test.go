package roomtest

import (
	"context"
	"os"
	"strings"
	"testing"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// updates gives a machine that runs the next version of its image, and then one that does not pass its own health
// check: the machine falls back by itself, and the server knows why. Homes and persistent data are the same after both.
func (s *suite) updates(ctx context.Context, t *testing.T, m *e2e.Machine, sh e2etest.Shell) {
	t.Helper()
	select {
	case <-s.begun: // the other machine takes the newest version that there is
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	const state = "cat /etc/hostname /etc/machine-id /etc/lab.key; " +
		"sha256sum /home/ada/work /persistent/lab /etc/ssh/ssh_host_*_key; " +
		"stat -c '%u %g %a %n' /home/ada /home/ada/work; getent passwd ada; " +
		"tail -n +2 /proc/swaps | awk '{print $1, $2}'"
	before := sh.Ask(ctx, t, "head -c 300000 /dev/urandom | base64 >/home/ada/work; "+
		"head -c 300000 /dev/urandom | base64 >/persistent/lab; chown ada: /home/ada/work; "+
		state)

	next := s.publish(ctx, t, "usr/lib/lab-release", "3\n", 0o644)
	if err := s.site.Update(ctx, m, next); err != nil {
		t.Fatal(err)
	}
	done := s.waitFor(ctx, t, m, "the end of the update", e2e.InState(job.Done), next)
	t.Logf("figure: update: %s, %s", next, done.Event.Message)
	s.runs(ctx, t, sh, next, before, state)
	s.knows(ctx, t, m, "deployed", next)

	bad := s.publish(ctx, t, "etc/griddle/health.d/50-database",
		"#!/bin/sh\necho the database does not answer\nexit 1\n", 0o755)
	if err := s.site.Update(ctx, m, bad); err != nil {
		t.Fatal(err)
	}
	fell := s.waitFor(ctx, t, m, "the fallback", e2e.InState(job.Failed), bad)
	t.Logf("figure: fallback: %s", fell.Event.Message)
	if !strings.Contains(fell.Event.Message, "50-database") {
		t.Errorf("the server knows of the fallback only that %q", fell.Event.Message)
	}
	s.runs(ctx, t, sh, next, before, state)
	s.knows(ctx, t, m, "update failed", next)
}

// publish changes a file of the container, publishes it, and returns the image.
func (s *suite) publish(ctx context.Context, t *testing.T, file, text string, mode os.FileMode) string {
	t.Helper()
	if err := s.container.WriteFile(file, text, mode); err != nil {
		t.Fatal(err)
	}
	p, err := s.site.Publish(ctx, s.container, e2e.ContainerName)
	if err != nil {
		t.Fatal(err)
	}
	if p.Kind != "delta" || p.Wire > 1<<20 {
		t.Errorf("published %+v, want a small delta", p)
	}
	return p.Ref
}

// waitFor waits for an entry of the journal about the job for an image.
func (s *suite) waitFor(ctx context.Context, t *testing.T, m *e2e.Machine, what string, ok func(fleet.Entry) bool,
	image string) fleet.Entry {
	t.Helper()
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if known.Job == nil || known.Job.Spec.Image.Ref != image {
		t.Fatalf("the last job of %s is %+v, want an update to %s", m.Name, known.Job, image)
	}
	e, err := s.site.WaitJournal(ctx, m, what, func(e fleet.Entry) bool {
		return e.Event.Job == known.Job.Spec.ID && ok(e)
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// runs checks that the machine runs an image, with the same state as before.
func (s *suite) runs(ctx context.Context, t *testing.T, sh e2etest.Shell, image, before, state string) {
	t.Helper()
	if after := sh.Ask(ctx, t, state); after != before {
		t.Errorf("the state of the machine with %s differs:\n%s\nit was\n%s", image, after, before)
	}
	root := strings.Replace(image, ":", "-", 1)
	const ask = "findmnt -no FSROOT /; cat /usr/lib/lab-release; systemctl --failed --plain --no-legend"
	if got := sh.Ask(ctx, t, ask); got != "/@roots/"+root+"\n3" {
		t.Errorf("the machine runs %q, want %s without failed units", got, root)
	}
}

// knows checks what the server says of a machine, and which image it knows to run there.
func (s *suite) knows(ctx context.Context, t *testing.T, m *e2e.Machine, status, image string) {
	t.Helper()
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if known.Status != status || known.Deployed == nil || known.Deployed.Image != image {
		t.Errorf("the server knows %s as %q with %+v, want it %s with %s", m.Name, known.Status, known.Deployed,
			status, image)
	}
}
