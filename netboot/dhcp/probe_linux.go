package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// Probe asks the network of iface for an address, as any machine would, and returns the servers that offer one within
// wait. Nothing is leased by it. Proxies, which offer no address, are not among them. It needs CAP_NET_RAW: the offer
// may be unicast to an address that nobody has yet, which only a packet socket sees.
func Probe(ctx context.Context, iface string, wait time.Duration) ([]netip.Addr, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("probing for DHCP servers: %w", err)
	}
	conn, err := nclient4.NewRawUDPConn(iface, ClientPort)
	if err != nil {
		return nil, fmt.Errorf("probing for DHCP servers on %s: %w", iface, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	discover, err := dhcpv4.NewDiscovery(ifi.HardwareAddr, dhcpv4.WithBroadcast(true))
	if err != nil {
		return nil, fmt.Errorf("probing for DHCP servers: %w", err)
	}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(broadcastAddr(), ServerPort))
	var servers []netip.Addr
	buf := make([]byte, 65536)
	end := time.Now().Add(wait)
	// Twice, because a port of a switch that has just come up may swallow the first one.
	for _, until := range []time.Time{end.Add(-wait / 2), end} {
		if _, err := conn.WriteTo(discover.ToBytes(), to); err != nil {
			return nil, fmt.Errorf("probing for DHCP servers on %s: %w", iface, err)
		}
		if err := conn.SetReadDeadline(until); err != nil {
			return nil, fmt.Errorf("probing for DHCP servers on %s: %w", iface, err)
		}
		for {
			n, _, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("probing for DHCP servers on %s: %w", iface, errors.Join(err, ctx.Err()))
			}
			s, ok := offeredBy(buf[:n], discover)
			if !ok || slices.Contains(servers, s) {
				continue
			}
			if len(servers) == 0 {
				// The question is answered; a moment more for others to be named too.
				if err := conn.SetReadDeadline(time.Now().Add(wait / 10)); err != nil {
					return nil, fmt.Errorf("probing for DHCP servers on %s: %w", iface, err)
				}
			}
			servers = append(servers, s)
		}
		if len(servers) > 0 {
			break
		}
	}
	return servers, nil
}

// offeredBy reads an answer to discover.
func offeredBy(b []byte, discover *dhcpv4.DHCPv4) (netip.Addr, bool) {
	p, err := dhcpv4.FromBytes(b)
	if err != nil || p.OpCode != dhcpv4.OpcodeBootReply || p.TransactionID != discover.TransactionID {
		return netip.Addr{}, false
	}
	if y := addr4(p.YourIPAddr); !y.IsValid() || y.IsUnspecified() {
		return netip.Addr{}, false
	}
	s := addr4(p.ServerIdentifier())
	if !s.IsValid() {
		s = addr4(p.ServerIPAddr)
	}
	return s, s.IsValid()
}
