package setting

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"griddle/appliance/setting"
)

// dhcpClients are the programs that ifupdown asks for addresses, "" for none.
type dhcpClients struct{ ip4, ip6 string }

// dhcpClients finds them as ifupdown does: for IPv4 dhclient is before udhcpc and dhcpcd, and for IPv6 it knows only
// dhclient. It is an error if an interface needs one and there is none.
func (w *writer) dhcpClients(n setting.Network) (dhcpClients, error) {
	first := func(names ...string) string {
		i := slices.IndexFunc(names, func(n string) bool { return w.Program(n) != "" })
		if i < 0 {
			return ""
		}
		return names[i]
	}
	c := dhcpClients{first("dhclient", "udhcpc", "dhcpcd"), first("dhclient", "dhcpcd")}
	for _, f := range n.Interfaces {
		if f.DHCP4 && c.ip4 == "" || f.DHCP6 && c.ip6 == "" {
			return c, lacks("network.interfaces[%s]: its ifupdown has no program for DHCP: install the package "+
				"dhcpcd-base or isc-dhcp-client in the template", f.Name)
		}
	}
	return c, nil
}

// both reports whether the client for IPv4 asks for addresses of IPv6 too.
func (c dhcpClients) both() bool { return c.ip4 == "dhcpcd" && c.ip6 == "dhcpcd" }

// six is the method of a stanza that asks for addresses of IPv6, and its lines. ifupdown's own ways of dhclient are not
// used: method auto asks for no address, and method dhcp fails where routers alone give addresses. With dhcpcd it knows
// neither.
func (c dhcpClients) six() (method string, lines []string) {
	if c.ip6 == "dhcpcd" {
		return "inet6 manual", []string{"up ip link set dev $IFACE up", "up dhcpcd -6 $IFACE",
			"down dhcpcd -6 -k $IFACE"}
	}
	const files = " -pf /run/dhclient6.$IFACE.pid -lf /var/lib/dhcp/dhclient6.$IFACE.leases $IFACE"
	return "inet6 auto", []string{
		// dhclient ends if the interface has no address of its own yet.
		"up n=0; until ip -6 address show dev $IFACE scope link -tentative | grep -q inet6 || [ $n = 100 ]; " +
			"do sleep 0.1; n=$((n + 1)); done",
		"up dhclient -6 -nw" + files,
		"down dhclient -6 -r" + files,
	}
}

// dhclient keeps DHCP from replacing name servers of the settings (dhclient.conf(5)).
func (w *writer) dhclient(n setting.Network) error {
	const file = "etc/dhcp/dhclient.conf"
	old, err := w.Read(file)
	dns, search := allResolvers(n)
	if err != nil || old == nil || len(dns) == 0 {
		return err
	}
	four := slices.DeleteFunc(slices.Clone(dns), netip.Addr.Is6)
	six := slices.DeleteFunc(slices.Clone(dns), netip.Addr.Is4)
	var text strings.Builder
	for key, value := range map[string]string{"domain-name-servers": join(four, ", "),
		"dhcp6.name-servers": join(six, ", ")} {
		if value != "" {
			fmt.Fprintf(&text, "supersede %s %s;\n", key, value)
		}
	}
	if len(search) > 0 {
		fmt.Fprintf(&text, "supersede domain-search \"%s\";\n", join(search, "\", \""))
	}
	lines := linesOf([]byte(text.String()))
	slices.Sort(lines)
	return w.Replace(file, []byte(endLine(withoutBlock(old))+block(strings.Join(lines, "\n")+"\n")), 0o644)
}

// dhcpcd does the same for another client (dhcpcd.conf(5)). What is global comes before the sections of interfaces.
func (w *writer) dhcpcd(n setting.Network) error {
	const file = "etc/dhcpcd.conf"
	old, err := w.Read(file)
	dns, _ := allResolvers(n)
	if err != nil || old == nil || len(dns) == 0 {
		return err
	}
	return w.Replace(file, []byte(block("nohook resolv.conf\n")+withoutBlock(old)), 0o644)
}
