package netboot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"griddle/netboot/dhcp"
	"griddle/netboot/lease"
)

func TestRefusals(t *testing.T) {
	var r refusals
	now := time.Unix(1e9, 0)
	mac := func(n int) [6]byte { return [6]byte{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)} }
	for _, at := range []struct {
		second int
		want   bool
	}{{0, true}, {1, false}, {59, false}, {60, true}, {61, false}} {
		if tell, _ := r.due(mac(0), now.Add(time.Duration(at.second)*time.Second)); tell != at.want {
			t.Errorf("after %d s: told %v, want %v", at.second, tell, at.want)
		}
	}
	now = now.Add(time.Hour)
	told, others := 0, 0
	for n := range 5 * maxReported {
		tell, more := r.due(mac(n), now)
		if tell {
			told++
		}
		others += more
	}
	if told > maxReported || len(r.told) > maxReported || others != 0 {
		t.Errorf("of %d machines in one second %d are told, %d are remembered, %d are counted already", 5*maxReported,
			told, len(r.told), others)
	}
	tell, more := r.due(mac(1), now.Add(tellEvery))
	if !tell || more != 5*maxReported-told {
		t.Errorf("a minute later: told %v, with %d more, want %d", tell, more, 5*maxReported-told)
	}
	if _, more := r.due(mac(2), now.Add(tellEvery)); more != 0 {
		t.Errorf("the others are told again: %d", more)
	}
}

func TestOthers(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	now := time.Unix(1e9, 0)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	asked := func(s netip.Addr, id byte) dhcp.Heard {
		return dhcp.Heard{Server: s, Asked: true, ID: dhcpv4.TransactionID{id}}
	}
	var o others
	if !o.heard(dhcp.Heard{Server: a}, now) || o.heard(dhcp.Heard{Server: b}, at(30*time.Second)) ||
		!o.heard(dhcp.Heard{Server: a}, at(time.Minute)) {
		t.Error("another server is said other than once a minute")
	}
	// Forged offers make a notice, and no more.
	if got := o.present(at(time.Minute), false); !slices.Equal(got, []netip.Addr{a, b}) {
		t.Errorf("present: %v", got)
	}
	if got := o.present(at(time.Minute), true); len(got) != 0 {
		t.Errorf("%v are proven without an answer", got)
	}
	o.heard(asked(a, 1), at(time.Minute))
	o.heard(asked(a, 1), at(time.Minute))
	if got := o.present(at(time.Minute), true); len(got) != 0 {
		t.Errorf("%v are proven by two answers to one question", got)
	}
	o.heard(asked(a, 2), at(time.Minute))
	if got := o.present(at(time.Minute), true); !slices.Equal(got, []netip.Addr{a}) {
		t.Errorf("proven: %v", got)
	}
	if got := o.present(at(time.Minute+heardFor), false); len(got) != 0 {
		t.Errorf("%v are present after their time", got)
	}
	o.heard(asked(a, 3), at(2*heardFor))
	if got := o.present(at(2*heardFor), true); len(got) != 0 {
		t.Errorf("%v are proven by answers of long ago", got)
	}
	o.heard(asked(a, 4), at(2*heardFor))
	for n := range 1000 {
		o.heard(dhcp.Heard{Server: netip.AddrFrom4([4]byte{9, 9, byte(n >> 8), byte(n)})}, at(2*heardFor))
	}
	if got := o.present(at(2*heardFor), true); len(o.servers) > maxServers || !slices.Equal(got, []netip.Addr{a}) {
		t.Errorf("after 1000 forged servers %d are remembered, %v proven", len(o.servers), got)
	}
}

