package setting

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"griddle/appliance/setting"
	"griddle/initramfs/systemd"
)

// network configures interfaces for the program that the image has: NetworkManager, systemd-networkd or ifupdown. The
// one that starts with the system counts, in this order; systemd-networkd is part of systemd in many images that do not
// use it.
//
// A card gets its name by its MAC address from a .link file of udev, whichever program configures it. The program waits
// until udev has named all cards: the initrd of the image does not know the file, a card that is up cannot be renamed
// (Linux before 6.2), and the image may have a configuration that fits the card under its first name. One card never
// has two configurations: our files come first where the first one wins (.link and .network), have the higher priority
// (NetworkManager), or the image's stanza of the name becomes a comment (ifupdown).
func (w *writer) network(context.Context) error {
	n := w.s.Network
	if len(n.Interfaces) == 0 && len(n.DNS) == 0 && len(n.Search) == 0 {
		return nil
	}
	unit, write, err := w.manager()
	if err != nil {
		return err
	}
	named := false
	for _, f := range n.Interfaces {
		if f.MAC == "" {
			continue
		}
		named = true
		if err := w.Write("etc/systemd/network/00-griddle-"+f.Name+".link", []byte(link(f)), 0o644); err != nil {
			return err
		}
	}
	if named {
		if err := w.Write("etc/systemd/system/"+unit+".d/griddle-names.conf", []byte(afterNames), 0o644); err != nil {
			return err
		}
	}
	if err := w.withoutStanzas(n); err != nil {
		return err
	}
	return write(n)
}

// afterNames has a unit start after udev has handled all devices that there are (systemd-udev-settle.service(8)).
const afterNames = `[Unit]
Wants=systemd-udev-settle.service
After=systemd-udev-settle.service
`

// link gives a card its name (systemd.link(5)). The type keeps VLANs out, which have the address of their card.
func link(f setting.Interface) string {
	return fmt.Sprintf("[Match]\nMACAddress=%s\nType=ether\n\n[Link]\nNamePolicy=\nName=%s\n", f.MAC, f.Name)
}

// manager is the unit of the program that the image has, and what writes its configuration.
func (w *writer) manager() (string, func(setting.Network) error, error) {
	type manager struct {
		has   bool
		unit  string
		write func(setting.Network) error
	}
	all := []manager{
		{w.Program("NetworkManager") != "", "NetworkManager.service", w.networkManager},
		{systemd.HasUnit(w.Dir, "systemd-networkd.service"), "systemd-networkd.service", w.networkd},
		{w.Program("ifup") != "" && w.Has("etc/network"), "networking.service", w.ifupdown},
	}
	for _, m := range all {
		if m.has && systemd.Enabled(w.Dir, m.unit) {
			return m.unit, m.write, nil
		}
	}
	for _, m := range []manager{all[0], all[2], all[1]} { // none is enabled: systemd-networkd may just be there
		if m.has {
			return m.unit, m.write, nil
		}
	}
	return "", nil, lacks("network: it has none of NetworkManager, systemd-networkd and ifupdown: " +
		"install one of them in the template")
}

// resolver is the name servers of an interface, and its domains to search: its own, then those for all interfaces.
func resolver(n setting.Network, f setting.Interface) (dns []netip.Addr, search []string) {
	return distinct(slices.Concat(f.DNS, n.DNS)), distinct(slices.Concat(f.Search, n.Search))
}

// allResolvers is those of all interfaces.
func allResolvers(n setting.Network) (dns []netip.Addr, search []string) {
	dns, search = n.DNS, n.Search
	for _, f := range n.Interfaces {
		dns, search = slices.Concat(dns, f.DNS), slices.Concat(search, f.Search)
	}
	return distinct(dns), distinct(search)
}

// distinct keeps the first of each.
func distinct[T comparable](all []T) []T {
	var out []T
	for _, v := range all {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// join writes values with something between them.
func join[T any](all []T, sep string) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, sep)
}

// resolvConf is a fixed resolv.conf(5), "" without name servers.
func resolvConf(n setting.Network) string {
	dns, search := allResolvers(n)
	if len(dns) == 0 {
		return ""
	}
	var b strings.Builder
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", join(search, " "))
	}
	for _, a := range dns {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	return b.String()
}

// bondOf is the bond that an interface is part of, "" for none.
func bondOf(n setting.Network, name string) string {
	for _, f := range n.Interfaces {
		if f.Bond != nil && slices.Contains(f.Bond.Links, name) {
			return f.Name
		}
	}
	return ""
}

// modeOf is the mode of a bond.
func modeOf(b *setting.Bond) string {
	if b.Mode == "" {
		return "active-backup"
	}
	return b.Mode
}

// onLink reports whether a gateway is on none of an interface's own networks, so that the kernel must be made to trust
// that it is reached directly: addresses by DHCP come later than routes.
func onLink(f setting.Interface, via netip.Addr) bool {
	return !via.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(f.Addresses, func(p netip.Prefix) bool { return p.Contains(via) })
}

// has reports whether an interface has addresses of a family, by whatever way.
func has(f setting.Interface, six bool) bool {
	if six && f.DHCP6 || !six && f.DHCP4 {
		return true
	}
	return slices.ContainsFunc(f.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() == six })
}
