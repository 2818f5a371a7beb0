package netboot

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"griddle/netboot/dhcp"
	"griddle/netboot/loader"
)

const gotScript = "#!/bin/sh\n[ \"$1\" = bound ] && echo got $ip from $serverid\nexit 0\n"

// client is port 68 of a host, for packets that no stock client sends.
func (l *lan) client(ns string) *net.UDPConn {
	l.t.Helper()
	c := listenIn(l.t, ns, func() (*net.UDPConn, error) {
		return dhcp.Listen(context.Background(), "eth0", dhcp.ClientPort, false)
	})
	l.t.Cleanup(func() { c.Close() })
	return c
}

// noCarrier waits until the bridge has noticed that nothing is connected.
func (l *lan) noCarrier() {
	l.t.Helper()
	for !strings.Contains(l.run("ip", "-n", l.name, "link", "show", "br0"), "NO-CARRIER") {
		time.Sleep(20 * time.Millisecond)
	}
}

// message is one of a machine that takes broadcast answers alone.
func message(t *testing.T, mac byte, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	p, err := dhcpv4.NewDiscovery(net.HardwareAddr{0x52, 0x54, 0, 0x97, 1, mac}, append([]dhcpv4.Modifier{
		dhcpv4.WithBroadcast(true), dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001")),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A server that starts without a link waits for it, then for its spanning tree, and leases nothing where another server
// answers; once that is gone it begins. Its notices say so.
func TestLateLink(t *testing.T) {
	l := newLAN(t)
	l.run("ip", "-n", l.name, "link", "set", "br0", "type", "bridge", "stp_state", "1", "forward_delay", "200")
	other := l.host(2, "10.97.0.2/24")
	l.run("ip", "-n", l.name, "link", "set", "p2", "down")
	l.noCarrier()
	c := fullConfig(t)
	c.ProbeTime, c.SettleTime, c.WatchEvery = 4*time.Second, time.Second, 500*time.Millisecond
	end := l.dnsmasq(other, "eth0", "10.97.0.50", "10.97.0.60")
	s := startHelper(t, l.name, c, "")
	s.logged(t, "br0 has no carrier", 1)
	l.run("ip", "-n", l.name, "link", "set", "p2", "up")
	s.logged(t, "another DHCP server answers on br0: 10.97.0.2", 1)
	end()
	s.logged(t, "no other DHCP server answers: leasing addresses", 1)
	offers := exchange(t, l.client(other), message(t, 1, dhcpv4.MessageTypeDiscover), 1)
	if p := offers["10.97.0.1"]; p == nil {
		t.Errorf("no lease after the wait: %v", offers)
	}
	if got := s.stop(t); len(got.Notices) != 0 {
		t.Errorf("notices at the end: %q", got.Notices)
	}
}

// Where the first machine that is switched on brings the link up, its own question ends the time for a switch to
// settle.
func TestFirstMachineBringsLink(t *testing.T) {
	l := newLAN(t)
	host := l.host(1, "")
	l.run("ip", "-n", l.name, "link", "set", "p1", "down")
	l.noCarrier()
	c := fullConfig(t)
	c.ProbeTime, c.SettleTime = time.Second, time.Hour
	s := startHelper(t, l.name, c, "")
	s.logged(t, "br0 has no carrier", 1)
	l.run("ip", "-n", l.name, "link", "set", "p1", "up")
	if out := l.runIn(host, "udhcpc", "-n", "-q", "-f", "-t", "60", "-T", "1", "-s", script(t, gotScript),
		"-i", "eth0"); !strings.Contains(out, "from 10.97.0.1") {
		t.Errorf("udhcpc:\n%s", out)
	}
	if got := s.stop(t); len(got.Notices) != 0 {
		t.Errorf("notices: %q", got.Notices)
	}
}

// Another server that comes later is an error in the log and a notice. A server that steps down renews what it has
// given, and gives no more; a forged offer does not make it do so.
func TestOtherServerComesLater(t *testing.T) {
	l := newLAN(t)
	other, host := l.host(2, "10.97.0.2/24"), l.host(1, "")
	conn, forger := l.client(host), l.client(other)
	c := fullConfig(t)
	c.WatchEvery, c.StepDown = time.Second, true
	s := startHelper(t, l.name, c, "")

	forged := message(t, 9, dhcpv4.MessageTypeOffer)
	forged.OpCode, forged.YourIPAddr = dhcpv4.OpcodeBootReply, net.IP{10, 97, 0, 77}
	forged.UpdateOption(dhcpv4.OptServerIdentifier(net.IP{10, 97, 0, 66}))
	s.after(t, "another DHCP server answers on br0: 10.97.0.66", 1, func() { sendFrom(t, l, other, forged) })
	offers := exchange(t, conn, message(t, 1, dhcpv4.MessageTypeDiscover), 1)
	p := offers["10.97.0.1"]
	if p == nil {
		t.Fatalf("a forged offer silences the server: %v", offers)
	}
	forger.Close()
	request := message(t, 1, dhcpv4.MessageTypeRequest,
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 97, 0, 1})),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(p.YourIPAddr)))
	if a := exchange(t, conn, request, 1)["10.97.0.1"]; a == nil || a.MessageType() != dhcpv4.MessageTypeAck {
		t.Fatalf("no lease: %v", a)
	}

	l.dnsmasq(other, "eth0", "10.97.0.50", "10.97.0.60", "--no-ping")
	for n := 0; ; n++ { // until dnsmasq has proved to be a server
		offers = exchange(t, conn, message(t, 2, dhcpv4.MessageTypeDiscover), 1)
		if offers["10.97.0.1"] == nil && offers["10.97.0.2"] != nil &&
			strings.Contains(s.text(t), "stepped down: another DHCP server (10.97.0.2)") {
			break
		}
		if n > 500 {
			t.Fatal("the server does not step down")
		}
		time.Sleep(100 * time.Millisecond)
	}
	renewal := message(t, 1, dhcpv4.MessageTypeRequest)
	renewal.ClientIPAddr = p.YourIPAddr
	if a := exchange(t, conn, renewal, 1)["10.97.0.1"]; a == nil || a.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("the lease of before is not renewed: %v", a)
	}
	got := s.stop(t)
	if n := strings.Count(s.text(t), "level=ERROR"); n > 2 {
		t.Errorf("%d errors in the log within some seconds", n)
	}
	if len(got.Notices) != 1 || !strings.Contains(got.Notices[0], "another DHCP server answers on br0: 10.97.0.2") {
		t.Errorf("notices %q", got.Notices)
	}
	if !slices.ContainsFunc(got.Refused, func(r string) bool { return strings.Contains(r, "stepped down") }) {
		t.Errorf("refused: %q", got.Refused)
	}
}

