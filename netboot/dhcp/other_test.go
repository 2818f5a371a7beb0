package dhcp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func newQuestions() *questions {
	return &questions{own: net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}, all: map[dhcpv4.TransactionID]*question{}}
}

// Each question is asked twice; every other one comes from an Ethernet address that no one can know before.
func TestQuestions(t *testing.T) {
	q := newQuestions()
	now := time.Unix(1e9, 0)
	var asked []*dhcpv4.DHCPv4
	for n := range 8 * maxQuestions {
		p, err := q.next(now.Add(time.Duration(n) * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, p)
	}
	for n, p := range asked[:8] {
		if same := p.TransactionID == asked[n^1].TransactionID; !same {
			t.Errorf("question %d is asked once", n)
		}
		if own := p.ClientHWAddr.String() == q.own.String(); own != (n/2%2 == 0) ||
			p.ClientHWAddr[0]&1 != 0 || !p.IsBroadcast() {
			t.Errorf("question %d comes from %s, broadcast %v", n, p.ClientHWAddr, p.IsBroadcast())
		}
	}
	if len(q.all) > maxQuestions {
		t.Errorf("%d questions are remembered", len(q.all))
	}
}

func TestHear(t *testing.T) {
	mine, theirs := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	now := time.Unix(1e9, 0)
	q := newQuestions()
	asked, err := q.next(now)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*dhcpv4.DHCPv4)
		after  time.Duration
		want   Heard
		ok     bool
	}{
		{"an answer", func(*dhcpv4.DHCPv4) {}, time.Second, Heard{theirs, true, asked.TransactionID}, true},
		{"an acknowledgement", func(p *dhcpv4.DHCPv4) { p.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck)) },
			0, Heard{theirs, true, asked.TransactionID}, true},
		{"an answer to a question of long ago", func(*dhcpv4.DHCPv4) {}, time.Hour, Heard{Server: theirs}, true},
		{"another transaction", func(p *dhcpv4.DHCPv4) { p.TransactionID[0]++ }, 0, Heard{Server: theirs}, true},
		{"another machine", func(p *dhcpv4.DHCPv4) { p.ClientHWAddr = net.HardwareAddr{2, 0, 0, 0, 0, 9} }, 0,
			Heard{Server: theirs}, true},
		{"no option 54", func(p *dhcpv4.DHCPv4) { delete(p.Options, 54); p.ServerIPAddr = theirs.AsSlice() }, 0,
			Heard{theirs, true, asked.TransactionID}, true},
		{"no server at all", del(54), 0, Heard{}, false},
		{"ourselves", set(54, "\x0a\x00\x00\x01"), 0, Heard{}, false},
		{"a proxy", func(p *dhcpv4.DHCPv4) { p.YourIPAddr = net.IPv4zero }, 0, Heard{}, false},
		{"a refusal", func(p *dhcpv4.DHCPv4) { p.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak)) },
			0, Heard{}, false},
		{"a request", func(p *dhcpv4.DHCPv4) { p.OpCode = dhcpv4.OpcodeBootRequest }, 0, Heard{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := dhcpv4.NewReplyFromRequest(asked, dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer),
				dhcpv4.WithYourIP(net.IP{10, 0, 0, 9}),
				dhcpv4.WithOption(dhcpv4.OptServerIdentifier(theirs.AsSlice())))
			if err != nil {
				t.Fatal(err)
			}
			tt.change(p)
			if got, ok := q.hear(p.ToBytes(), mine, now.Add(tt.after)); got != tt.want || ok != tt.ok {
				t.Errorf("hear = %v, %v, want %v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzHear(f *testing.F) {
	asked, err := newQuestions().next(time.Unix(1e9, 0))
	if err != nil {
		f.Fatal(err)
	}
	offer, err := dhcpv4.NewReplyFromRequest(asked, dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer),
		dhcpv4.WithYourIP(net.IP{10, 0, 0, 9}),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 0, 0, 2})))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(offer.ToBytes())
	f.Add(append(offer.ToBytes()[:240], 52, 1, 3))
	mine := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := newQuestions().hear(b, mine, time.Unix(1e9, 0))
		if ok && (!h.Server.IsValid() || h.Server == mine || h.Asked) {
			t.Errorf("heard %+v", h)
		}
	})
}
