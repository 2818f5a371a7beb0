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

// from changes the first half of the Ethernet address.
func from(oui ...byte) func(*dhcpv4.DHCPv4) {
	return func(p *dhcpv4.DHCPv4) { copy(p.ClientHWAddr, oui) }
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
		{"several architectures, the second has a loader", "ovmf-discover", set(93, "\x00\x0b\x00\x07"), "snponly.efi"},
		{"several architectures, the last is BIOS",
			"ovmf-discover", set(93, "\x00\x06\x00\x0b\x00\x00"), "undionly.kpxe"},
		{"several architectures, none with a loader", "ovmf-discover", set(93, "\x00\x0b\x00\x06"), ""},
		{"an architecture and a half", "ovmf-discover", set(93, "\x00\x07\x00"), "snponly.efi"},
		{"half an architecture", "ovmf-discover", set(93, "\x00"), "snponly.efi"}, // option 60 has it too
		{"Raspberry Pi 4 by its Ethernet address", "bios-rom-discover", both(del(77, 175), from(0xdc, 0xa6, 0x32)), ""},
		{"Raspberry Pi 3 by its Ethernet address", "bios-rom-discover",
			both(del(77, 175, 97), from(0xb8, 0x27, 0xeb)), ""},
		{"Raspberry Pi 5 by option 97", "bios-rom-discover",
			both(del(77, 175), set(97, "\x00RPi5\x10\x41\xd0\x04\x01\x02\x03\x04\x05\x06\x07\x08")), ""},
		{"a PC with a network card of Raspberry Pi that runs iPXE", "bios-rom-discover", from(0xdc, 0xa6, 0x32),
			"http://10.78.0.1:8080/boot.ipxe?mac=dc:a6:32:78:00:01&uuid=${uuid}&arch=0"},
		{"iPXE on arm64", "bios-rom-discover", set(93, "\x00\x0b"), ""},
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
			if (a.Refused != "") != (tt.want == "" && r.BootClient()) {
				t.Errorf("refused: %q (%s)", a.Refused, a.Reason)
			}
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
		{"another's", "dhclient-request", del(), always{verdict: Refused}, dhcpv4.MessageTypeNak,
			"does not belong to this machine", "255.255.255.255:68"},
		{"never offered", "dhclient-request", del(), always{verdict: Unknown}, dhcpv4.MessageTypeNak, "was not offered",
			"255.255.255.255:68"},
		{"another server chosen", "dhclient-request", set(54, "\x0a\x50\x00\x02"), always{}, 0,
			"chose the server at 10.80.0.2", ""},
		{"reboot, unknown", "dhclient-request", del(54), always{verdict: Unknown}, 0, "are not known", ""},
		{"reboot, known", "dhclient-request", del(54), always{}, dhcpv4.MessageTypeAck, "leased", "255.255.255.255:68"},
		{"reboot, from another network", "dhclient-request", both(del(54), set(50, "\xc0\xa8\x01\x02")), always{},
			dhcpv4.MessageTypeNak, "not in this network", "255.255.255.255:68"},
		{"renewal", "dhclient-request", renew, always{}, dhcpv4.MessageTypeAck, "leased", "10.80.0.78:68"},
		{"request for nothing", "dhclient-request", del(50), always{}, 0, "without an address", ""},
		{"relayed from elsewhere", "dhclient-discover",
			func(p *dhcpv4.DHCPv4) { p.GatewayIPAddr = net.IP{192, 168, 9, 1} }, always{},
			0, "relayed from 192.168.9.1", ""},
		{"inform", "dhclient-request",
			both(set(53, "\x08"), func(p *dhcpv4.DHCPv4) { p.ClientIPAddr = addr.AsSlice() }), always{},
			dhcpv4.MessageTypeAck, "informed", "10.80.0.78:68"},
		{"an offer is not a request", "dhclient-request", set(53, "\x02"), always{}, 0,
			"not a message for a server", ""},
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

// A proxied offer through a relay goes back to the relay, with its option, if the configuration names its network.
func TestRelay(t *testing.T) {
	c := testConfig("10.78.0.1")
	c.Relays = []netip.Prefix{netip.MustParsePrefix("192.168.8.0/22")}
	by := func(a string) *Request {
		return edit(t, "ovmf-discover", both(set(82, "\x01\x02ab"), func(p *dhcpv4.DHCPv4) {
			p.GatewayIPAddr = net.ParseIP(a).To4()
		}))
	}
	r := by("192.168.9.1")
	for how, a := range map[string]Answer{"proxy": c.Proxy(r, ServerPort, netip.AddrPort{}),
		"full": c.Full(r, always{}, ServerPort, netip.AddrPort{})} {
		if a.Reply == nil || a.To.String() != "192.168.9.1:67" ||
			string(a.Reply.Options[82]) != "\x01\x02ab" || a.Refused != "" {
			t.Errorf("%s: got %s", how, text(a))
		} else if !a.Reply.YourIPAddr.IsUnspecified() {
			t.Errorf("%s: an address of our pool, %s, goes to another network", how, a.Reply.YourIPAddr)
		}
	}
	if a := c.Full(by("10.78.0.7"), always{addr: netip.MustParseAddr("10.78.0.9")}, ServerPort,
		netip.AddrPort{}); a.Reply == nil || a.To.String() != "10.78.0.7:67" {
		t.Errorf("relayed within our network: %s", text(a))
	}
	for _, agent := range []string{"8.8.8.8", "127.0.0.1", "192.168.7.255", "192.168.12.1", "224.0.0.1",
		"255.255.255.255", "10.78.0.1", "10.78.0.255", "192.168.11.255", "0.0.0.7"} {
		r := by(agent)
		for how, a := range map[string]Answer{"proxy": c.Proxy(r, ServerPort, netip.AddrPort{}),
			"full": c.Full(r, always{}, ServerPort, netip.AddrPort{})} {
			if a.Reply != nil || a.Refused == "" || !strings.Contains(a.Reason, "relayed from "+agent) {
				t.Errorf("%s, relayed from %s: %s", how, agent, text(a))
			}
		}
	}
}

// Nor does port 4011 answer to addresses outside.
func TestBootServerAnswersOurNetworks(t *testing.T) {
	c := testConfig("10.78.0.1")
	c.Relays = []netip.Prefix{netip.MustParsePrefix("192.168.8.0/22")}
	for from, want := range map[string]string{
		"10.78.0.9:4011": "10.78.0.9:4011", "192.168.9.9:68": "192.168.9.9:68", "0.0.0.0:68": "255.255.255.255:68",
		"8.8.8.8:68": "", "127.0.0.1:68": "", "10.78.0.255:68": "",
	} {
		for how, a := range map[string]Answer{
			"proxy": c.Proxy(edit(t, "ovmf-request", del()), PXEPort, netip.MustParseAddrPort(from)),
			"full":  c.Full(edit(t, "ovmf-request", del()), always{}, PXEPort, netip.MustParseAddrPort(from)),
		} {
			if (a.Reply != nil) != (want != "") || (a.Refused == "") != (want != "") ||
				a.Reply != nil && a.To.String() != want {
				t.Errorf("%s, from %s: %s, want it to go to %q", how, from, text(a), want)
			}
		}
	}
}

// BIOS ROMs read the names of server and file as strings of C.
func TestNamesEndWithZero(t *testing.T) {
	c := testConfig("10.78.0.1")
	for _, name := range []string{"bios-rom-discover", "ovmf-discover", "ovmf-http-discover"} {
		wire := c.Proxy(edit(t, name, del(77, 175)), ServerPort, netip.AddrPort{}).Reply.ToBytes()
		p, err := dhcpv4.FromBytes(wire)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []uint8{66, 67} {
			if v := p.Options[code]; len(v) < 2 || v[len(v)-1] != 0 || strings.Count(string(v), "\x00") != 1 {
				t.Errorf("%s: option %d = %q, want it to end with its only zero byte", name, code, v)
			}
		}
	}
}

// What other servers understand, we do too.
func TestTidy(t *testing.T) {
	good := captured(t, "ovmf-discover")
	end := len(good) - 1 // END is the last byte of the capture
	moved := append([]byte(nil), good[:240]...)
	rest := good[240:end]
	// The options from 97 on go into the file field, and 93 with what follows into sname.
	at97 := strings.Index(string(rest), "\x61\x11")
	at93 := strings.Index(string(rest), "\x5d\x02")
	overload := func(v byte, file, sname []byte) []byte {
		b := append(append([]byte(nil), moved...), rest[:at97]...)
		b = append(b, 52, 1, v, 255)
		copy(b[108:236], append(append([]byte(nil), file...), 255))
		copy(b[44:108], append(append([]byte(nil), sname...), 255))
		return b
	}
	want, err := Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][]byte{
		"without END":              good[:end],
		"without END, padded":      append(append([]byte(nil), good[:end]...), 0, 0, 0),
		"cut off behind the last":  append(append([]byte(nil), good[:end]...), 66, 200, 1, 2),
		"a code without a length":  append(append([]byte(nil), good[:end]...), 66),
		"something behind END":     append(append([]byte(nil), good...), 93, 2, 0, 0),
		"options in file":          overload(1, rest[at97:], nil),
		"options in file and name": overload(3, rest[at97:at93], rest[at93:]),
		"options in name":          overload(2, nil, rest[at93:]),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(in)
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != want.Type || got.Arch != want.Arch || got.Class != want.Class ||
				name != "options in name" && got.UUID != want.UUID {
				t.Errorf("got %v %v %v %s, want %v %v %v %s", got.Type, got.Arch, got.Class, got.UUID, want.Type,
					want.Arch, want.Class, want.UUID)
			}
		})
	}
}

// Boot servers echo the item that the machine picked (PXE 2.1, section 2.2.4).
func TestBootItem(t *testing.T) {
	c := testConfig("10.78.0.1")
	r := edit(t, "ovmf-request", set(43, "\x06\x01\x08\x47\x04\x00\x00\x00\x00\xff"))
	a := c.Proxy(r, PXEPort, netip.MustParseAddrPort("10.78.0.9:4011"))
	if got := string(a.Reply.Options[43]); got != "\x06\x01\x08\x47\x04\x00\x00\x00\x00\xff" ||
		a.To.String() != "10.78.0.9:4011" {
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
		{"no message type before the option that is cut off", good[:242]},
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
		b := captured(f, name)
		f.Add(b)
		f.Add(b[:len(b)-1]) // no END
		f.Add(append(append([]byte(nil), b[:len(b)-1]...), 52, 1, 3))
		f.Add(append(append([]byte(nil), b[:len(b)-1]...), 93, 6, 0, 11, 0, 7, 0, 0, 66, 255))
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
			c.Full(r, always{addr: from.Addr()}, ServerPort, from),
			c.Full(r, always{verdict: Refused}, ServerPort, from),
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
