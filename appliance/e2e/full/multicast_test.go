//go:build e2e

package full

import (
	"context"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"griddle/appliance/e2e"
	"griddle/appliance/e2e/e2etest"
	"griddle/appliance/job"
	"griddle/imagestore/multicast"
)

// TestTogether has three machines install from one session, which a fourth holds that has a disk and does not touch it.
// Two are switched on together and one ten seconds later; the session starts with the two that are ready first, and is
// slow enough for the third. Then the three get another image while they run.
func TestTogether(t *testing.T) {
	room := e2etest.Open(t)
	container, err := room.Container(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	site := room.Site(e2e.DHCP)
	versions, err := site.PublishTwice(t.Context(), container)
	if err != nil {
		t.Fatal(err)
	}
	published := versions[1]
	s := &suite{room: room, site: site, container: container, image: published.Ref,
		config: filepath.Join(room.Dir, "griddle.yaml")}
	s.startWith(t, "multicast: {rate: 6, gather: 10m, machines: 2}\n"+slowCheckIns)
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()

	relay := s.machine(ctx, t, "relay", e2e.BIOS, e2e.Virtio)
	before := e2etest.Hash(t, relay.Disks[0].File)
	if err := site.Relay(ctx, relay, published.Ref); err != nil {
		t.Fatal(err)
	}
	var machines []*e2e.Machine
	for _, h := range []struct {
		name     string
		firmware e2e.Firmware
	}{{"early", e2e.BIOS}, {"twin", e2e.UEFI}, {"late", e2e.BIOS}} {
		m := s.machine(ctx, t, h.name, h.firmware, e2e.Virtio)
		s.order(ctx, t, m)
		machines = append(machines, m)
	}
	on(ctx, t, relay)
	defer relay.PowerCut()
	if _, err := site.WaitJournal(ctx, relay, "the relay", e2e.InState(job.Started)); err != nil {
		t.Fatal(err)
	}

	var wg sync.WaitGroup
	for i, m := range machines {
		if i == 2 {
			select {
			case <-time.After(10 * time.Second): // it is the test's: one comes late
			case <-ctx.Done():
			}
		}
		on(ctx, t, m)
		defer m.PowerCut()
		wg.Go(func() {
			times, err := site.Watch(ctx, m)
			if err != nil {
				t.Error(err)
			}
			t.Logf("figure: %s: %v", m.Name, times)
		})
	}
	session := s.sessionOf(ctx, t, relay, len(machines))
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, m := range machines {
		came, percent := s.ways(ctx, t, m)
		t.Logf("figure: %s: %s", m.Name, came)
		// Emulated machines stand still for seconds now and then; what they miss meanwhile comes by HTTP.
		if percent < 25 {
			t.Errorf("%s got %d %% by multicast: %s", m.Name, percent, came)
		}
		e2etest.CheckSystem(ctx, t, m, container, m.Name)
	}
	t.Logf("figure: session %v of %s, held by %s: %d receivers, %d bytes of parity, %d sent again", session.ID,
		published.Ref, session.Relay, len(session.Status.Receivers),
		session.Status.Parity, session.Status.Again)
	relay.PowerCut()
	if after := e2etest.Hash(t, relay.Disks[0].File); after != before {
		t.Error("the disk of the machine that only relays was written to")
	}
	s.updatesTogether(ctx, t, machines)
}

// sessionOf waits until the session that relay holds has so many receivers, and returns it as it is then.
func (s *suite) sessionOf(ctx context.Context, t *testing.T, relay *e2e.Machine, receivers int) multicast.Listed {
	t.Helper()
	known, err := s.site.Machine(ctx, relay)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last []multicast.Listed
	for {
		select {
		case <-ctx.Done():
			t.Errorf("no session of %s with %d receivers; there was %+v", known.Name, receivers, last)
			return multicast.Listed{}
		case <-tick.C:
		}
		all, err := s.site.Sessions(ctx)
		if err != nil {
			continue // the server is busy
		}
		for _, l := range all {
			last = all
			if l.Relay == known.Name && len(l.Status.Receivers) >= receivers {
				return l
			}
			if l.Relay == "" {
				t.Errorf("the server holds session %v itself", l.ID)
			}
		}
	}
}

// multicastShare is how much of the image came by multicast, in what the agent says of it.
var multicastShare = regexp.MustCompile(`([0-9]+) % multicast`)

// ways is what the agent said of the ways on which the image came, and how many percent of it by multicast.
func (s *suite) ways(ctx context.Context, t *testing.T, m *e2e.Machine) (came string, percent int) {
	t.Helper()
	all, err := s.site.Journal(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if strings.Contains(e.Event.Message, "received over the network") {
			came = e.Event.Message
		}
	}
	return came, multicastPercent(came)
}

func multicastPercent(came string) (percent int) {
	if share := multicastShare.FindStringSubmatch(came); share != nil {
		percent, _ = strconv.Atoi(share[1])
	}
	return percent
}
