package dhcp

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// edit parses a captured packet and changes it.
func edit(t testing.TB, name string, change func(*dhcpv4.DHCPv4)) *Request {
	t.Helper()
	p, err := dhcpv4.FromBytes(captured(t, name))
	if err != nil {
		t.Fatal(err)
	}
	change(p)
	r, err := Parse(p.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func del(codes ...uint8) func(*dhcpv4.DHCPv4) {
	return func(p *dhcpv4.DHCPv4) {
		for _, c := range codes {
			delete(p.Options, c)
		}
	}
}

func set(code uint8, v string) func(*dhcpv4.DHCPv4) {
	return func(p *dhcpv4.DHCPv4) { p.Options[code] = []byte(v) }
}

func both(fs ...func(*dhcpv4.DHCPv4)) func(*dhcpv4.DHCPv4) {
	return func(p *dhcpv4.DHCPv4) {
		for _, f := range fs {
			f(p)
		}
	}
}

func TestBootFile(t *testing.T) {
	const script = "http://10.78.0.1:8080/boot.ipxe?mac=52:54:00:78:00:01&uuid=${uuid}&arch=0"
	tests := []struct {
		name, capture string
		change        func(*dhcpv4.DHCPv4)
		want          string
	}{
		{"iPXE", "bios-rom-discover", del(), script},
		{"iPXE with a counted user class", "bios-rom-discover", set(77, "\x04iPXE"), script},
		{"iPXE that lists no features", "bios-rom-discover", del(175), script},
		{"iPXE without HTTP", "bios-rom-discover", set(175, "\x11\x01\x01\x15\x01\x01"), "undionly.kpxe"},
		{"iPXE with broken features", "bios-rom-discover", set(175, "\x11\xff\x01"), "undionly.kpxe"},
		{"BIOS ROM that is no iPXE", "bios-rom-discover", del(77, 175), "undionly.kpxe"},
		{"architecture in option 60 alone", "bios-rom-discover", del(77, 175, 93), "undionly.kpxe"},
		{"no architecture at all", "bios-rom-discover", both(del(77, 175, 93), set(60, "PXEClient")), ""},
		{"UEFI", "ovmf-discover", del(), "snponly.efi"},
		{"UEFI, architecture 9", "ovmf-discover", set(93, "\x00\x09"), "snponly.efi"},
		{"UEFI, several architectures", "ovmf-discover", set(93, "\x00\x07\x00\x09"), "snponly.efi"},
		{"UEFI on arm64", "ovmf-discover", set(93, "\x00\x0b"), ""},
		{"UEFI HTTP boot", "ovmf-discover", both(set(93, "\x00\x10"), set(60, "HTTPClient:Arch:00016:UNDI:003001")),
			"http://10.78.0.1:8080/boot/snponly.efi"},
		{"UEFI HTTP boot on arm64", "ovmf-discover", both(set(93, "\x00\x13"), set(60, "HTTPClient")), ""},
		{"operating system", "dhclient-discover", del(), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := edit(t, tt.capture, tt.change)
			c := testConfig("10.78.0.1")
			if got, why := c.bootFile(r); got != tt.want {
				t.Errorf("bootFile = %q (%s), want %q", got, why, tt.want)
			}
			a := c.Proxy(r, ServerPort, netip.AddrPort{})
			if (a.Reply != nil) != (tt.want != "") {
				t.Errorf("proxy answers: %v (%s), want %v", a.Reply != nil, a.Reason, tt.want != "")
			}
			if r.Class == HTTP && a.Reply != nil && a.Reply.ClassIdentifier() != "HTTPClient" {
				t.Errorf("option 60 = %q", a.Reply.ClassIdentifier())
			}
		})
	}
}

func TestFull(t *testing.T) {
	addr := netip.MustParseAddr("10.80.0.78")
	renew := both(del(50, 54), func(p *dhcpv4.DHCPv4) { p.ClientIPAddr = addr.AsSlice() })
	tests := []struct {
		name, capture string
		change        func(*dhcpv4.DHCPv4)
		leases        always
		want          dhcpv4.MessageType
		reason        string
		to            string
	}{
		{"pool empty", "dhclient-discover", del(), always{err: errors.New("full")}, 0, "no address to offer: full", ""},
		{"granted", "dhclient-request", del(), always{}, dhcpv4.MessageTypeAck, "leased", "255.255.255.255:68"},
		{"not on the disk", "dhclient-request", del(), always{err: errors.New("disk full")}, 0, "disk full", ""},
		{"another's", "dhclient-request", del(), always{verdict: Refused}, dhcpv4.MessageTypeNak, "not this machine's", "255.255.255.255:68"},
		{"never offered", "dhclient-request", del(), always{verdict: Unknown}, dhcpv4.MessageTypeNak, "was not offered", "255.255.255.255:68"},
		{"another server chosen", "dhclient-request", set(54, "\x0a\x50\x00\x02"), always{}, 0, "chose the server at 10.80.0.2", ""},
		{"reboot, unknown", "dhclient-request", del(54), always{verdict: Unknown}, 0, "nothing known", ""},
		{"reboot, known", "dhclient-request", del(54), always{}, dhcpv4.MessageTypeAck, "leased", "255.255.255.255:68"},
		{"reboot, from another network", "dhclient-request", both(del(54), set(50, "\xc0\xa8\x01\x02")), always{},
			dhcpv4.MessageTypeNak, "not of this network", "255.255.255.255:68"},
		{"renewal", "dhclient-request", renew, always{}, dhcpv4.MessageTypeAck, "leased", "10.80.0.78:68"},
		{"request for nothing", "dhclient-request", del(50), always{}, 0, "without an address", ""},
		{"relayed from elsewhere", "dhclient-discover", func(p *dhcpv4.DHCPv4) { p.GatewayIPAddr = net.IP{192, 168, 9, 1} }, always{},
			0, "relayed from 192.168.9.1", ""},
		{"inform", "dhclient-request", both(set(53, "\x08"), func(p *dhcpv4.DHCPv4) { p.ClientIPAddr = addr.AsSlice() }), always{},
			dhcpv4.MessageTypeAck, "informed", "10.80.0.78:68"},
		{"an offer is no request", "dhclient-request", set(53, "\x02"), always{}, 0, "no message for a server", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := testConfig("10.80.0.1")
			a := c.Full(edit(t, tt.capture, tt.change), tt.leases, ServerPort, netip.AddrPort{})
			if !strings.Contains(a.Reason, tt.reason) {
				t.Errorf("reason %q, want it to have %q", a.Reason, tt.reason)
			}
			switch {
			case (a.Reply == nil) != (tt.want == 0):
				t.Errorf("reply %v, want %v", a.Reply, tt.want)
			case a.Reply != nil && (a.Reply.MessageType() != tt.want || a.To.String() != tt.to):
				t.Errorf("%s to %s, want %s to %s", a.Reply.MessageType(), a.To, tt.want, tt.to)
			}
		})
	}
}

