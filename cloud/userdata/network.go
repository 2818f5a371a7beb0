package userdata

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Network is what a server's interfaces are to be.
type Network struct {
	Interfaces []Interface
}

// Interface is found by its MAC address, whatever the kernel calls it.
type Interface struct {
	Name      string // it is given this name, at most 15 characters; empty: eth0, eth1, … in their order
	MAC       net.HardwareAddr
	DHCP      bool           // IPv4 by DHCP
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
		if len(f.Name) > 15 || carried(f.Name) != nil {
			errs = append(errs, fmt.Errorf("interface %d: %q is no name for one", i, f.Name))
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
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("writing a seed's network: %w", err)
	}
	return nil
}

func (f *Interface) name(i int) string {
	if f.Name != "" {
		return f.Name
	}
	return fmt.Sprintf("eth%d", i)
}

// v2 is network-config version 2, a part of netplan's language that cloud-init renders for ifupdown and networkd.
func (n *Network) v2() (map[string]any, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	ethernets := map[string]any{}
	for i, f := range n.Interfaces {
		e := map[string]any{
			"match": map[string]any{"macaddress": f.MAC.String()}, "set-name": f.name(i), "dhcp4": f.DHCP,
		}
		if len(f.Addresses) > 0 {
			e["addresses"] = listOf(f.Addresses)
		}
		for _, g := range f.Gateways {
			if g.Is4() {
				e["gateway4"] = g.String()
			} else {
				e["gateway6"] = g.String()
			}
		}
		if len(f.DNS) > 0 {
			e["nameservers"] = map[string]any{"addresses": listOf(f.DNS)}
		}
		if f.MTU > 0 {
			e["mtu"] = int64(f.MTU)
		}
		ethernets[f.name(i)] = e
	}
	return map[string]any{"version": int64(2), "ethernets": ethernets}, nil
}

// openstack is network_data.json (nova, "Metadata service", network_data schema).
func (n *Network) openstack() (map[string]any, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	links, networks, services := []any{}, []any{}, []any{}
	seen := map[netip.Addr]bool{}
	for i, f := range n.Interfaces {
		link := map[string]any{"id": f.name(i), "type": "phy", "ethernet_mac_address": f.MAC.String()}
		if f.MTU > 0 {
			link["mtu"] = f.MTU
		}
		links = append(links, link)
		if f.DHCP {
			networks = append(networks, map[string]any{"id": f.name(i) + "-dhcp", "type": "ipv4_dhcp", "link": f.name(i)})
		}
		for j, p := range f.Addresses {
			kind, zero := "ipv4", "0.0.0.0"
			if p.Addr().Is6() {
				kind, zero = "ipv6", "::"
			}
			net := map[string]any{
				"id": fmt.Sprintf("%s-%d", f.name(i), j), "type": kind, "link": f.name(i),
				"ip_address": p.Addr().String(), "netmask": mask(p),
			}
			for _, g := range f.Gateways {
				if g.Is4() == p.Addr().Is4() && p.Masked().Contains(g) {
					net["routes"] = []any{map[string]any{"network": zero, "netmask": zero, "gateway": g.String()}}
				}
			}
			networks = append(networks, net)
		}
		for _, d := range f.DNS {
			if !seen[d] {
				seen[d] = true
				services = append(services, map[string]any{"type": "dns", "address": d.String()})
			}
		}
	}
	return map[string]any{"links": links, "networks": networks, "services": services}, nil
}

func mask(p netip.Prefix) string {
	m := net.CIDRMask(p.Bits(), p.Addr().BitLen())
	a, _ := netip.AddrFromSlice(m)
	return a.String()
}

func listOf[T fmt.Stringer](values []T) []any {
	var list []any
	for _, v := range values {
		list = append(list, v.String())
	}
	return list
}
