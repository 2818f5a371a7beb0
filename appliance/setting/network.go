package setting

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Network is what the interfaces of a machine are. Interfaces that are not named stay as the image has them.
type Network struct {
	Interfaces []Interface  `json:"interfaces,omitempty"`
	DNS        []netip.Addr `json:"dns,omitempty"`    // for all interfaces
	Search     []string     `json:"search,omitempty"` // domains
}

// Interface is one interface: a network card (MAC), a VLAN or a bond.
type Interface struct {
	Name      string         `json:"name"`          // at most 15 letters, digits, "-", "_" and "."
	MAC       string         `json:"mac,omitempty"` // of the network card that gets this name
	DHCP4     bool           `json:"dhcp4,omitempty"`
	DHCP6     bool           `json:"dhcp6,omitempty"` // router advertisements and DHCPv6
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Routes    []Route        `json:"routes,omitempty"`
	DNS       []netip.Addr   `json:"dns,omitempty"`
	Search    []string       `json:"search,omitempty"`
	MTU       int            `json:"mtu,omitempty"` // 68 to 65535; 0: the kernel's
	VLAN      *VLAN          `json:"vlan,omitempty"`
	Bond      *Bond          `json:"bond,omitempty"`
}

// Route is a way to other networks.
type Route struct {
	To     string     `json:"to"` // a network, or "default"
	Via    netip.Addr `json:"via"`
	Metric int        `json:"metric,omitempty"` // 0: the kernel's
}

// Default is Route.To for all networks that no other route names.
const Default = "default"

// VLAN is a tagged network (IEEE 802.1Q) on another interface.
type VLAN struct {
	ID   int    `json:"id"`   // 1 to 4094
	Link string `json:"link"` // name of the interface that carries it
}

// Bond is several interfaces as one (the kernel's bonding driver).
type Bond struct {
	Mode  string   `json:"mode,omitempty"` // "" for active-backup
	Links []string `json:"links"`          // names of its interfaces
}

// bondModes are those of Linux 6.1, Documentation/networking/bonding.rst.
var bondModes = []string{"active-backup", "balance-rr", "balance-xor", "broadcast", "802.3ad", "balance-tlb",
	"balance-alb"}

// network checks all interfaces and how they depend on each other.
func (c *checker) network(n Network) {
	if len(n.Interfaces) > maxInterfaces {
		c.wrong("network.interfaces", "it has %d interfaces, the limit is %d", len(n.Interfaces), maxInterfaces)
		return
	}
	names, cards := map[string]Interface{}, map[string]string{}
	for _, f := range n.Interfaces {
		at := fmt.Sprintf("network.interfaces[%s]", f.Name)
		if _, twice := names[f.Name]; twice {
			c.wrong(at, "it is in the list twice")
		}
		names[f.Name] = f
		if f.MAC != "" {
			if other, twice := cards[f.MAC]; twice {
				c.wrong(at+".mac", "%s has the same address", other)
			}
			cards[f.MAC] = f.Name
		}
	}
	links := map[string]string{}
	for _, f := range n.Interfaces {
		at := fmt.Sprintf("network.interfaces[%s]", f.Name)
		c.card(at, f)
		c.addresses(at, f)
		c.domains(at+".search", f.Search)
		c.nameServers(at+".dns", f.DNS)
		if f.VLAN != nil {
			c.vlan(at+".vlan", *f.VLAN, names)
		}
		if f.Bond != nil {
			c.bond(at+".bond", f, names, links)
		}
	}
	c.domains("network.search", n.Search)
	c.nameServers("network.dns", n.DNS)
}

// card checks what an interface is.
func (c *checker) card(at string, f Interface) {
	if !interfaceName.MatchString(f.Name) || f.Name == "." || f.Name == ".." || f.Name == "lo" || f.Name == "all" ||
		f.Name == "default" {
		c.wrong(at+".name", "%s is not a name for an interface: at most 15 letters, digits, hyphens, underscores and "+
			"dots", quote(f.Name))
	}
	kinds := 0
	for _, is := range []bool{f.MAC != "", f.VLAN != nil, f.Bond != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		c.wrong(at, "give exactly one of mac, vlan and bond")
	}
	if f.MAC != "" {
		if mac, err := net.ParseMAC(f.MAC); err != nil || len(mac) != 6 || mac.String() != f.MAC {
			c.wrong(at+".mac", "%s is not a MAC address such as 52:54:00:12:34:56, in lower case", quote(f.MAC))
		}
	}
	if f.MTU != 0 && (f.MTU < 68 || f.MTU > 65535) {
		c.wrong(at+".mtu", "%d is not between 68 and 65535", f.MTU)
	}
}