// sendFrom broadcasts p from port 67 of a host.
func sendFrom(t *testing.T, l *lan, ns string, p *dhcpv4.DHCPv4) {
	t.Helper()
	conn := listenIn(t, ns, func() (*net.UDPConn, error) {
		return dhcp.Listen(context.Background(), "eth0", dhcp.ServerPort, false)
	})
	defer conn.Close()
	if _, err := conn.WriteToUDP(p.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcp.ClientPort}); err != nil {
		t.Fatal(err)
	}
}

// After its bridge was deleted and made again a server leases, answers at port 4011 and hears other servers as before.
func TestInterfaceMadeAgain(t *testing.T) {
	l := newLAN(t)
	host := l.host(1, "")
	c := fullConfig(t)
	s := startHelper(t, l.name, c, "")
	udhcpc := script(t, gotScript)
	for round := range 3 {
		if out := l.runIn(host, "udhcpc", "-n", "-q", "-f", "-s", udhcpc,
			"-i", "eth0"); !strings.Contains(out, "from 10.97.0.1") {
			t.Fatalf("round %d: udhcpc:\n%s", round, out)
		}
		if round == 2 {
			break
		}
		l.run("ip", "-n", l.name, "link", "del", "br0")
		if round == 0 {
			s.logged(t, "the interface is gone", 1)
		}
		// The second time it is there again at once.
		l.run("ip", "-n", l.name, "link", "add", "br0", "type", "bridge")
		l.run("ip", "-n", l.name, "link", "set", "br0", "up")
		l.run("ip", "-n", l.name, "addr", "add", "10.97.0.1/24", "dev", "br0")
		l.run("ip", "-n", l.name, "link", "set", "p1", "master", "br0", "up")
		s.logged(t, "DHCP listens on the interface again", round+1)
	}
	l.run("ip", "-n", host, "addr", "add", "10.97.0.9/24", "dev", "eth0")
	l.runIn(host, "tftp", "-m", "binary", "10.97.0.1", "-c", "get", loader.BIOS, filepath.Join(t.TempDir(), "loader"))
	conn := l.client(host)
	p := capturedPacket(t, "ovmf-request")
	p.ClientHWAddr = net.HardwareAddr{0x52, 0x54, 0, 0x97, 1, 7}
	if _, err := conn.WriteToUDP(p.ToBytes(), &net.UDPAddr{IP: net.IP{10, 97, 0, 1}, Port: dhcp.PXEPort}); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, _, err := conn.ReadFromUDP(make([]byte, 2000)); err != nil {
		t.Errorf("port 4011: %v", err)
	}
	forged := message(t, 9, dhcpv4.MessageTypeOffer)
	forged.OpCode, forged.YourIPAddr = dhcpv4.OpcodeBootReply, net.IP{10, 97, 0, 77}
	forged.UpdateOption(dhcpv4.OptServerIdentifier(net.IP{10, 97, 0, 66}))
	s.after(t, "another DHCP server answers on br0: 10.97.0.66", 1, func() { sendFrom(t, l, host, forged) })
	s.stop(t)
}

