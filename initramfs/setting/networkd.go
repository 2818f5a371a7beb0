package setting

import (
	"fmt"
	"strings"

	"griddle/appliance/setting"
	"griddle/initramfs/systemd"
)

// networkd writes the files of systemd-networkd (systemd.network(5), systemd.netdev(5)) and has it started. Of several
// files for an interface it takes the first, by name.
func (w *writer) networkd(n setting.Network) error {
	for _, f := range n.Interfaces {
		base := "etc/systemd/network/00-griddle-" + f.Name
		if text := netdev(f); text != "" {
			if err := w.Write(base+".netdev", []byte(text), 0o644); err != nil {
				return err
			}
		}
		if err := w.Write(base+".network", []byte(networkFile(n, f)), 0o644); err != nil {
			return err
		}
	}
	if err := w.resolved(n); err != nil {
		return err
	}
	for unit, target := range map[string]string{"systemd-networkd.service": "multi-user.target",
		"systemd-networkd.socket": "sockets.target", "systemd-networkd-wait-online.service": "network-online.target"} {
		if !systemd.HasUnit(w.Dir, unit) {
			continue
		}
		if err := systemd.Start(w.Dir, unit, target); err != nil {
			return err
		}
	}
	return nil
}

// resolved makes the name servers known: to systemd-resolved where the image has it, else in resolv.conf.
func (w *writer) resolved(n setting.Network) error {
	const unit = "systemd-resolved.service"
	if systemd.HasUnit(w.Dir, unit) {
		if len(n.DNS) > 0 || len(n.Search) > 0 {
			conf := "[Resolve]\n" + line("DNS", join(n.DNS, " ")) + line("Domains", join(n.Search, " "))
			if err := w.Write("etc/systemd/resolved.conf.d/10-griddle.conf", []byte(conf), 0o644); err != nil {
				return err
			}
		}
		if err := systemd.Start(w.Dir, unit, "multi-user.target"); err != nil {
			return err
		}
		return w.ReplaceLink("../run/systemd/resolve/stub-resolv.conf", "etc/resolv.conf")
	}
	conf := resolvConf(n)
	if conf == "" {
		w.note("name servers that DHCP offers are not used: install the package systemd-resolved in the template, or " +
			"give network.dns")
		return nil
	}
	return w.Write("etc/resolv.conf", []byte(conf), 0o644)
}

// line is one assignment, "" without a value.
func line(key, value string) string {
	if value == "" {
		return ""
	}
	return key + "=" + value + "\n"
}

// netdev makes a VLAN or a bond, "" for a card.
func netdev(f setting.Interface) string {
	switch {
	case f.VLAN != nil:
		return fmt.Sprintf("[NetDev]\nName=%s\nKind=vlan\n\n[VLAN]\nId=%d\n", f.Name, f.VLAN.ID)
	case f.Bond != nil:
		return fmt.Sprintf("[NetDev]\nName=%s\nKind=bond\n\n[Bond]\nMode=%s\nMIIMonitorSec=100ms\n", f.Name,
			modeOf(f.Bond))
	}
	return ""
}

// networkFile configures an interface.
func networkFile(n setting.Network, f setting.Interface) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[Match]\nName=%s\n", f.Name)
	idle := !has(f, false) && !has(f, true)
	if f.MTU != 0 || idle {
		b.WriteString("\n[Link]\n")
		if f.MTU != 0 {
			fmt.Fprintf(&b, "MTUBytes=%d\n", f.MTU)
		}
		if idle {
			b.WriteString("RequiredForOnline=no\n")
		}
	}
	dhcp := map[[2]bool]string{{true, true}: "yes", {true, false}: "ipv4",
		{false, true}: "ipv6"}[[2]bool{f.DHCP4, f.DHCP6}]
	b.WriteString("\n[Network]\n" + line("DHCP", dhcp))
	if idle {
		b.WriteString("LinkLocalAddressing=no\n")
	}
	b.WriteString(line("IPv6AcceptRA", map[bool]string{true: "yes", false: "no"}[f.DHCP6]))
	for _, p := range f.Addresses {
		b.WriteString(line("Address", p.String()))
	}
	b.WriteString(line("DNS", join(f.DNS, " ")) + line("Domains", join(f.Search, " ")))
	b.WriteString(line("Bond", bondOf(n, f.Name)))
	for _, v := range n.Interfaces {
		if v.VLAN != nil && v.VLAN.Link == f.Name {
			b.WriteString(line("VLAN", v.Name))
		}
	}
	for _, r := range f.Routes {
		b.WriteString("\n[Route]\n")
		if r.To != setting.Default {
			b.WriteString(line("Destination", r.To))
		}
		b.WriteString(line("Gateway", r.Via.String()))
		if onLink(f, r.Via) {
			b.WriteString("GatewayOnLink=yes\n")
		}
		if r.Metric != 0 {
			fmt.Fprintf(&b, "Metric=%d\n", r.Metric)
		}
	}
	return b.String()
}