// A proxied offer through a relay goes back to the relay, with its option.
func TestRelay(t *testing.T) {
	c := testConfig("10.78.0.1")
	r := edit(t, "ovmf-discover", both(set(82, "\x01\x02ab"), func(p *dhcpv4.DHCPv4) { p.GatewayIPAddr = net.IP{192, 168, 9, 1} }))
	a := c.Proxy(r, ServerPort, netip.AddrPort{})
	if a.Reply == nil || a.To.String() != "192.168.9.1:67" || string(a.Reply.Options[82]) != "\x01\x02ab" {
		t.Errorf("got %s", text(a))
	}
}

// Boot servers echo the item that the machine picked (PXE 2.1, section 2.2.4).
func TestBootItem(t *testing.T) {
	c := testConfig("10.78.0.1")
	r := edit(t, "ovmf-request", set(43, "\x06\x01\x08\x47\x04\x00\x00\x00\x00\xff"))
	a := c.Proxy(r, PXEPort, netip.MustParseAddrPort("10.78.0.9:4011"))
	if got := string(a.Reply.Options[43]); got != "\x06\x01\x08\x47\x04\x00\x00\x00\x00\xff" || a.To.String() != "10.78.0.9:4011" {
		t.Errorf("option 43 = %x to %s", got, a.To)
	}
}

func TestMalformed(t *testing.T) {
	good := captured(t, "bios-rom-discover")
	change := func(at int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = v
		return b
	}
	tests := []struct {
		name string
		in   []byte
	}{
		{"empty", nil},
		{"one byte", good[:1]},
		{"half a header", good[:120]},
		{"no cookie", good[:236]},
		{"reply", change(0, 2)},
		{"token ring", change(1, 6)},
		{"16-byte address", change(2, 16)},
		{"address longer than its field", change(2, 255)},
		{"multicast address", change(28, 0x53)},
		{"bad cookie", change(236, 0)},
		{"option longer than the packet", good[:246]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r, err := Parse(tt.in); !errors.Is(err, ErrMalformed) {
				t.Errorf("Parse = %v, %v, want ErrMalformed", r, err)
			}
		})
	}
}

func FuzzDecide(f *testing.F) {
	for _, name := range names(f) {
		f.Add(captured(f, name))
	}
	c := testConfig("10.78.0.1")
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			return
		}
		from := netip.MustParseAddrPort("10.78.0.9:68")
		for _, a := range []Answer{
			c.Proxy(r, ServerPort, from), c.Proxy(r, PXEPort, from),
			c.Full(r, always{addr: from.Addr()}, ServerPort, from), c.Full(r, always{verdict: Refused}, ServerPort, from),
		} {
			if a.Reason == "" {
				t.Error("an answer without a reason")
			}
			if a.Reply == nil {
				continue
			}
			if _, err := dhcpv4.FromBytes(a.Reply.ToBytes()); err != nil || !a.To.IsValid() {
				t.Errorf("reply to %v does not parse: %v", a.To, err)
			}
		}
	})
}
