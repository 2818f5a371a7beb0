package setting

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"griddle/appliance/setting"
	"griddle/initramfs/systemd"
)

const (
	interfacesMain = "etc/network/interfaces"
	interfacesDir  = "etc/network/interfaces.d"
)

// ifupdown writes interfaces(5). VLANs and bonds are made by ip(8), which ifupdown needs itself: the packages vlan and
// ifenslave are not needed.
func (w *writer) ifupdown(n setting.Network) error {
	main, err := w.Read(interfacesMain)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(linesOf(main), includesStanzas) {
		text := strings.TrimSuffix(string(main), "\n") + "\nsource /" + interfacesDir + "/*\n"
		if err := w.Replace(interfacesMain, []byte(strings.TrimPrefix(text, "\n")), 0o644); err != nil {
			return err
		}
	}
	if len(n.Interfaces) > 0 {
		c, err := w.dhcpClients(n)
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, f := range n.Interfaces {
			b.WriteString(stanzas(n, f, c))
		}
		if err := w.Write(interfacesDir+"/griddle", []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	if err := errors.Join(w.dhclient(n), w.dhcpcd(n)); err != nil {
		return err
	}
	if conf := resolvConf(n); conf != "" && systemd.Enabled(w.Dir, "systemd-resolved.service") {
		dns, search := allResolvers(n)
		conf := "[Resolve]\n" + line("DNS", join(dns, " ")) + line("Domains", join(search, " "))
		if err := w.Write("etc/systemd/resolved.conf.d/10-griddle.conf", []byte(conf), 0o644); err != nil {
			return err
		}
	} else if conf != "" {
		if err := w.Write("etc/resolv.conf", []byte(conf), 0o644); err != nil {
			return err
		}
	}
	if err := systemd.Unmask(w.Dir, "networking.service"); err != nil || !systemd.HasUnit(w.Dir, "networking.service") {
		return err
	}
	return systemd.Enable(w.Dir, "networking.service", "multi-user.target")
}

// includesStanzas reports whether a line of interfaces(5) includes its folder.
func includesStanzas(line string) bool {
	f := strings.Fields(line)
	return len(f) == 2 && (f[0] == "source" && (f[1] == "/etc/network/interfaces.d/*" || f[1] == "interfaces.d/*") ||
		f[0] == "source-directory" && strings.TrimSuffix(f[1], "/") == "/etc/network/interfaces.d")
}

// stanzas are those of one interface: what makes it and its first address, then the others.
func stanzas(n setting.Network, f setting.Interface, c dhcpClients) string {
	var b strings.Builder
	fmt.Fprintf(&b, "auto %s\n", f.Name)
	made := making(f)
	if f.MTU != 0 {
		made = append(made, fmt.Sprintf("pre-up ip link set dev $IFACE mtu %d", f.MTU))
	}
	var routes []string
	for _, r := range f.Routes {
		routes = append(routes, "up "+routeCommand(f, r))
	}
	// Stanzas of a name are brought up in order (interfaces(5)): the first makes the interface, the last has routes.
	type stanza struct {
		method string
		lines  []string
	}
	var all []stanza
	if f.DHCP4 {
		all = append(all, stanza{"inet dhcp", nil})
	}
	for _, p := range f.Addresses {
		family := "inet static"
		if p.Addr().Is6() {
			family = "inet6 static"
		}
		all = append(all, stanza{family, []string{"address " + p.String()}})
	}
	if f.DHCP6 && !(f.DHCP4 && c.both()) {
		method, lines := c.six()
		all = append(all, stanza{method, lines})
	}
	if len(all) == 0 {
		all = append(all, stanza{"inet manual", []string{"up ip link set dev $IFACE up"}})
		if bondOf(n, f.Name) != "" { // the bond takes its interfaces itself
			all[0].lines = nil
		}
	}
	all[0].lines = slices.Concat(made, all[0].lines)
	end := &all[len(all)-1]
	end.lines = append(end.lines, routes...)
	for _, s := range all {
		fmt.Fprintf(&b, "iface %s %s\n", f.Name, s.method)
		for _, l := range s.lines {
			fmt.Fprintf(&b, "\t%s\n", l)
		}
	}
	return b.String() + "\n"
}

// making are the lines that make a VLAN or a bond.
func making(f setting.Interface) []string {
	switch {
	case f.VLAN != nil:
		return []string{
			fmt.Sprintf("pre-up ip link set dev %s up", f.VLAN.Link),
			fmt.Sprintf("pre-up ip link show dev $IFACE >/dev/null 2>&1 || "+
				"ip link add link %s name $IFACE type vlan id %d", f.VLAN.Link, f.VLAN.ID),
			"post-down ip link del dev $IFACE 2>/dev/null || true"}
	case f.Bond != nil:
		lines := []string{fmt.Sprintf(
			"pre-up ip link show dev $IFACE >/dev/null 2>&1 || ip link add name $IFACE type bond mode %s miimon 100",
			modeOf(f.Bond))}
		for _, l := range f.Bond.Links {
			lines = append(lines,
				fmt.Sprintf("pre-up ip link set dev %s down && ip link set dev %s master $IFACE", l, l))
		}
		return append(lines, "post-down ip link del dev $IFACE 2>/dev/null || true")
	}
	return nil
}

func routeCommand(f setting.Interface, r setting.Route) string {
	family := "-4"
	if r.Via.Is6() {
		family = "-6"
	}
	command := fmt.Sprintf("ip %s route replace %s via %s dev $IFACE", family, r.To, r.Via)
	if r.Metric != 0 {
		command += fmt.Sprintf(" metric %d", r.Metric)
	}
	if onLink(f, r.Via) {
		command += " onlink"
	}
	return command
}

// withoutStanzas turns the stanzas of the image for our interfaces into comments.
func (w *writer) withoutStanzas(n setting.Network) error {
	names := map[string]bool{}
	for _, f := range n.Interfaces {
		names[f.Name] = true
	}
	files := w.existing(interfacesMain)
	if w.Has(interfacesDir) {
		entries, err := w.List(interfacesDir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && e.Name() != "griddle" {
				files = append(files, interfacesDir+"/"+e.Name())
			}
		}
	}
	for _, file := range files {
		old, err := w.Read(file)
		if err != nil {
			return err
		}
		if now := commented(old, names); string(now) != string(old) {
			if err := w.Replace(file, now, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// commented has the stanzas of some interfaces as comments. A stanza ends where the next one begins.
func commented(b []byte, names map[string]bool) []byte {
	var out strings.Builder
	out.Grow(len(b))
	inside, continued := false, false
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		begins := !continued && len(f) > 0 && (f[0] == "auto" || f[0] == "iface" || f[0] == "mapping" ||
			f[0] == "source" || f[0] == "source-directory" || f[0] == "rename" || strings.HasPrefix(f[0], "allow-") ||
			strings.HasPrefix(f[0], "no-"))
		if begins {
			inside = f[0] == "iface" && len(f) > 1 && names[f[1]]
		}
		continued = strings.HasSuffix(strings.TrimRight(line, "\n"), `\`)
		switch {
		case inside && len(f) > 0 && !strings.HasPrefix(f[0], "#"):
			line = "#" + line
		case begins && (f[0] == "auto" || strings.HasPrefix(f[0], "allow-")) && !continued:
			rest := slices.DeleteFunc(slices.Clone(f[1:]), func(n string) bool { return names[n] })
			if len(rest) == 0 && len(f) > 1 {
				line = "#" + line
			} else if len(rest) < len(f)-1 {
				end := line[len(strings.TrimSuffix(line, "\n")):]
				line = f[0] + " " + strings.Join(rest, " ") + end
			}
		}
		out.WriteString(line)
	}
	return []byte(out.String())
}
