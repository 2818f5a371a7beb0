package declared

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"griddle/appliance/setting"
	"griddle/cloud/userdata/seed"
)

// network is what network-config can have; nil leaves the image's own. Name servers and search domains of all
// interfaces go to each that has addresses.
func network(n setting.Network) *seed.Network {
	if len(n.Interfaces) == 0 {
		return nil
	}
	out := &seed.Network{}
	for _, f := range n.Interfaces {
		g := seed.Interface{Name: f.Name, DHCP: f.DHCP4, DHCP6: f.DHCP6, Addresses: f.Addresses, MTU: f.MTU,
			DNS: slices.Clone(f.DNS), Search: slices.Clone(f.Search)}
		if f.DHCP4 || f.DHCP6 || len(f.Addresses) > 0 {
			g.DNS = together(g.DNS, n.DNS)
			g.Search = together(g.Search, n.Search)
		}
		for _, r := range f.Routes {
			if to := prefix(r); !(everythingOf6(to) && r.Metric > 0) {
				g.Routes = append(g.Routes, seed.Route{To: to, Via: r.Via, Metric: r.Metric})
			}
		}
		switch {
		case f.VLAN != nil:
			g.VLAN = &seed.VLAN{ID: f.VLAN.ID, Link: f.VLAN.Link}
		case f.Bond != nil:
			g.Bond = &seed.Bond{Mode: mode(*f.Bond), Links: f.Bond.Links}
		default:
			g.MAC, _ = net.ParseMAC(f.MAC) // Check has parsed it
		}
		out.Interfaces = append(out.Interfaces, g)
	}
	return out
}

// together is a and what b has besides.
func together[T comparable](a, b []T) []T {
	for _, v := range b {
		if !slices.Contains(a, v) {
			a = append(a, v)
		}
	}
	return a
}

func mode(b setting.Bond) string {
	if b.Mode == "" {
		return "active-backup"
	}
	return b.Mode
}

// prefix is where a route leads to.
func prefix(r setting.Route) netip.Prefix {
	if r.To == setting.Default && r.Via.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	if r.To == setting.Default {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.MustParsePrefix(r.To) // Check has parsed it
}

func everythingOf6(p netip.Prefix) bool { return p.Bits() == 0 && p.Addr().Is6() }

// left are the routes that cloud-init 22.4 does not configure with every program: all but a default route beside an
// address of its kind. It forgets metrics but for netplan, gives NetworkManager routes of IPv6 as if they were of IPv4,
// and has ifupdown call the program route, which many systems do not have.
func left(n setting.Network) string {
	var b strings.Builder
	for _, f := range n.Interfaces {
		for _, r := range f.Routes {
			to := prefix(r)
			beside := slices.ContainsFunc(f.Addresses,
				func(p netip.Prefix) bool { return p.Addr().Is4() == to.Addr().Is4() })
			if r.Metric == 0 && to.Bits() == 0 && beside {
				continue
			}
			fmt.Fprintf(&b, "%s %s %s %d\n", f.Name, to, r.Via, r.Metric)
		}
	}
	return b.String()
}

// networkd are the files that systemd-networkd needs for VLANs and bonds besides those that cloud-init 22.4 writes.
func networkd(n setting.Network) []setting.File {
	var files []setting.File
	on := map[string]string{} // interface -> lines for its section Network
	for _, f := range n.Interfaces {
		kind, text := "", ""
		switch {
		case f.VLAN != nil:
			kind, text = "vlan", fmt.Sprintf("[VLAN]\nId=%d\n", f.VLAN.ID)
			on[f.VLAN.Link] += "VLAN=" + f.Name + "\n"
		case f.Bond != nil:
			kind, text = "bond", fmt.Sprintf("[Bond]\nMode=%s\nMIIMonitorSec=100ms\n", mode(*f.Bond))
			for _, l := range f.Bond.Links {
				on[l] += "Bond=" + f.Name + "\n"
			}
		default:
			continue
		}
		files = append(files, setting.File{Path: "/etc/systemd/network/10-griddle-" + f.Name + ".netdev",
			Content: fmt.Sprintf("[NetDev]\nName=%s\nKind=%s\n\n%s", f.Name, kind, text)})
	}
	for _, f := range n.Interfaces {
		if on[f.Name] != "" {
			files = append(files, setting.File{
				Path:    "/etc/systemd/network/10-cloud-init-" + f.Name + ".network.d/griddle.conf",
				Content: "[Network]\n" + on[f.Name]})
		}
	}
	return files
}
