package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// testBlobs are what a coordinator sends from.
type testBlobs map[blob.Digest][]byte

type testBlob struct{ *bytes.Reader }

func (testBlob) Close() error { return nil }

func (s testBlobs) open(_ context.Context, d blob.Digest) (Encoding, error) {
	b, ok := s[d]
	if !ok {
		return nil, fmt.Errorf("opening blob %s: %w", d, blob.ErrNotExist)
	}
	return testBlob{bytes.NewReader(b)}, nil
}

// testCoordinator is a coordinator on the loopback interface, with a clock of the test's.
type testCoordinator struct {
	*Coordinator
	t        *testing.T
	now      time.Time
	big, two blob.Digest
}

func newTestCoordinator(t *testing.T, change func(*Options)) *testCoordinator {
	t.Helper()
	big, two := bytes.Repeat([]byte("a"), 3<<20), bytes.Repeat([]byte("b"), 2<<20)
	d := &testCoordinator{t: t, now: time.Unix(1_800_000_000, 0), big: blob.Sum(big), two: blob.Sum(two)}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Links: []Link{{Interface: lo, Address: netip.MustParsePrefix("127.0.0.1/8"),
			Budget: multicast.NewBudget(1 << 20)}},
		Groups: netip.MustParsePrefix("239.255.0.0/16"), Port: 7469, Gather: time.Hour, Min: 1 << 20, Rate: 123456,
		Open: testBlobs{d.big: big, d.two: two}.open, Sources: []string{"http://origin"},
		Now: func() time.Time { return d.now },
	}
	if change != nil {
		change(&o)
	}
	if d.Coordinator, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

var (
	near127 = multicast.Network{Interface: "eth0", Prefix: netip.MustParsePrefix("127.0.0.9/8")}
	afar    = multicast.Network{Interface: "eth0", Prefix: netip.MustParsePrefix("10.5.0.7/24"),
		Gateway: netip.MustParseAddr("10.5.0.1")}
	radio    = multicast.Network{Interface: "wlan0", Prefix: netip.MustParsePrefix("127.0.0.8/8"), Wireless: true}
	sameName = multicast.Network{Interface: "eth0", Prefix: netip.MustParsePrefix("10.5.0.8/24"),
		Gateway: netip.MustParseAddr("10.5.0.2")}
)

func (d *testCoordinator) ask(who Asker, encoding blob.Digest, size int64, nets ...multicast.Network) multicast.Answer {
	d.t.Helper()
	a, err := d.Ask(d.t.Context(), who, multicast.Ask{Encoding: encoding, Size: size, Networks: nets})
	if err != nil {
		d.t.Fatal(err)
	}
	return a
}

func TestAskForHTTP(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
		who    Asker
		size   int64
		nets   []multicast.Network
		why    string
	}{
		{"switched off", func(o *Options) { o.Off = true }, Asker{}, 3 << 20,
			[]multicast.Network{near127}, "switched off"},
		{"small", nil, Asker{Expected: 9}, 1000, []multicast.Network{near127}, "too few"},
		{"wireless", nil, Asker{Expected: 9}, 3 << 20, []multicast.Network{radio}, "wireless"},
		{"no network", nil, Asker{Expected: 9}, 3 << 20, nil, "wireless"},
		{"alone", nil, Asker{Expected: 1}, 3 << 20, []multicast.Network{near127}, "no other machine"},
		{"alone afar", nil, Asker{Expected: 1}, 3 << 20, []multicast.Network{afar}, "no other machine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newTestCoordinator(t, c.change)
			if a := d.ask(c.who, d.big, c.size, c.nets...); a.Session != nil || a.Relay != nil ||
				!strings.Contains(a.Why, c.why) || a.Sources[0] != "http://origin" {
				t.Errorf("Ask() = %+v, want HTTP because of %q", a, c.why)
			}
		})
	}
}

