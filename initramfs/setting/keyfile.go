package setting

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/uuid"

	"griddle/appliance/setting"
	"griddle/initramfs/systemd"
)

// networkManager writes a profile for each interface (nm-settings-keyfile(5)). Their priority is higher than that of
// profiles of the image, so that those are not used for the same interface.
func (w *writer) networkManager(n setting.Network) error {
	for _, f := range n.Interfaces {
		name := "etc/NetworkManager/system-connections/griddle-" + f.Name + ".nmconnection"
		if err := w.Write(name, []byte(keyfile(n, f)), 0o600); err != nil {
			return err
		}
	}
	if len(n.Interfaces) == 0 { // name servers alone are for all connections
		text := "[global-dns]\n" + line("searches", join(n.Search, ",")) + "\n[global-dns-domain-*]\n" +
			line("servers", join(n.DNS, ","))
		if err := w.Write("etc/NetworkManager/conf.d/10-griddle.conf", []byte(text), 0o644); err != nil {
			return err
		}
	}
	if systemd.Enabled(w.Dir, "systemd-networkd.service") {
		for _, f := range n.Interfaces {
			text := fmt.Sprintf("[Match]\nName=%s\n\n[Link]\nUnmanaged=yes\n", f.Name)
			if err := w.Write("etc/systemd/network/00-griddle-"+f.Name+".network", []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return systemd.Start(w.Dir, "NetworkManager.service", "multi-user.target")
}

// keyfile is the profile of an interface.
func keyfile(n setting.Network, f setting.Interface) string {
	var b strings.Builder
	kind := "ethernet"
	switch {
	case f.VLAN != nil:
		kind = "vlan"
	case f.Bond != nil:
		kind = "bond"
	}
	id := "griddle-" + f.Name
	fmt.Fprintf(&b, "[connection]\nid=%s\nuuid=%s\ntype=%s\ninterface-name=%s\nautoconnect-priority=100\n", id,
		uuid.NewSHA1(uuid.NameSpaceOID, []byte(id)), kind, f.Name)
	bond := bondOf(n, f.Name)
	if bond != "" {
		fmt.Fprintf(&b, "master=%s\nslave-type=bond\n", bond)
	}
	b.WriteString("\n[ethernet]\n" + line("mac-address", f.MAC))
	if f.MTU != 0 {
		fmt.Fprintf(&b, "mtu=%d\n", f.MTU)
	}
	if f.VLAN != nil {
		fmt.Fprintf(&b, "\n[vlan]\nid=%d\nparent=%s\nflags=1\n", f.VLAN.ID, f.VLAN.Link)
	}
	if f.Bond != nil {
		fmt.Fprintf(&b, "\n[bond]\nmode=%s\nmiimon=100\n", modeOf(f.Bond))
	}
	if bond == "" {
		b.WriteString("\n[ipv4]\n" + keyfileFamily(n, f, false) + "\n[ipv6]\n" + keyfileFamily(n, f, true))
	}
	return b.String()
}

// keyfileFamily is what a profile says of IPv4 or of IPv6.
func keyfileFamily(n setting.Network, f setting.Interface, six bool) string {
	if !has(f, six) {
		return "method=disabled\n"
	}
	method := "manual"
	if six && f.DHCP6 || !six && f.DHCP4 {
		method = "auto"
	}
	var b strings.Builder
	b.WriteString(line("method", method))
	i := 0
	for _, p := range f.Addresses {
		if p.Addr().Is6() == six {
			i++
			fmt.Fprintf(&b, "address%d=%s\n", i, p)
		}
	}
	i = 0
	for _, r := range f.Routes {
		if r.Via.Is6() != six {
			continue
		}
		i++
		to := r.To
		if to == setting.Default {
			to = map[bool]string{false: "0.0.0.0/0", true: "::/0"}[six]
		}
		fmt.Fprintf(&b, "route%d=%s,%s", i, to, r.Via)
		if r.Metric != 0 {
			fmt.Fprintf(&b, ",%d", r.Metric)
		}
		b.WriteString("\n")
		if onLink(f, r.Via) {
			fmt.Fprintf(&b, "route%d_options=onlink=true\n", i)
		}
	}
	dns, search := resolver(n, f)
	var mine []netip.Addr
	for _, a := range dns {
		if a.Is6() == six {
			mine = append(mine, a)
		}
	}
	if len(mine) > 0 {
		b.WriteString(line("dns", join(mine, ";")+";"))
	}
	if len(search) > 0 {
		b.WriteString(line("dns-search", join(search, ";")+";"))
	}
	return b.String()
}