// What machines ask for and do not get is a warning in the log, once for each, and told to the Observer.
func TestRefused(t *testing.T) {
	l := newLAN(t)
	c := fullConfig(t)
	c.Pool.First, c.Pool.Last = netip.MustParseAddr("10.97.0.100"), netip.MustParseAddr("10.97.0.101")
	s := startHelper(t, l.name, c, "")
	host := l.host(1, "")
	conn := l.client(host)
	send := func(p *dhcpv4.DHCPv4) {
		s.after(t, "type=DISCOVER", strings.Count(s.text(t), "type=DISCOVER")+3, func() {
			if _, err := conn.WriteToUDP(p.ToBytes(),
				&net.UDPAddr{IP: net.IPv4bcast, Port: dhcp.ServerPort}); err != nil {
				t.Fatal(err)
			}
		})
	}
	pi := message(t, 1, dhcpv4.MessageTypeDiscover)
	pi.ClientHWAddr = net.HardwareAddr{0xdc, 0xa6, 0x32, 0, 0, 1}
	send(pi)
	arm := message(t, 2, dhcpv4.MessageTypeDiscover,
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 11})))
	send(arm)
	send(message(t, 3, dhcpv4.MessageTypeDiscover))
	far := message(t, 4, dhcpv4.MessageTypeDiscover)
	far.GatewayIPAddr = net.IP{8, 8, 8, 8}
	send(far)
	got := s.stop(t)
	want := []string{
		"dc:a6:32:00:00:01: no loader for a Raspberry Pi",
		"52:54:00:97:01:02: no loader for the architecture 11 (EFI ARM64)",
		"52:54:00:97:01:03: no address to offer: offering an address between 10.97.0.100 and 10.97.0.101: " +
			"no free address in the pool",
		"52:54:00:97:01:04: relayed from 8.8.8.8, which is not in a served network; to add its network, " +
			"set dhcp.relay_networks",
	}
	slices.Sort(want)
	slices.Sort(got.Refused)
	if !slices.Equal(got.Refused, want) {
		t.Errorf("refused:\n%s\nwant\n%s", strings.Join(got.Refused, "\n"), strings.Join(want, "\n"))
	}
	if n := strings.Count(s.text(t), "level=WARN"); n != 4 {
		t.Errorf("%d warnings for 4 machines that asked three times", n)
	}
	if len(got.Notices) != 1 || !strings.Contains(got.Notices[0], "no free address") {
		t.Errorf("notices %q", got.Notices)
	}
}

