package seed

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
)

// Network is what a server's interfaces are to be.
type Network struct {
	Interfaces []Interface
}

// Interface is a network card, a VLAN or a bond. A card is found by its MAC address, whatever the kernel calls it.
type Interface struct {
	Name      string // of a card its new name; at most 15 letters, digits and ._-; empty: eth0, eth1, … in their order
	MAC       net.HardwareAddr
	DHCP      bool           // IPv4 by DHCP; its name servers are not used where there are DNS
	DHCP6     bool           // IPv6 by router advertisements and DHCPv6; of name servers as with DHCP
	Addresses []netip.Prefix // each with its network's length
	Gateways  []netip.Addr   // at most one of IPv4 and one of IPv6
	Routes    []Route
	DNS       []netip.Addr
	Search    []string // domains
	MTU       int      // 0: the kernel's
	VLAN      *VLAN    // nil: it is not a VLAN
	Bond      *Bond    // nil: it is not a bond
}

// Route is a way to another network.
type Route struct {
	To     netip.Prefix // of length 0: everything
	Via    netip.Addr
	Metric int // 0: the kernel's, which is all that a route of IPv6 to everything can have
}

// everythingOf6 reports whether r is the default route of IPv6.
func (r Route) everythingOf6() bool { return r.To.Bits() == 0 && r.To.Addr().Is6() }

// key is the key of a default route's gateway, "" of all others. cloud-init 22.4 makes a route to ::/64 of one to ::/0,
// and for ifupdown calls the program route for one to 0.0.0.0/0, which many systems do not have.
func (r Route) key() string {
	switch {
	case r.To.Bits() != 0 || r.Metric != 0:
		return ""
	case r.To.Addr().Is4():
		return "gateway4"
	}
	return "gateway6"
}

// VLAN is a tagged network on another interface.
type VLAN struct {
	ID   int    // 1 to 4094
	Link string // the name of the interface that carries it
}

// Bond is several cards as one.
type Bond struct {
	Mode  string   // of the kernel's bonding driver, such as active-backup
	Links []string // the names of the cards
}

func (n *Network) check() error {
	var errs []error
	for i, f := range n.Interfaces {
		if err := f.kind(); err != nil {
			errs = append(errs, fmt.Errorf("interface %d %w", i, err))
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
		for _, r := range f.Routes {
			switch {
			case !r.To.IsValid() || r.To.Addr().Is4() != r.Via.Is4():
				errs = append(errs, fmt.Errorf("interface %d has a route without a network and a gateway of one kind",
					i))
			case r.everythingOf6() && r.Metric != 0:
				errs = append(errs, fmt.Errorf("interface %d: cloud-init has no metric for the default route of IPv6",
					i))
			}
		}
	}
	return errors.Join(errs...)
}

// kind says what is wrong with what an interface is.
func (f *Interface) kind() error {
	switch {
	case f.VLAN != nil && f.Bond != nil:
		return errors.New("is a VLAN and a bond")
	case f.VLAN == nil && f.Bond == nil && len(f.MAC) != 6:
		return errors.New("has no MAC address of 6 bytes")
	case (f.VLAN != nil || f.Bond != nil) && f.Name == "":
		return errors.New("is a VLAN or a bond, and has no name")
	case f.VLAN != nil && (f.VLAN.ID < 1 || f.VLAN.ID > 4094 || f.VLAN.Link == ""):
		return errors.New("is a VLAN without a number between 1 and 4094, or without the interface that carries it")
	case f.Bond != nil && (f.Bond.Mode == "" || len(f.Bond.Links) == 0):
		return errors.New("is a bond without a mode, or without cards")
	}
	return nil
}

func (f *Interface) name(i int) string {
	if f.Name != "" {
		return f.Name
	}
	return fmt.Sprintf("eth%d", i)
}

type object map[string]any

// config is version 2 of the network configuration, a part of netplan's language that cloud-init renders for ifupdown
// and networkd.
func (n *Network) config() any {
	all := map[string]object{"ethernets": {}}
	for i, f := range n.Interfaces {
		e, section := f.addressing(), "ethernets"
		switch {
		case f.VLAN != nil:
			section = "vlans"
			e["id"], e["link"] = f.VLAN.ID, f.VLAN.Link
		case f.Bond != nil:
			section = "bonds"
			// Without an interval the kernel never looks whether a card has a link.
			e["interfaces"] = f.Bond.Links
			e["parameters"] = object{"mode": f.Bond.Mode, "mii-monitor-interval": 100}
		default:
			e["match"], e["set-name"] = object{"macaddress": f.MAC.String()}, f.name(i)
		}
		if all[section] == nil {
			all[section] = object{}
		}
		all[section][f.name(i)] = e
	}
	out := object{"version": 2}
	for section, of := range all {
		out[section] = of
	}
	return out
}

// addressing is what every kind of interface can have.
func (f *Interface) addressing() object {
	e := object{}
	for _, d := range []struct {
		name string
		is   bool
	}{{"dhcp4", f.DHCP}, {"dhcp6", f.DHCP6}} {
		if !d.is {
			continue
		}
		e[d.name] = true
		if len(f.DNS) > 0 {
			e[d.name+"-overrides"] = object{"use-dns": false}
		}
	}
	if f.DHCP6 {
		e["accept-ra"] = true
	}
	if len(f.Addresses) > 0 {
		e["addresses"] = f.Addresses
	}
	routes := slices.Clone(f.Routes)
	for i, g := range f.Gateways {
		everything := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if g.Is4() {
			everything = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		routes = slices.Insert(routes, i, Route{To: everything, Via: g})
	}
	var list []object
	for _, r := range routes {
		if key := r.key(); key != "" && e[key] == nil {
			e[key] = r.Via
			continue
		}
		o := object{"to": r.To, "via": r.Via}
		if r.Metric > 0 {
			o["metric"] = r.Metric
		}
		list = append(list, o)
	}
	if len(list) > 0 {
		e["routes"] = list
	}
	names := object{}
	if len(f.DNS) > 0 {
		names["addresses"] = f.DNS
	}
	if len(f.Search) > 0 {
		names["search"] = f.Search
	}
	if len(names) > 0 {
		e["nameservers"] = names
	}
	if f.MTU > 0 {
		e["mtu"] = f.MTU
	}
	return e
}
