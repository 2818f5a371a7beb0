package netboot

import (
	"context"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netns"
	"golang.org/x/net/ipv6"

	"griddle/netboot/dhcp"
	"griddle/netboot/loader"
)

// fullConfig leases 10.97.0.100 to 10.97.0.110.
func fullConfig(t *testing.T) Config {
	t.Helper()
	return Config{
		Interface: "br0", Mode: Full, ProbeTime: 200 * time.Millisecond,
		Pool: Pool{
			First: netip.MustParseAddr("10.97.0.100"), Last: netip.MustParseAddr("10.97.0.110"),
			Router: netip.MustParseAddr("10.97.0.1"), DNS: []netip.Addr{netip.MustParseAddr("10.97.0.1")},
			Journal: filepath.Join(t.TempDir(), "leases"),
		},
	}
}

// Stock clients get a lease, keep it over a restart of the server, and fetch the loader and the script.
func TestFull(t *testing.T) {
	l := newLAN(t)
	c := fullConfig(t)
	s := startHelper(t, l.name, c, "")

	one := l.host(1, "")
	// The stock script of dhclient would write the host's resolv.conf.
	setAddr := script(t, `#!/bin/sh
[ "$reason" = BOUND ] && ip addr add $new_ip_address/$new_subnet_mask dev $interface && echo routers $new_routers dns $new_domain_name_servers
exit 0
`)
	dir := t.TempDir()
	out := l.runIn(one, "dhclient", "-1", "-v", "-sf", setAddr, "-lf", filepath.Join(dir, "leases"),
		"-pf", filepath.Join(dir, "pid"), "eth0")
	t.Cleanup(func() {
		l.runIn(one, "dhclient", "-x", "-sf", setAddr, "-lf", filepath.Join(dir, "leases"),
			"-pf", filepath.Join(dir, "pid"), "eth0")
	})
	for _, want := range []string{"bound to 10.97.0.100 ", "routers 10.97.0.1 dns 10.97.0.1"} {
		if !strings.Contains(out, want) {
			t.Errorf("dhclient does not say %q:\n%s", want, out)
		}
	}

	two := l.host(2, "")
	udhcpc := script(t, "#!/bin/sh\n[ \"$1\" = bound ] && echo got $ip/$mask router $router lease $lease\nexit 0\n")
	out = l.runIn(two, "udhcpc", "-n", "-q", "-f", "-s", udhcpc, "-i", "eth0")
	if want := "got 10.97.0.101/24 router 10.97.0.1 lease 3600"; !strings.Contains(out, want) {
		t.Errorf("udhcpc does not say %q:\n%s", want, out)
	}

	got := filepath.Join(dir, "loader")
	l.runIn(one, "tftp", "-m", "binary", "10.97.0.1", "-c", "get", loader.BIOS, got)
	if b, err := os.ReadFile(got); err != nil || len(b) != 4000 {
		t.Errorf("the loader has %d bytes (%v)", len(b), err)
	}
	out = l.runIn(one, "curl", "-sS", "http://10.97.0.1:8080/boot.ipxe?mac=52:54:00:97:00:01&uuid=&arch=0")
	if !strings.HasPrefix(out, "#!ipxe\n") ||
		!strings.Contains(out, "kernel http://10.97.0.1:8080/boot/vmlinuz griddle.mac=52:54:00:97:00:01") {
		t.Errorf("script %q", out)
	}

	if got := s.stop(t); got.DHCPAnswered < 4 || got.TFTPSent != 1 || got.Scripts != 1 || got.DHCPSendFailed != 0 {
		t.Errorf("counters %+v", got)
	}
	startHelper(t, l.name, c, "")
	out = l.runIn(two, "udhcpc", "-n", "-q", "-f", "-s", udhcpc, "-i", "eth0")
	if !strings.Contains(out, "got 10.97.0.101/24") {
		t.Errorf("another address after the restart:\n%s", out)
	}
}

