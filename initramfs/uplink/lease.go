package uplink

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

// Lease is an address that a DHCP server lent to an interface.
type Lease struct {
	NIC    NIC
	Prefix net.IPNet // the address, and the network that it is in
	Router net.IP    // nil for none
	server net.IP
	lease  *nclient4.Lease
}

// request asks for an address on n until an answer comes or ctx ends.
func request(ctx context.Context, n NIC) (*Lease, error) {
	c, err := nclient4.New(n.Name, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(3))
	if err != nil {
		return nil, fmt.Errorf("asking for an address on %s: %w", n.Name, err)
	}
	defer c.Close()
	lease, err := c.Request(ctx, dhcpv4.WithOption(dhcpv4.OptClassIdentifier("griddle-agent")))
	if err != nil {
		return nil, fmt.Errorf("asking for an address on %s: %w", n.Name, err)
	}
	return read(n, lease)
}

// read takes what matters out of an answer.
func read(n NIC, lease *nclient4.Lease) (*Lease, error) {
	ack := lease.ACK
	ip := ack.YourIPAddr.To4()
	mask := ack.SubnetMask()
	if ip == nil || ip.IsUnspecified() || ip.IsMulticast() {
		return nil, fmt.Errorf("asking for an address on %s: the answer has no address", n.Name)
	}
	if ones, bits := mask.Size(); bits != 32 || ones == 0 {
		mask = ip.DefaultMask() // RFC 2132 section 3.3 makes the option optional
	}
	l := &Lease{NIC: n, lease: lease, Prefix: net.IPNet{IP: ip, Mask: mask}, server: ack.ServerIdentifier()}
	if r := ack.Router(); len(r) > 0 && l.Prefix.Contains(r[0]) {
		l.Router = r[0]
	}
	return l, nil
}

// apply gives the interface its address and the machine its way out.
func (l *Lease) apply() error {
	seconds := int(l.lease.ACK.IPAddressLeaseTime(time.Hour).Seconds())
	addr := &netlink.Addr{IPNet: &l.Prefix, ValidLft: seconds, PreferedLft: seconds}
	if err := netlink.AddrReplace(l.NIC.link, addr); err != nil {
		return fmt.Errorf("setting %s on %s: %w", l.Prefix.String(), l.NIC.Name, err)
	}
	if l.Router != nil {
		if err := netlink.RouteReplace(&netlink.Route{LinkIndex: l.NIC.link.Attrs().Index, Gw: l.Router}); err != nil {
			return fmt.Errorf("setting the route over %s: %w", l.Router, err)
		}
	}
	var resolv string
	for _, ip := range l.lease.ACK.DNS() {
		resolv += "nameserver " + ip.String() + "\n"
	}
	return os.WriteFile("/etc/resolv.conf", []byte(resolv), 0o644)
}

// drop takes the address off again, for the next interface to be tried.
func (l *Lease) drop() {
	_ = netlink.AddrDel(l.NIC.link, &netlink.Addr{IPNet: &l.Prefix})
}

// Renew keeps the lease until ctx ends: an install may take longer than it. It asks the same server at half time and,
// where that says no or nothing, any server; the address stays in use as long as it is valid.
func (l *Lease) Renew(ctx context.Context, log *slog.Logger) {
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
			log.Warn("lease not renewed", "nic", l.NIC.Name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
	}
}

func (l *Lease) again(ctx context.Context) (*Lease, error) {
	c, err := nclient4.New(l.NIC.Name, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(2))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if lease, err := c.Renew(ctx, l.lease); err == nil {
		return read(l.NIC, lease)
	}
	next, err := request(ctx, l.NIC)
	if err == nil && !next.Prefix.IP.Equal(l.Prefix.IP) {
		l.drop() // somebody else may get it now
	}
	return next, err
}