// A server that steps down renews what it gave, and gives nothing else.
func TestStepDown(t *testing.T) {
	pool, err := lease.Open(lease.Config{Path: t.TempDir() + "/leases", First: netip.MustParseAddr("10.0.0.10"),
		Last: netip.MustParseAddr("10.0.0.20")})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s := &Server{conf: Config{}}
	l := leaser{pool, s.pausedError}
	old, other := [6]byte{2, 1}, [6]byte{2, 2}
	a, _, err := l.Offer(old, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if _, v, err := l.Commit(old, a); v != dhcp.Granted || err != nil {
		t.Fatal(v, err)
	}
	// An offer that was made before.
	b, _, err := l.Offer(other, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	server := netip.MustParseAddr("10.0.0.2")
	s.others.heard(dhcp.Heard{Server: server}, time.Now())
	s.others.heard(dhcp.Heard{Server: server, Asked: true, ID: dhcpv4.TransactionID{1}}, time.Now())
	s.others.heard(dhcp.Heard{Server: server, Asked: true, ID: dhcpv4.TransactionID{2}}, time.Now())
	if _, v, err := l.Commit(other, b); v != dhcp.Granted || err != nil {
		t.Errorf("other_server: warn silences the site: %v, %v", v, err)
	}
	s.newer.Store(&Config{StepDown: true})
	third := [6]byte{2, 3}
	var h pauseReason
	if _, _, err := l.Offer(third, netip.Addr{}); !errors.As(err, &h) || !strings.Contains(err.Error(), "10.0.0.2") {
		t.Errorf("stepped down, and offers: %v", err)
	}
	if _, v, err := l.Commit(third, netip.MustParseAddr("10.0.0.15")); v != dhcp.Unknown || err != nil {
		t.Errorf("stepped down, and leases: %v, %v", v, err)
	}
	if got, _, err := l.Offer(old, netip.Addr{}); got != a || err != nil {
		t.Errorf("a machine that holds %v and starts again is offered %v, %v", a, got, err)
	}
	if _, v, err := l.Commit(old, a); v != dhcp.Granted || err != nil {
		t.Errorf("renewing: %v, %v", v, err)
	}
}

func TestLinkTrouble(t *testing.T) {
	up := net.FlagUp | net.FlagRunning
	state := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	tests := []struct {
		name  string
		flags net.Flags
		sys   fstest.MapFS
		want  string
	}{
		{"all is well", up, fstest.MapFS{"class/net/eth0/carrier": state("1")}, ""},
		{"no sysfs of this namespace", up, fstest.MapFS{}, ""},
		{"down", 0, nil, "eth0 is down"},
		{"no carrier", net.FlagUp, nil, "eth0 has no carrier: "},
		{"a bridge whose port listens", up,
			fstest.MapFS{"class/net/eth0/brif/p1/state": state("1"), "class/net/eth0/brif/p0/state": state("3")},
			"p1 does not forward yet (spanning tree)"},
		{"a bridge without running ports", net.FlagUp, fstest.MapFS{"class/net/eth0/brif/p0/state": state("2")},
			"p0 does not forward yet (spanning tree)"},
		{"a bridge with a port that is off and one that is blocked", up,
			fstest.MapFS{"class/net/eth0/brif/p0/state": state("0"), "class/net/eth0/brif/p1/state": state("4"),
				"class/net/eth0/brif/p2/state": state("3")}, ""},
		{"a port", up, fstest.MapFS{"class/net/eth0/brport/state": state("2")},
			"eth0 does not forward yet (spanning tree)"},
		{"a VLAN of a bridge", up,
			fstest.MapFS{"class/net/eth0/lower_br0/x": state(""), "class/net/br0/brif/p0/state": state("1")},
			"p0 does not forward yet (spanning tree)"},
		{"interfaces that are below each other", up, fstest.MapFS{"class/net/eth0/lower_eth0/x": state("")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := linkTrouble(&net.Interface{Name: "eth0", Flags: tt.flags}, tt.sys)
			if got != tt.want && (tt.want == "" || !strings.HasPrefix(got, tt.want)) {
				t.Errorf("linkTrouble = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNotices(t *testing.T) {
	s := &Server{}
	for _, err := range []error{nil, pauseReason("stepped down"), fmt.Errorf("x: %w", lease.ErrFull),
		errors.New("disk full"), errors.New("disk still full")} {
		s.leasesTrouble(err)
	}
	s.notices.set(noticeLink, "no cable", time.Time{}, 0)
	got := s.notices.list(time.Now())
	if len(got) != 3 || got[0] != "no cable" || !strings.Contains(got[1], "dhcp.pool larger") ||
		!strings.Contains(got[2], "disk still full") {
		t.Errorf("notices %q", got)
	}
	if got := s.notices.list(time.Now().Add(time.Hour)); len(got) != 1 {
		t.Errorf("after an hour: %q", got)
	}
	s.notices.clear(noticeLink)
	if got := s.notices.list(time.Now().Add(time.Hour)); len(got) != 0 {
		t.Errorf("cleared: %q", got)
	}
}