func TestAskTogether(t *testing.T) {
	d := newTestCoordinator(t, func(o *Options) { o.Sessions = 1 })
	one, two := d.ask(Asker{Machine: "one", Expected: 2}, d.big, 3<<20, radio, near127),
		d.ask(Asker{Machine: "two", Expected: 2}, d.big, 3<<20, near127)
	if one.Session == nil || two.Session == nil || one.Session.ID != two.Session.ID ||
		one.Session.Receiver == two.Session.Receiver || bytes.Equal(one.Session.ReceiverKey, two.Session.ReceiverKey) {
		t.Fatalf("they get %+v and %+v, want one session and two receivers", one, two)
	}
	if err := one.Session.Validate(); err != nil {
		t.Error(err)
	}
	list, ok := d.Hashes(one.Session.Hashes)
	if _, err := multicast.ParseHashes(list, *one.Session); !ok || err != nil {
		t.Errorf("the block hashes: %v, %v", ok, err)
	}
	// A machine alone that comes while they gather joins them; another image finds the link taken.
	if a := d.ask(Asker{Machine: "three", Expected: 1}, d.big, 3<<20, near127); a.Session == nil ||
		a.Session.ID != one.Session.ID {
		t.Errorf("the third gets %+v", a)
	}
	if a := d.ask(Asker{Machine: "four", Expected: 2}, d.two, 2<<20, near127); a.Session != nil ||
		!strings.Contains(a.Why, "1 sessions run") {
		t.Errorf("another image gets %+v, want HTTP", a)
	}
	all := d.List()
	if len(all) != 1 || all[0].Status.State != datagram.Gathering || all[0].Names[one.Session.Receiver] != "one" ||
		all[0].Link != "lo" {
		t.Errorf("List() = %+v", all)
	}
	if _, err := d.Ask(t.Context(), Asker{Expected: 2}, multicast.Ask{Encoding: blob.Sum([]byte("?")), Size: 3 << 20,
		Networks: []multicast.Network{near127}}); !errors.Is(err, blob.ErrNotExist) && err != nil {
		t.Errorf("an unknown encoding: %v", err)
	}
	if _, err := d.Ask(t.Context(), Asker{}, multicast.Ask{Encoding: "x"}); err == nil {
		t.Error("no digest is taken")
	}
}

// Two machines that nobody expected find each other within a minute.
func TestAskOneAfterTheOther(t *testing.T) {
	d := newTestCoordinator(t, nil)
	if a := d.ask(Asker{Machine: "one", Expected: 1}, d.big, 3<<20, near127); a.Session != nil {
		t.Fatalf("the first gets %+v", a)
	}
	d.now = d.now.Add(50 * time.Second)
	if a := d.ask(Asker{Machine: "two", Expected: 1}, d.big, 3<<20, near127); a.Session == nil {
		t.Errorf("the second gets %+v, want a session", a)
	}
	if a := d.ask(Asker{Machine: "three", Expected: 1}, d.two, 2<<20, near127); a.Session != nil {
		t.Errorf("another image's first gets %+v", a)
	}
	d.now = d.now.Add(2 * time.Minute)
	if a := d.ask(Asker{Machine: "four", Expected: 1}, d.two, 2<<20, near127); a.Session != nil {
		t.Errorf("two minutes later it gets %+v", a)
	}
}

