//go:build e2e

package full

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/fleet"
	"griddle/appliance/job"
)

// slowCheckIns has services ask for updates so seldom that they do it far apart, compared with the ten seconds for
// which a session waits by itself.
const slowCheckIns = "check_in_every: 40s\n"

// What the machines of a room have to keep, and a file of the image that makes the update large enough for a session.
const (
	kept  = "cat /etc/hostname /etc/machine-id; sha256sum /etc/ssh/ssh_host_*_key"
	large = "usr/share/lab/data"
)

// updatesTogether gives machines that run another image by one order. Their services hear of it one after the other,
// and they receive it in one session, each byte once. They take it when a person restarts them.
func (s *suite) updatesTogether(ctx context.Context, t *testing.T, machines []*e2e.Machine) {
	noise := make([]byte, 12<<20)
	_, _ = rand.Read(noise)
	if err := s.container.WriteFile(large, base64.StdEncoding.EncodeToString(noise), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := s.site.Publish(ctx, s.container, e2e.ContainerName)
	if err != nil {
		t.Fatal(err)
	}
	if p.Kind != "delta" || p.Wire < 12<<20 {
		t.Fatalf("published %+v, want a delta of at least 12 MB", p)
	}
	if err := s.site.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	s.startWith(t, "multicast: {rate: 6}\n"+slowCheckIns)
	var before []string
	for _, m := range machines {
		before = append(before, e2etest.Shell(m.Run).Ask(ctx, t, kept))
	}
	begun := time.Now()
	if err := s.site.UpdateAll(ctx, machines, p.Ref, "--when", "reboot"); err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		if _, err := s.ofJob(ctx, m, "the switch", func(e fleet.Entry) bool {
			return e.Event.Phase == job.PhaseSwitch
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("figure: %d machines have %s after %.1f s", len(machines), p.Ref, time.Since(begun).Seconds())
	s.oneSession(ctx, t, len(machines), p.Wire)
	for _, m := range machines {
		came := e2etest.Shell(m.Run).Ask(ctx, t, "journalctl -u griddle-update -o cat | grep 'received over'")
		t.Logf("figure: %s: %s", m.Name, came)
		if percent := multicastPercent(came); percent < 25 { // see TestTogether
			t.Errorf("%s got %d %% by multicast: %s", m.Name, percent, came)
		}
	}
	var over sync.WaitGroup
	for i, m := range machines {
		over.Go(func() { s.restartsInto(ctx, t, m, p.Ref, before[i]) })
	}
	over.Wait()
}

// ofJob waits for an entry about the last job of a machine.
func (s *suite) ofJob(ctx context.Context, m *e2e.Machine, what string,
	ok func(fleet.Entry) bool) (fleet.Entry, error) {
	known, err := s.site.Machine(ctx, m)
	if err != nil {
		return fleet.Entry{}, err
	}
	return s.site.WaitJournal(ctx, m, what, func(e fleet.Entry) bool {
		return e.Event.Job == known.Job.Spec.ID && ok(e)
	})
}

var (
	joined = regexp.MustCompile(`msg="stream by multicast" machine=(\S+) session=(\S+) `)
	closed = regexp.MustCompile(`msg="multicast session closed" session=(\S+) .* sent=(\d+) parity=(\d+) again=(\d+) ` +
		`receivers=(\d+)`)
)

// oneSession checks that the server sent an encoding of size bytes once, in one session, to so many machines.
func (s *suite) oneSession(ctx context.Context, t *testing.T, machines int, size int64) {
	t.Helper()
	if err := s.site.Log.WaitCount(ctx, closed.String(), 1); err != nil {
		t.Fatal(err)
	}
	log := s.site.Log.Text()
	who, sessions := map[string]bool{}, map[string]bool{}
	for _, l := range joined.FindAllStringSubmatch(log, -1) {
		who[l[1]], sessions[l[2]] = true, true
	}
	if len(sessions) != 1 || len(who) != machines {
		t.Errorf("%d machines were in %d sessions, want %d in one:\n%s", len(who), len(sessions), machines,
			strings.Join(grep(log, "stream by"), "\n"))
	}
	end := closed.FindStringSubmatch(log)
	sent, _ := strconv.ParseInt(end[2], 10, 64)
	if sent < size || sent > size+size/20 || end[5] != strconv.Itoa(machines) {
		t.Errorf("the session sent %s bytes to %s machines, want about %d to %d", end[2], end[5], size, machines)
	}
	t.Logf("figure: one session for %s machines: %d bytes to send, %s sent once, %s of parity, %s again", end[5], size,
		end[2], end[3], end[4])
}

func grep(text, word string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return !strings.Contains(l, word) })
}

// restartsInto restarts a machine as a person does, and checks that it runs an image and keeps what it has.
func (s *suite) restartsInto(ctx context.Context, t *testing.T, m *e2e.Machine, image, before string) {
	if _, err := m.Run(ctx, "(setsid sh -c 'sleep 1; reboot' >/dev/null 2>&1 &)"); err != nil {
		t.Error(err)
		return
	}
	if _, err := s.ofJob(ctx, m, "the new system", e2e.InState(job.Done)); err != nil {
		t.Error(err)
		return
	}
	if _, err := m.WaitLogin(ctx); err != nil {
		t.Error(err)
		return
	}
	if err := m.Login(ctx); err != nil {
		t.Error(err)
		return
	}
	s.checkUpdated(ctx, t, m, image, before, e2etest.Shell(m.Run).Ask(ctx, t, kept))
}