// addresses checks the addresses and routes of an interface against each other.
func (c *checker) addresses(at string, f Interface) {
	for i, p := range f.Addresses {
		if err := hostAddress(p); err != nil {
			c.wrong(fmt.Sprintf("%s.addresses[%d]", at, i), "%v", err)
		}
		if slices.Contains(f.Addresses[:i], p) {
			c.wrong(fmt.Sprintf("%s.addresses[%d]", at, i), "%s is in the list twice", p)
		}
	}
	for i, r := range f.Routes {
		if err := f.route(r); err != nil {
			c.wrong(fmt.Sprintf("%s.routes[%d]", at, i), "%v", err)
		}
	}
}

// hostAddress says what is wrong with an address and the length of its network.
func hostAddress(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return errors.New("it is not an address with the length of its network, such as 192.0.2.5/24")
	case a.Zone() != "" || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || a.IsLoopback():
		return fmt.Errorf("%s is not an address that a machine can have", p)
	case a.Is4() && p.Bits() < 31 && (a == p.Masked().Addr() || a == last(p)):
		return fmt.Errorf("%s is the first or the last address of its network, which a machine cannot have", p)
	case p.Bits() == 0:
		return fmt.Errorf("%s has no network: give its length, such as /24", p)
	}
	return nil
}

// last is the broadcast address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

func (f Interface) route(r Route) error {
	if !r.Via.IsValid() {
		return errors.New("it has no gateway: give the router's address as via")
	}
	if r.To != Default {
		to, err := netip.ParsePrefix(r.To)
		switch {
		case err != nil:
			return fmt.Errorf("%s is not a network such as 10.1.0.0/16, or default", quote(r.To))
		case to != to.Masked():
			return fmt.Errorf("%s is not a network: its address has bits after the length; write %s", to, to.Masked())
		case to.Addr().Is4() != r.Via.Is4():
			return fmt.Errorf("the network %s and the gateway %s are of different families", to, r.Via)
		}
	}
	if r.Metric < 0 {
		return errors.New("a metric cannot be negative")
	}
	if r.Via.Is6() && r.Via.IsLinkLocalUnicast() || f.DHCP4 && r.Via.Is4() || f.DHCP6 && r.Via.Is6() {
		return nil
	}
	for _, p := range f.Addresses {
		if p.Contains(r.Via) {
			if p.Addr() == r.Via {
				return fmt.Errorf("the gateway %s is the machine's own address", r.Via)
			}
			return nil
		}
	}
	return fmt.Errorf("the gateway %s is outside all networks of this interface: correct it, or one of addresses",
		r.Via)
}

func (c *checker) vlan(at string, v VLAN, names map[string]Interface) {
	if v.ID < 1 || v.ID > 4094 {
		c.wrong(at+".id", "%d is not between 1 and 4094", v.ID)
	}
	link, ok := names[v.Link]
	switch {
	case !ok:
		c.wrong(at+".link", "%s is not one of the interfaces", quote(v.Link))
	case link.VLAN != nil:
		c.wrong(at+".link", "%s is a VLAN itself", v.Link)
	}
}

// bond checks a bond; links says which bond has an interface.
func (c *checker) bond(at string, f Interface, names map[string]Interface, links map[string]string) {
	if f.Bond.Mode != "" && !slices.Contains(bondModes, f.Bond.Mode) {
		c.wrong(at+".mode", "%s is not one of %s", quote(f.Bond.Mode), list(bondModes))
	}
	if len(f.Bond.Links) == 0 {
		c.wrong(at+".links", "it has no interfaces")
	}
	for _, name := range f.Bond.Links {
		link, ok := names[name]
		switch {
		case !ok || link.MAC == "":
			c.wrong(at+".links", "%s is not one of the interfaces with a mac", quote(name))
			continue
		case links[name] != "":
			c.wrong(at+".links", "%s is in a bond already", name)
		case len(link.Addresses) > 0 || link.DHCP4 || link.DHCP6 || len(link.Routes) > 0:
			c.wrong(at+".links", "%s has addresses of its own: give them to the bond", name)
		}
		links[name] = f.Name
	}
}