func TestAskForRelay(t *testing.T) {
	d := newTestCoordinator(t, nil)
	ordered := d.ask(Asker{Machine: "relay", Expected: 3}, d.big, 3<<20, afar)
	if ordered.Relay == nil || ordered.Session != nil || ordered.Relay.Rate != 123456 ||
		len(ordered.Relay.Secret) != datagram.KeySize {
		t.Fatalf("a machine behind a router gets %+v, want an order to relay", ordered)
	}
	// Before the relay says where it is nobody is sent there.
	if a := d.ask(Asker{Machine: "early", Expected: 3}, d.big, 3<<20, afar); a.Session != nil || a.Relay != nil ||
		a.After == 0 {
		t.Errorf("before the relay listens a neighbour gets %+v, want to ask again", a)
	}
	id := ordered.Relay.Session.ID
	report := multicast.RelayReport{Session: id, Sender: netip.MustParseAddrPort("10.5.0.7:4000"),
		Sources: []string{"http://10.5.0.7:5000"}, Status: multicast.SessionStatus{State: datagram.Gathering}}
	if _, err := d.Report("thief", report); !errors.Is(err, multicast.ErrNoSession) {
		t.Errorf("another machine reports it: %v, want ErrNoSession", err)
	}
	if _, err := d.Report("relay", report); err != nil {
		t.Fatal(err)
	}
	a := d.ask(Asker{Machine: "neighbour", Expected: 3}, d.big, 3<<20, afar)
	if a.Session == nil || a.Session.ID != id || a.Session.Sender != report.Sender ||
		a.Sources[0] != "http://10.5.0.7:5000" || a.Sources[1] != "http://origin" {
		t.Fatalf("a neighbour gets %+v", a)
	}
	if err := a.Session.Validate(); err != nil {
		t.Error(err)
	}
	if key, err := multicast.ReceiverKey(ordered.Relay.Secret, id, a.Session.Receiver); err != nil ||
		!bytes.Equal(key, a.Session.ReceiverKey) {
		t.Errorf("the relay would not know the neighbour: %v", err)
	}
	if a := d.ask(Asker{Machine: "other site", Expected: 3}, d.big, 3<<20, sameName); a.Session != nil {
		t.Errorf("a machine behind another router gets %+v", a)
	}
	// What an operator wants goes out with the next report, once.
	if err := errors.Join(d.Start(id), d.Hold(id, time.Minute), d.Cap(id, 50_000)); err != nil {
		t.Fatal(err)
	}
	c, err := d.Report("relay", report)
	if err != nil || !c.Start || c.Stop || c.Hold == nil || *c.Hold != time.Minute || c.Cap == nil || *c.Cap != 50_000 {
		t.Errorf("the relay is told %+v, %v", c, err)
	}
	if c, err := d.Report("relay", report); err != nil || c != (multicast.RelayCommand{}) {
		t.Errorf("the relay is told %+v again, %v", c, err)
	}
	d.now = d.now.Add(7 * multicast.RelayInterval)
	if a := d.ask(Asker{Machine: "neighbour", Expected: 3}, d.big, 3<<20, afar); a.Session != nil &&
		a.Session.ID == id {
		t.Errorf("a neighbour is sent to a relay that is silent: %+v", a)
	}
	report.Status.State = datagram.Closed
	if _, err := d.Report("relay", report); err != nil {
		t.Error(err)
	}
	if _, err := d.Report("relay", report); !errors.Is(err, multicast.ErrNoSession) {
		t.Errorf("after its end the session is still there: %v", err)
	}
	for _, bad := range []string{"0.0.0.0:1", "239.1.1.1:4", "10.0.0.1:0", "[::1]:5"} {
		if _, err := d.Report("relay",
			multicast.RelayReport{Session: id, Sender: netip.MustParseAddrPort(bad)}); err == nil {
			t.Errorf("a relay at %s is taken", bad)
		}
	}
}

// A machine that an operator told to relay does so on the server's own network too, and is preferred there.
func TestRelayNearby(t *testing.T) {
	d := newTestCoordinator(t, nil)
	own := d.ask(Asker{Machine: "one", Expected: 2}, d.big, 3<<20, near127)
	o := d.ask(Asker{Machine: "relay", Relay: true}, d.big, 100, near127)
	if own.Session == nil || o.Relay == nil {
		t.Fatalf("they get %+v and %+v", own, o)
	}
	if _, err := d.Report("relay", multicast.RelayReport{Session: o.Relay.Session.ID,
		Sender: netip.MustParseAddrPort("127.0.0.9:4000"),
		Status: multicast.SessionStatus{State: datagram.Gathering}}); err != nil {
		t.Fatal(err)
	}
	if a := d.ask(Asker{Machine: "two", Expected: 2}, d.big, 3<<20, near127); a.Session == nil ||
		a.Session.ID != o.Relay.Session.ID {
		t.Errorf("the next gets %+v, want the relay", a)
	}
	if o.Relay.Session.Group == own.Session.Group {
		t.Error("two sessions have one group")
	}
}