// A stock relay agent passes requests on to a proxy that names its network, and the offer goes back through it.
func TestRelayAgent(t *testing.T) {
	l := newLAN(t)
	agent := l.host(2, "10.97.0.2/24")
	far := l.name + "-far"
	l.namespace(far)
	l.run("ip", "-n", far, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1", "netns", agent)
	l.run("ip", "-n", agent, "addr", "add", "10.98.0.1/24", "dev", "eth1")
	l.run("ip", "-n", agent, "link", "set", "eth1", "up")
	l.run("ip", "-n", far, "link", "set", "eth0", "up")
	l.run("ip", "-n", l.name, "route", "add", "10.98.0.0/24", "via", "10.97.0.2")
	s := startHelper(t, l.name,
		Config{Interface: "br0", Relays: []netip.Prefix{netip.MustParsePrefix("10.98.0.0/24")}}, "")
	// In proxy mode too a link that is down is said.
	l.run("ip", "-n", l.name, "link", "set", "p2", "down")
	l.noCarrier()
	s.logged(t, "the link is down", 1)
	l.run("ip", "-n", l.name, "link", "set", "p2", "up")
	s.logged(t, "the link is up again", 1)
	l.dnsmasq(agent, "eth1", "", "", "--dhcp-relay=10.98.0.1,10.97.0.1")
	p := exchange(t, l.client(far), capturedPacket(t, "ovmf-discover"), 1)["10.97.0.1"]
	if p == nil || p.BootFileName != "snponly.efi" || p.GatewayIPAddr.String() != "10.98.0.1" {
		t.Errorf("offer through the relay agent: %v", p)
	}
	s.stop(t)
}

// What is odd about a packet makes no difference to dnsmasq, nor to us.
func TestAnswersAsDnsmasq(t *testing.T) {
	l := newLAN(t)
	l.dnsmasq(l.host(2, "10.97.0.2/24"), "eth0", "10.97.0.50", "10.97.0.90", "--no-ping", "--dhcp-no-override",
		"--dhcp-match=set:bios,option:client-arch,0", "--dhcp-match=set:efi,option:client-arch,7",
		"--dhcp-match=set:efi,option:client-arch,9",
		"--dhcp-boot=tag:bios,undionly.kpxe", "--dhcp-boot=tag:efi,snponly.efi")
	startHelper(t, l.name, Config{Interface: "br0"}, "")
	conn := l.client(l.host(1, ""))
	wire := func(mac byte, archs string) []byte {
		p := capturedPacket(t, "ovmf-discover")
		p.ClientHWAddr = net.HardwareAddr{0x52, 0x54, 0, 0x97, 2, mac}
		p.TransactionID = dhcpv4.TransactionID{mac, 9, 9, 9}
		if archs != "" {
			p.Options[93] = []byte(archs)
		}
		return p.ToBytes()
	}
	end := func(b []byte) []byte { return b[:strings.LastIndexByte(string(b), 255)] }
	overload := func(b []byte) []byte {
		b = end(b)
		// option 93: the library writes options in order, so 93 and 97 are the last
		at := strings.Index(string(b), "\x5d")
		for at >= 0 && !(at+3 < len(b) && b[at+1] == 2 && b[at+4] == 94) {
			next := strings.Index(string(b[at+1:]), "\x5d")
			if next < 0 {
				t.Fatal("option 93 is not found")
			}
			at += 1 + next
		}
		rest := append([]byte(nil), b[at:]...)
		b = append(b[:at:at], 52, 1, 1, 255)
		copy(b[108:236], append(rest, 255))
		return append(b, make([]byte, 60)...)
	}
	for n, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"as captured", wire(1, ""), "snponly.efi"},
		{"without END", append(end(wire(2, "")), 0), "snponly.efi"},
		{"options in the file field", overload(wire(3, "")), "snponly.efi"},
		{"arm64 and x64", wire(4, "\x00\x0b\x00\x07"), "snponly.efi"},
		{"IA32 and BIOS", wire(5, "\x00\x06\x00\x00"), "undionly.kpxe"},
		{"EBC", wire(6, "\x00\x09"), "snponly.efi"},
		{"cut off behind the last option", append(end(wire(7, "")), 66, 200, 1, 2, 0), "snponly.efi"},
	} {
		offers := exchangeBytes(t, conn, tt.b, dhcpv4.TransactionID{byte(n + 1), 9, 9, 9}, 2)
		ours, theirs := offers["10.97.0.1"], offers["10.97.0.2"]
		if ours == nil || theirs == nil {
			t.Errorf("%s: offers %v", tt.name, offers)
			continue
		}
		file := func(p *dhcpv4.DHCPv4) string {
			if f := p.BootFileNameOption(); f != "" {
				return strings.TrimSuffix(f, "\x00")
			}
			return p.BootFileName
		}
		if file(ours) != file(theirs) || file(ours) != tt.want {
			t.Errorf("%s: we offer %q, dnsmasq %q, want %q", tt.name, file(ours), file(theirs), tt.want)
		}
	}
}
