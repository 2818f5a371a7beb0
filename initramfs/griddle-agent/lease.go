package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

// leased is an address that a DHCP server lent to an interface.
type leased struct {
	nic    nic
	lease  *nclient4.Lease
	prefix net.IPNet
	router net.IP
	server net.IP
}

// request asks for an address on n until an answer comes or ctx ends.
func request(ctx context.Context, n nic) (*leased, error) {
	c, err := nclient4.New(n.name, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(3))
	if err != nil {
		return nil, fmt.Errorf("asking for an address on %s: %w", n.name, err)
	}
	defer c.Close()
	lease, err := c.Request(ctx, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("griddle-agent")))
	if err != nil {
		return nil, fmt.Errorf("asking for an address on %s: %w", n.name, err)
	}
	return read(n, lease)
}

// read takes what matters out of an answer.
func read(n nic, lease *nclient4.Lease) (*leased, error) {
	ack := lease.ACK
	ip := ack.YourIPAddr.To4()
	mask := ack.SubnetMask()
	if ip == nil || ip.IsUnspecified() || ip.IsMulticast() {
		return nil, fmt.Errorf("asking for an address on %s: the answer has no address", n.name)
	}
	if ones, bits := mask.Size(); bits != 32 || ones == 0 {
		mask = ip.DefaultMask() // RFC 2132 section 3.3 makes the option optional
	}
	l := &leased{nic: n, lease: lease, prefix: net.IPNet{IP: ip, Mask: mask}, server: ack.ServerIdentifier()}
	if r := ack.Router(); len(r) > 0 && l.prefix.Contains(r[0]) {
		l.router = r[0]
	}
	return l, nil
}

// apply gives the interface its address and the machine its way out.
func (l *leased) apply() error {
	seconds := int(l.lease.ACK.IPAddressLeaseTime(time.Hour).Seconds())
	addr := &netlink.Addr{IPNet: &l.prefix, ValidLft: seconds, PreferedLft: seconds}
	if err := netlink.AddrReplace(l.nic.link, addr); err != nil {
		return fmt.Errorf("setting %s on %s: %w", l.prefix.String(), l.nic.name, err)
	}
	if l.router != nil {
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: l.nic.link.Attrs().Index, Gw: l.router}); err != nil {
			return fmt.Errorf("setting the route over %s: %w", l.router, err)
		}
	}
	var resolv string
	for _, ip := range l.lease.ACK.DNS() {
		resolv += "nameserver " + ip.String() + "\n"
	}
	return os.WriteFile("/etc/resolv.conf", []byte(resolv), 0o644)
}

// drop takes the address off again, for the next interface to be tried.
func (l *leased) drop() {
	_ = netlink.AddrDel(l.nic.link, &netlink.Addr{IPNet: &l.prefix})
}

// renew keeps the lease until ctx ends: an install may take longer than it. It asks the same server at half time and,
// where that says no or nothing, any server; the address stays in use as long as it is valid.
func (l *leased) renew(ctx context.Context, log *slog.Logger) {
	for {
		half := max(l.lease.ACK.IPAddressLeaseTime(time.Hour)/2, 10*time.Second)
		select {
		case <-ctx.Done():
			return
		case <-time.After(half):
		}
		for ctx.Err() == nil {
			next, err := l.again(ctx)
			if err == nil {
				if err = next.apply(); err == nil {
					l = next
					break
				}
			}
			log.Warn("lease not renewed", "nic", l.nic.name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
	}
}

func (l *leased) again(ctx context.Context) (*leased, error) {
	c, err := nclient4.New(l.nic.name, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(2))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if lease, err := c.Renew(ctx, l.lease); err == nil {
		return read(l.nic, lease)
	}
	next, err := request(ctx, l.nic)
	if err == nil && !next.prefix.IP.Equal(l.prefix.IP) {
		l.drop() // somebody else may get it now
	}
	return next, err
}
