package stack

import (
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"griddle/cloud/yamltree"
)

// Providers lists what a stack file can name as its provider.
func Providers() []string { return []string{"qemu", "lxd", "openstack", "ec2"} }

func (p *parsing) provider(n *yamltree.Node, path string) {
	if n.Kind == yamltree.Text {
		p.stack.Provider = p.Reference(n, path, "provider", Providers())
		return
	}
	if !p.Want(n, path, yamltree.Mapping, "the name of a provider, or a mapping with its kind") {
		return
	}
	kind := n.Find("kind")
	if kind == nil {
		p.Wrong(n.At, path, "known are "+strings.Join(Providers(), ", "), "the key kind is missing")
	} else {
		p.stack.Provider = p.Reference(kind, yamltree.Below(path, "kind"), "provider", Providers())
	}
	for _, e := range n.Keys {
		at := yamltree.Below(path, e.Name)
		p.Places[at] = e.Value.At
		switch {
		case e.Name == "kind":
		case !identifier(e.Name):
			p.Wrong(e.At, at, "", "the name of an option must be letters, digits, hyphens and underlines")
		case secretive(e.Name):
			p.Wrong(e.At, at, "put credentials in the provider's own files or variables",
				"a secret must not be in this file")
		case e.Value.Kind == yamltree.Bool || e.Value.Kind == yamltree.Int:
			p.stack.Options[e.Name] = e.Value.Raw
		default:
			if s, ok := p.Line(e.Value, at, "text, a number, true or false", 1024); ok {
				if u, err := url.Parse(s); err == nil && u.User != nil {
					p.Wrong(e.Value.At, at, "put credentials in the provider's own files or variables",
						"a URL with a user name or password must not be in this file")
					continue
				}
				p.stack.Options[e.Name] = s
			}
		}
	}
}

// secretive says whether an option is called like one that holds a secret.
func secretive(name string) bool {
	name = strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "token", "accesskey", "privatekey",
		"apikey"}, func(s string) bool { return strings.Contains(name, s) })
}

func (p *parsing) settings(n *yamltree.Node, path string) {
	s := &p.stack.Settings
	p.Object(n, path, "settings", []yamltree.Field{
		yamltree.Key("proxy", func(n *yamltree.Node, path string) {
			v := p.Checked(n, path, "the URL of a proxy, such as http://proxy:3128", 1024, func(s string) bool {
				u, err := url.Parse(s)
				return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
			})
			if u, err := url.Parse(v); err == nil && u.User != nil {
				p.Wrong(n.At, path, "", "a user name or password must not be in this file")
				return
			}
			s.Proxy = v
		}),
		yamltree.Key("ca", func(n *yamltree.Node, path string) { s.CA = p.local(n, path) }),
		yamltree.Key("ntp", func(n *yamltree.Node, path string) {
			p.List(n, path, 16, func(n *yamltree.Node, path string) {
				s.NTP = append(s.NTP, p.Checked(n, path, "a host name or address", 253, host))
			})
		}),
		yamltree.Key("dns", func(n *yamltree.Node, path string) {
			p.List(n, path, 16, func(n *yamltree.Node, path string) { s.DNS = append(s.DNS, p.address(n, path)) })
		}),
		yamltree.Key("zone", func(n *yamltree.Node, path string) {
			s.Zone = p.Checked(n, path, "a time zone such as Europe/Berlin", 64, zone)
		}),
		yamltree.Key("locale", func(n *yamltree.Node, path string) {
			s.Locale = p.Checked(n, path, "a locale such as de_DE.UTF-8", 64, locale)
		}),
		yamltree.Key("parallel", func(n *yamltree.Node, path string) { s.Parallel = p.Number(n, path, 1, 64) }),
		yamltree.Key("timeouts", func(n *yamltree.Node, path string) {
			p.Object(n, path, "timeouts", []yamltree.Field{
				yamltree.Key("server",
					func(n *yamltree.Node, path string) { s.Server = p.Duration(n, path, time.Second, 24*time.Hour) }),
				yamltree.Key("call",
					func(n *yamltree.Node, path string) { s.Call = p.Duration(n, path, time.Second, time.Hour) }),
			})
		}),
	})
}