// Full mode does not start where dnsmasq answers, nor where a port is taken.
func TestDoesNotStart(t *testing.T) {
	l := newLAN(t)
	c := fullConfig(t)
	c.ProbeTime = 0 // the default; it ends a second after the first offer
	other := l.host(2, "10.97.0.2/24")
	// A stock one: it pings the address for 3 seconds before it offers it.
	l.dnsmasq(other, "eth0", "10.97.0.50", "10.97.0.60")
	startHelper(t, l.name, c, "another DHCP server answers on br0: 10.97.0.2;")

	c.Mode = Proxy
	startHelper(t, l.name, c, "")
	startHelper(t, l.name, c, "opening UDP port 4011 on br0: used by netboot.test (pid ")
	c.Interface = "br9"
	startHelper(t, l.name, c, "finding the interface br9")
}

// Beside dnsmasq on the same wire a boot client gets dnsmasq's address and our boot file.
func TestProxy(t *testing.T) {
	l := newLAN(t)
	l.dnsmasq(l.host(2, "10.97.0.2/24"), "eth0", "10.97.0.50", "10.97.0.60", "--no-ping")
	s := startHelper(t, l.name, Config{Interface: "br0"}, "")
	client := l.host(1, "")

	discover := func(name string, mac byte) *dhcpv4.DHCPv4 {
		p := capturedPacket(t, name)
		p.ClientHWAddr = net.HardwareAddr{0x52, 0x54, 0, 0x97, 0, mac}
		p.TransactionID = dhcpv4.TransactionID{mac, 2, 3, 4}
		p.SetBroadcast()
		return p
	}
	conn := listenIn(t, client, func() (*net.UDPConn, error) {
		return dhcp.Listen(context.Background(), "eth0", dhcp.ClientPort, false)
	})
	offers := exchange(t, conn, discover("ovmf-discover", 0x11), 2)
	if p := offers["10.97.0.2"]; p == nil || p.YourIPAddr.Equal(net.IPv4zero) {
		t.Errorf("dnsmasq's offer: %v", p)
	}
	if p := offers["10.97.0.1"]; p == nil || !p.YourIPAddr.Equal(net.IPv4zero) || p.BootFileName != loader.UEFI ||
		p.ClassIdentifier() != "PXEClient" {
		t.Errorf("our offer: %v", p)
	}
	offers = exchange(t, conn, discover("bios-rom-discover", 0x12), 2)
	if p := offers["10.97.0.1"]; p == nil ||
		!strings.HasPrefix(p.BootFileName, "http://10.97.0.1:8080/boot.ipxe?mac=52:54:00:97:00:12&") {
		t.Errorf("our offer to iPXE: %v", p)
	}
	// An operating system hears dnsmasq alone, whose lease proves that nobody else spoke before.
	udhcpc := script(t, "#!/bin/sh\n[ \"$1\" = bound ] && echo got $ip from $serverid\nexit 0\n")
	if out := l.runIn(l.host(3, ""), "udhcpc", "-n", "-q", "-f", "-s", udhcpc,
		"-i", "eth0"); !strings.Contains(out, "from 10.97.0.2") {
		t.Errorf("udhcpc:\n%s", out)
	}
	// Malformed packets do no harm.
	for n := range 300 {
		if _, err := conn.WriteToUDP(discover("ovmf-discover", 0x13).ToBytes()[:n],
			&net.UDPAddr{IP: net.IPv4bcast, Port: dhcp.ServerPort}); err != nil {
			t.Fatal(err)
		}
	}
	if offers = exchange(t, conn, discover("ovmf-discover", 0x14), 2); offers["10.97.0.1"] == nil {
		t.Error("no offer after malformed packets")
	}
	if got := s.stop(t); got.DHCPMalformed < 240 || got.DHCPAnswered < 3 || got.DHCPIgnored < 2 {
		t.Errorf("counters %+v", got)
	}
}

