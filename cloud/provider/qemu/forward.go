package qemu

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"griddle/cloud/provider"
)

// mostForwards is the most ports of one server that are forwarded: each is a socket of its QEMU.
const mostForwards = 256

// admitted is the ports that a firewall lets in, without those of the other side; a server without a firewall
// has its ssh port only.
func admitted(firewall *record, ssh uint16) ([]provider.Forward, error) {
	rules := []provider.Rule{{Protocol: "tcp", From: ssh, To: ssh}}
	if firewall != nil {
		rules = firewall.Rules
	}
	return forwardsOf(rules)
}

// CheckPorts says whether the ports that rules let in can all be forwarded, as a server on the user network has them.
func CheckPorts(rules []provider.Rule) error {
	_, err := forwardsOf(rules)
	return err
}

func forwardsOf(rules []provider.Rule) ([]provider.Forward, error) {
	var all []provider.Forward
	for _, r := range rules {
		for p := int(r.From); p <= int(r.To) && p > 0; p++ {
			f := provider.Forward{Protocol: r.Protocol, Port: uint16(p)}
			if slices.Contains(all, f) {
				continue
			}
			if all = append(all, f); len(all) > mostForwards {
				return nil, fmt.Errorf("more than %d ports for one server on QEMU's user network; "+
					"one on a bridge has no such limit: %w", mostForwards, provider.ErrInvalid)
			}
		}
	}
	return all, nil
}

// assign gives each wanted port one at address public that is free: where it was so far, the same number on an address
// of the server's own, one that its name always gives on 127.0.0.1, or any.
func assign(wanted, old []provider.Forward, seed string, own bool,
	free func(protocol string, port uint16) uint16) ([]provider.Forward, error) {
	var all []provider.Forward
	used := func(protocol string, port uint16) bool {
		return slices.ContainsFunc(all, func(f provider.Forward) bool {
			return f.Protocol == protocol && f.Public == port
		})
	}
	for _, w := range wanted {
		h := fnv.New32a()
		fmt.Fprintf(h, "%s/%s/%d", seed, w.Protocol, w.Port)
		tries := []uint16{20000 + uint16(h.Sum32()%12000), 0} // below the ports that the kernel gives to connections
		if own {
			tries[0] = w.Port
		}
		for _, o := range old {
			if o.Protocol == w.Protocol && o.Port == w.Port && o.Public != 0 {
				tries = append([]uint16{o.Public}, tries...)
			}
		}
		for _, try := range tries {
			if try != 0 && used(w.Protocol, try) {
				continue
			}
			if w.Public = free(w.Protocol, try); w.Public != 0 {
				break
			}
		}
		if w.Public == 0 || used(w.Protocol, w.Public) {
			return nil, fmt.Errorf("finding a free port for %s %d: %w", w.Protocol, w.Port, provider.ErrTemporary)
		}
		all = append(all, w)
	}
	return all, nil
}

// freePort says whether a port of an address can be listened on: the port, for 0 one that can, and 0 where it cannot.
func freePort(address netip.Addr) func(protocol string, port uint16) uint16 {
	return func(protocol string, port uint16) uint16 {
		at := netip.AddrPortFrom(address, port)
		if protocol == "udp" {
			c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
			if err != nil {
				return 0
			}
			defer c.Close()
			return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		}
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
		if err != nil {
			return 0
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).AddrPort().Port()
	}
}

// hostForward is how QEMU writes a forwarded port.
func hostForward(public netip.Addr, f provider.Forward) string {
	return fmt.Sprintf("%s:%s:%d-:%d", f.Protocol, public, f.Public, f.Port)
}

// forwarded is one port that a running QEMU forwards.
type forwarded struct {
	public netip.Addr
	provider.Forward
}

// usernetLine is a forwarded port in the answer to "info usernet" (slirp_connection_info of libslirp):
//
//	TCP[HOST_FORWARD]  16       127.0.0.1 40080       10.0.2.15    80     0     0
var usernetLine = regexp.MustCompile(`^\s*(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)\s`)

// parseUsernet reads what a running QEMU forwards.
func parseUsernet(text string) []forwarded {
	var all []forwarded
	for line := range strings.Lines(text) {
		m := usernetLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		a, err := netip.ParseAddr(m[2])
		public, err2 := strconv.ParseUint(m[3], 10, 16)
		port, err3 := strconv.ParseUint(m[4], 10, 16)
		if err != nil || err2 != nil || err3 != nil {
			continue
		}
		all = append(all,
			forwarded{a, provider.Forward{Protocol: strings.ToLower(m[1]), Port: uint16(port), Public: uint16(public)}})
	}
	return all
}

// forward brings what a running QEMU forwards to what s says.
func (m *monitor) forward(ctx context.Context, is []forwarded, s *serverRecord) error {
	for _, f := range is {
		if f.public == s.Public && slices.Contains(s.Forwards, f.Forward) {
			continue
		}
		at, _, _ := strings.Cut(hostForward(f.public, f.Forward), "-")
		if _, err := m.Human(ctx, "hostfwd_remove "+netOut+" "+at); err != nil {
			return err
		}
	}
	for _, f := range s.Forwards {
		if slices.Contains(is, forwarded{s.Public, f}) {
			continue
		}
		// It says something only where it failed.
		if text, err := m.Human(ctx, "hostfwd_add "+netOut+" "+hostForward(s.Public, f)); err != nil {
			return err
		} else if text = strings.TrimSpace(text); text != "" {
			return fmt.Errorf("forwarding port %d: %s: %w", f.Port, text, provider.ErrTemporary)
		}
	}
	return nil
}