// zone says whether s is a name in the time zone database: words of letters, digits, "_", "+" and "-".
func zone(s string) bool {
	for _, part := range strings.Split(s, "/") {
		if strings.Trim(strings.ToLower(part), "abcdefghijklmnopqrstuvwxyz0123456789_+-") != "" || part == "" {
			return false
		}
	}
	return true
}

func locale(s string) bool {
	return strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789_.@-") == ""
}

// host says whether s is an address, or a name of DNS labels.
func host(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	for _, l := range strings.Split(strings.ToLower(s), ".") {
		if !label(l) {
			return false
		}
	}
	return len(s) <= 253
}

func (p *parsing) address(n *yamltree.Node, path string) netip.Addr {
	s, ok := p.Line(n, path, "an address such as 10.77.0.10", 64)
	a, err := netip.ParseAddr(s)
	if ok && (err != nil || a.Zone() != "") {
		p.Wrong(n.At, path, "", "%s is not an address such as 10.77.0.10", yamltree.Short(s))
		return netip.Addr{}
	}
	return a
}

// prefix reads a network; an address alone is a network of one.
func (p *parsing) prefix(n *yamltree.Node, path string) netip.Prefix {
	const what = "a network such as 192.0.2.0/24"
	s, ok := p.Line(n, path, what, 64)
	if !ok {
		return netip.Prefix{}
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen())
	}
	x, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		p.Wrong(n.At, path, "", "%s is not %s", yamltree.Short(s), what)
	case x.Masked() != x:
		p.Wrong(n.At, path, "the network is "+x.Masked().String(), "%s has bits set after its %d first", s, x.Bits())
	default:
		return x
	}
	return netip.Prefix{}
}

// sources reads who may reach something: a list of networks, or one.
func (p *parsing) sources(n *yamltree.Node, path string) []netip.Prefix {
	if n.Kind == yamltree.Text {
		return []netip.Prefix{p.prefix(n, path)}
	}
	var out []netip.Prefix
	p.List(n, path, 64, func(n *yamltree.Node, path string) {
		x := p.prefix(n, path)
		if x.IsValid() && slices.Contains(out, x) {
			p.Wrong(n.At, path, "", "%s is in the list twice", x)
		}
		out = append(out, x)
	})
	if n.Kind == yamltree.List && len(n.Items) == 0 {
		p.Wrong(n.At, path, "to allow everyone, leave the key out", "the list is empty")
	}
	return out
}

func (p *parsing) network(n *yamltree.Node, path string) {
	p.Object(n, path, "network", []yamltree.Field{
		yamltree.Key("prefix", func(n *yamltree.Node, path string) {
			x := p.prefix(n, path)
			if x.IsValid() && (!x.Addr().Is4() || x.Bits() < 16 || x.Bits() > 28) {
				p.Wrong(n.At, path, "such as 10.77.0.0/24", "%s is not an IPv4 network of /16 to /28", x)
			} else if x.IsValid() {
				p.stack.Network.Prefix = x
			}
		}),
		yamltree.Key("external", func(n *yamltree.Node, path string) {
			p.stack.Network.External, _ = p.Line(n, path, "the provider's name of a network", 255)
		}),
	})
}

// local reads a path on the computer that griddle runs on.
func (p *parsing) local(n *yamltree.Node, path string) string {
	s, _ := p.Line(n, path, "a path", 4096)
	return s
}

// remote reads an absolute path on a server.
func (p *parsing) remote(n *yamltree.Node, at string) string {
	s, ok := p.Line(n, at, "a path", 4096)
	if ok && (!strings.HasPrefix(s, "/") || path.Clean(s) != s || s == "/") {
		p.Wrong(n.At, at, "", "%s is not an absolute path without . and .. and without a / at its end",
			yamltree.Short(s))
		return ""
	}
	return s
}

// identifier is a name of letters, digits, "-" and "_" that starts with a letter.
func identifier(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '-' || c == '_')) {
			return false
		}
	}
	return s != "" && len(s) <= 63
}