// A machine that was seen booting gets an answer to its router solicitation, others do not.
func TestSolicitation(t *testing.T) {
	l := newLAN(t)
	s := startHelper(t, l.name, Config{Interface: "br0"}, "")
	client := l.host(1, "10.97.0.9/24")
	conn := listenIn(t, client, func() (*solicitationConn, error) {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return nil, err
		}
		return listenSolicitations(context.Background(), ifi)
	})
	t.Cleanup(func() { conn.conn.Close() })
	l.runIn(client, "curl", "-sS", "http://10.97.0.1:8080/boot.ipxe?mac=52:54:00:97:00:01&uuid=&arch=0")
	rs := append([]byte{solicitation, 0, 0, 0, 0, 0, 0, 0, 1, 1}, 0x52, 0x54, 0, 0x97, 0, 1)
	buf := make([]byte, 2048)
	routers := &net.IPAddr{IP: net.IPv6linklocalallrouters, Zone: "eth0"}
	deadline := time.Now().Add(20 * time.Second)
	for {
		// The link-local address takes a while until it may be used; until then the kernel sends nothing.
		_, werr := conn.conn.WriteTo(rs, &ipv6.ControlMessage{HopLimit: 255, IfIndex: conn.ifi.Index}, routers)
		conn.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, cm, from, err := conn.conn.ReadFrom(buf)
		if err == nil && buf[0] == advertise {
			if string(buf[4:16]) != string(make([]byte, 12)) || cm.HopLimit != 255 || namesRouter(buf[:n]) {
				t.Errorf("advertisement %x with hop limit %d from %v", buf[:n], cm.HopLimit, from)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no advertisement: %v, %v", werr, err)
		}
	}
	if got := s.stop(t); got.Advertisements == 0 {
		t.Errorf("counters %+v", got)
	}
}

// capturedPacket reads a packet of the dhcp package's captures.
func capturedPacket(t *testing.T, name string) *dhcpv4.DHCPv4 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("dhcp", "testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.TrimSpace(line))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := dhcpv4.FromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exchange broadcasts p and collects n answers by the server's address.
func exchange(t *testing.T, conn *net.UDPConn, p *dhcpv4.DHCPv4, n int) map[string]*dhcpv4.DHCPv4 {
	t.Helper()
	return exchangeBytes(t, conn, p.ToBytes(), p.TransactionID, n)
}

// exchangeBytes is exchange for a packet that the library would not write so.
func exchangeBytes(t *testing.T, conn *net.UDPConn, packet []byte, id dhcpv4.TransactionID,
	n int) map[string]*dhcpv4.DHCPv4 {
	t.Helper()
	got := map[string]*dhcpv4.DHCPv4{}
	end := time.Now().Add(30 * time.Second)
	var again time.Time
	buf := make([]byte, 2048)
	for len(got) < n {
		// A datagram may be lost; clients ask again (RFC 2131 section 4.1).
		if now := time.Now(); !now.Before(again) {
			again = now.Add(4 * time.Second)
			if _, err := conn.WriteToUDP(packet, &net.UDPAddr{IP: net.IPv4bcast, Port: dhcp.ServerPort}); err != nil {
				t.Fatal(err)
			}
		}
		conn.SetReadDeadline(again)
		k, _, err := conn.ReadFromUDP(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) && again.Before(end) {
			continue
		}
		if err != nil {
			t.Fatalf("waiting for %d answers, got %d: %v", n, len(got), err)
		}
		a, err := dhcpv4.FromBytes(append([]byte(nil), buf[:k]...))
		if err == nil && a.TransactionID == id {
			got[a.ServerIdentifier().String()] = a
		}
	}
	return got
}

// listenIn opens a socket in a namespace; sockets stay in the namespace that they were made in.
func listenIn[T any](t *testing.T, ns string, open func() (T, error)) T {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	there, err := netns.GetFromName(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		t.Fatal(err)
	}
	c, err := open()
	if herr := netns.Set(home); herr != nil {
		t.Fatal(herr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}
