package seed

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
)

// Network is what a server's interfaces are to be.
type Network struct {
	Interfaces []Interface
}

// Interface is found by its MAC address, whatever the kernel calls it.
type Interface struct {
	Name      string // its new name, at most 15 letters, digits and ._-; empty: eth0, eth1, … in their order
	MAC       net.HardwareAddr
	DHCP      bool           // IPv4 by DHCP; its name servers are not used where there are DNS
	Addresses []netip.Prefix // each with its network's length
	Gateways  []netip.Addr   // at most one of IPv4 and one of IPv6
	DNS       []netip.Addr
	MTU       int // 0: the kernel's
}

func (n *Network) check() error {
	var errs []error
	for i, f := range n.Interfaces {
		if len(f.MAC) != 6 {
			errs = append(errs, fmt.Errorf("interface %d has no MAC address of 6 bytes", i))
		}
		if f.Name != "" && !regexp.MustCompile(`^[A-Za-z0-9._-]{1,15}$`).MatchString(f.Name) {
			errs = append(errs, fmt.Errorf("interface %d: %q is not a name for one", i, f.Name))
		}
		var four, six int
		for _, g := range f.Gateways {
			if g.Is4() {
				four++
			} else {
				six++
			}
		}
		if four > 1 || six > 1 {
			errs = append(errs, fmt.Errorf("interface %d has more than one gateway of a kind", i))
		}
		for _, p := range f.Addresses {
			if !p.IsValid() {
				errs = append(errs, fmt.Errorf("interface %d has an invalid address", i))
			}
		}
	}
	return errors.Join(errs...)
}

func (f *Interface) name(i int) string {
	if f.Name != "" {
		return f.Name
	}
	return fmt.Sprintf("eth%d", i)
}

// config is version 2 of the network configuration, a part of netplan's language that cloud-init renders for ifupdown
// and networkd.
func (n *Network) config() any {
	type object map[string]any
	ethernets := object{}
	for i, f := range n.Interfaces {
		e := object{"match": object{"macaddress": f.MAC.String()}, "set-name": f.name(i)}
		if f.DHCP {
			e["dhcp4"] = true
			if len(f.DNS) > 0 {
				e["dhcp4-overrides"] = object{"use-dns": false}
			}
		}
		if len(f.Addresses) > 0 {
			e["addresses"] = f.Addresses
		}
		var routes []object
		for _, g := range f.Gateways {
			everything := "0.0.0.0/0"
			if !g.Is4() {
				everything = "::/0"
			}
			routes = append(routes, object{"to": everything, "via": g})
		}
		if len(routes) > 0 {
			e["routes"] = routes
		}
		if len(f.DNS) > 0 {
			e["nameservers"] = object{"addresses": f.DNS}
		}
		if f.MTU > 0 {
			e["mtu"] = f.MTU
		}
		ethernets[f.name(i)] = e
	}
	return object{"version": 2, "ethernets": ethernets}
}