func TestControlSessions(t *testing.T) {
	d := newTestCoordinator(t, nil)
	a := d.ask(Asker{Machine: "one", Expected: 2}, d.big, 3<<20, near127)
	id := a.Session.ID
	for name, err := range map[string]error{
		"hold for days": d.Hold(id, 48*time.Hour), "hold backwards": d.Hold(id, -1), "cap at nothing": d.Cap(id, 5),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := d.Hold(id, time.Minute); err != nil {
		t.Error(err)
	}
	if err := d.Stop(id); err != nil {
		t.Error(err)
	}
	for len(d.List()) > 0 {
		if t.Context().Err() != nil {
			t.Fatal("it does not end")
		}
		time.Sleep(time.Millisecond)
	}
	for name, f := range map[string]func(multicast.ID) error{"start": d.Start, "stop": d.Stop} {
		if err := f(id); !errors.Is(err, multicast.ErrNoSession) {
			t.Errorf("%s after its end: %v, want ErrNoSession", name, err)
		}
	}
}

func TestGroups(t *testing.T) {
	d := newTestCoordinator(t, nil)
	seen := map[uint32]bool{}
	for range 300 {
		id := multicast.NewID()
		g := d.group(id)
		b := g.Addr().As4()
		low := uint32(b[1]&0x7f)<<16 | uint32(b[2])<<8 | uint32(b[3])
		if !netip.MustParsePrefix("239.255.0.0/16").Contains(g.Addr()) || g.Port() != 7469 || seen[low] ||
			b[2] == 0 && b[3] == 0 || b[2] == 255 && b[3] == 255 {
			t.Fatalf("group %v", g)
		}
		seen[low] = true
		d.sessions[id] = &session{info: multicast.Session{Group: g}}
	}
	clear(d.sessions)
	for groups, ok := range map[string]bool{
		"10.0.0.0/8": false, "239.255.0.0/25": false, "224.0.0.0/24": false, "239.128.0.0/24": false,
		"239.128.0.0/23": true, "239.255.7.0/24": true, "224.0.0.0/4": true,
	} {
		c, err := New(Options{Groups: netip.MustParsePrefix(groups), Port: 1, Open: testBlobs{}.open})
		if (err == nil) != ok {
			t.Errorf("groups %s: %v", groups, err)
		}
		if err == nil {
			for id := range multicast.ID(600) { // there is always one, even when they are used up
				g := c.group(id)
				if !netip.MustParsePrefix(groups).Contains(g.Addr()) {
					t.Fatalf("group %v is not of %s", g, groups)
				}
				c.sessions[id] = &session{info: multicast.Session{Group: g}}
			}
		}
	}
}

// TestPrivateRelay orders a relay where sources take a token: neighbours hear of the origin alone, whatever the relay
// says.
func TestPrivateRelay(t *testing.T) {
	d := newTestCoordinator(t, func(o *Options) { o.Private = true })
	a := d.ask(Asker{Machine: "one", Expected: 2}, d.big, 3<<20, afar)
	if a.Relay == nil || !a.Relay.Private {
		t.Fatalf("Ask() = %+v, want a private order to relay", a)
	}
	if _, err := d.Report("one", multicast.RelayReport{Session: a.Relay.Session.ID,
		Sender: netip.MustParseAddrPort("10.5.0.7:1000"), Sources: []string{"http://10.5.0.7:80"}}); err != nil {
		t.Fatal(err)
	}
	b := d.ask(Asker{Machine: "two", Expected: 2}, d.big, 3<<20, afar)
	if b.Session == nil || len(b.Session.Sources) != 1 || b.Session.Sources[0] != "http://origin" {
		t.Errorf("Ask() = %+v, want a session with the origin as its source", b)
	}
}

// TestAskTooOften asks for one session again and again, and for a relay of one encoding after the other: neither the
// numbers of a session nor the list of sessions is used up by one machine.
func TestAskTooOften(t *testing.T) {
	d := newTestCoordinator(t, nil)
	for i := range receiversEach + 1 {
		a := d.ask(Asker{Machine: "one", Expected: 2}, d.big, 3<<20, near127)
		if (a.Session != nil) != (i < receiversEach) {
			t.Fatalf("ask %d of one machine = %+v", i+1, a)
		}
	}
	if a := d.ask(Asker{Machine: "two", Expected: 2}, d.big, 3<<20, near127); a.Session == nil {
		t.Errorf("another machine = %+v, want the session", a)
	}
	for i := range maxRelays + 1 {
		a, err := d.Ask(t.Context(), Asker{Machine: fmt.Sprint("relay ", i), Relay: true},
			multicast.Ask{Encoding: d.two, Size: 2 << 20, Networks: []multicast.Network{afar}})
		if err != nil || (a.Relay != nil) != (i < maxRelays) {
			t.Fatalf("order %d to relay = %+v, %v", i+1, a, err)
		}
	}
}
