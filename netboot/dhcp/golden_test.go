package dhcp

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var update = flag.Bool("update", false, "write the goldens again")

// captured reads a packet of testdata: hex digits, and comments from # on.
func captured(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
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
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

func names(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in testdata (%v)", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".hex")
	}
	return files
}

func testConfig(server string) Config {
	a := netip.MustParseAddr(server)
	net, _ := a.Prefix(24)
	return Config{
		ServerIP: a, HTTPPort: 8080, BIOSLoader: "undionly.kpxe", UEFILoader: "snponly.efi",
		Network: net, Router: a, DNS: []netip.Addr{a},
	}
}

// always is a Leaser with one address and one opinion.
type always struct {
	addr    netip.Addr
	verdict Verdict
	err     error
}

func (l always) Offer(MAC, netip.Addr) (netip.Addr, time.Duration, error) {
	return l.addr, time.Hour, l.err
}
func (l always) Commit(MAC, netip.Addr) (time.Duration, Verdict, error) {
	return time.Hour, l.verdict, l.err
}
func (l always) Release(MAC, netip.Addr) error { return l.err }
func (l always) Decline(MAC, netip.Addr) error { return l.err }

// TestCaptured decides about each captured packet as a proxy and as the network's server, the one that the packet names
// if it names one.
func TestCaptured(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			r, err := Parse(captured(t, name))
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			fmt.Fprintf(&b, "%s mac=%x uuid=%s arch=%d class=%d ipxe=%v\n", r.Type, r.MAC, r.UUID,
				r.Arch, r.Class, r.IPXE)
			server := "10.78.0.1"
			if id := r.Packet.ServerIdentifier(); id != nil {
				server = id.String()
			}
			c := testConfig(server)
			from := netip.MustParseAddrPort("0.0.0.0:68")
			fmt.Fprintf(&b, "\nproxy: %s", text(c.Proxy(r, ServerPort, from)))
			from = netip.AddrPortFrom(c.ServerIP.Next(), ClientPort)
			fmt.Fprintf(&b, "\nproxy, port 4011: %s", text(c.Proxy(r, PXEPort, from)))
			offer := always{addr: c.ServerIP.Next()}
			fmt.Fprintf(&b, "\nfull: %s", text(c.Full(r, offer, ServerPort, from)))
			golden(t, name, b.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// text is an answer as the goldens have it: the options in order, text as text, the rest in hex.
func text(a Answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", a.Reason)
	if a.Reply == nil {
		return b.String()
	}
	// What goes out is looked at, not what was meant.
	wire := a.Reply.ToBytes()
	p, err := dhcpv4.FromBytes(wire)
	if err != nil {
		return err.Error()
	}
	fmt.Fprintf(&b, "  to %s, %d bytes\n", a.To, len(wire))
	fmt.Fprintf(&b, "  flags=%#04x ciaddr=%s yiaddr=%s siaddr=%s giaddr=%s file=%q\n", p.Flags,
		p.ClientIPAddr, p.YourIPAddr,
		p.ServerIPAddr, p.GatewayIPAddr, p.BootFileName)
	var codes []int
	for code := range p.Options {
		codes = append(codes, int(code))
	}
	slices.Sort(codes)
	for _, code := range codes {
		v := p.Options[uint8(code)]
		printable := len(v) > 4 && !bytes.ContainsFunc(bytes.TrimSuffix(v, []byte{0}), func(r rune) bool {
			return r < ' ' || r > '~'
		})
		if printable {
			fmt.Fprintf(&b, "  option %d %q\n", code, v)
		} else {
			fmt.Fprintf(&b, "  option %d %x\n", code, v)
		}
	}
	return b.String()
}
