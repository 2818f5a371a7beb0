package stack

import (
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

// Providers lists what a stack file can name as its provider.
func Providers() []string { return []string{"qemu", "lxd", "openstack", "ec2"} }

func (p *parsing) provider(n *node, path string) {
	if n.kind == kindText {
		p.stack.Provider = p.reference(n, path, "provider", Providers())
		return
	}
	if !p.want(n, path, kindMapping, "the name of a provider, or a mapping with its kind") {
		return
	}
	kind := n.find("kind")
	if kind == nil {
		p.wrong(n.at, path, "known are "+strings.Join(Providers(), ", "), "the key kind is missing")
	} else {
		p.stack.Provider = p.reference(kind, below(path, "kind"), "provider", Providers())
	}
	for _, e := range n.keys {
		at := below(path, e.name)
		p.places[at] = e.value.at
		switch {
		case e.name == "kind":
		case !identifier(e.name):
			p.wrong(e.at, at, "", "the name of an option must be letters, digits, hyphens and underlines")
		case secretive(e.name):
			p.wrong(e.at, at, "credentials come from the provider's own files and variables", "a secret does not belong into this file")
		case e.value.kind == kindBool || e.value.kind == kindInt:
			p.stack.Options[e.name] = e.value.raw
		default:
			if s, ok := p.text(e.value, at, "text, a number, true or false", 1024); ok {
				if u, err := url.Parse(s); err == nil && u.User != nil {
					p.wrong(e.value.at, at, "credentials come from the provider's own files and variables", "a URL with a user name or password does not belong into this file")
					continue
				}
				p.stack.Options[e.name] = s
			}
		}
	}
}

// secretive says whether an option is called like one that holds a secret.
func secretive(name string) bool {
	name = strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "token", "accesskey", "privatekey", "apikey"}, func(s string) bool { return strings.Contains(name, s) })
}

func (p *parsing) settings(n *node, path string) {
	s := &p.stack.Settings
	p.object(n, path, "settings", []field{
		{"proxy", func(n *node, path string) {
			v := p.checked(n, path, "the URL of a proxy, such as http://proxy:3128", 1024, func(s string) bool {
				u, err := url.Parse(s)
				return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
			})
			if u, err := url.Parse(v); err == nil && u.User != nil {
				p.wrong(n.at, path, "", "a user name or password does not belong into this file")
				return
			}
			s.Proxy = v
		}},
		{"ca", func(n *node, path string) { s.CA = p.local(n, path) }},
		{"ntp", func(n *node, path string) {
			p.list(n, path, 16, func(n *node, path string) {
				s.NTP = append(s.NTP, p.checked(n, path, "a host name or address", 253, host))
			})
		}},
		{"dns", func(n *node, path string) {
			p.list(n, path, 16, func(n *node, path string) { s.DNS = append(s.DNS, p.address(n, path)) })
		}},
		{"zone", func(n *node, path string) { s.Zone = p.checked(n, path, "a time zone such as Europe/Berlin", 64, zone) }},
		{"locale", func(n *node, path string) { s.Locale = p.checked(n, path, "a locale such as de_DE.UTF-8", 64, locale) }},
		{"parallel", func(n *node, path string) { s.Parallel = p.number(n, path, 1, 64) }},
		{"timeouts", func(n *node, path string) {
			p.object(n, path, "timeouts", []field{
				{"server", func(n *node, path string) { s.Server = p.duration(n, path, time.Second, 24*time.Hour) }},
				{"call", func(n *node, path string) { s.Call = p.duration(n, path, time.Second, time.Hour) }},
			})
		}},
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

func (r *reader) address(n *node, path string) netip.Addr {
	s, ok := r.text(n, path, "an address such as 10.77.0.10", 64)
	a, err := netip.ParseAddr(s)
	if ok && (err != nil || a.Zone() != "") {
		r.wrong(n.at, path, "", "%s is not an address such as 10.77.0.10", short(s))
		return netip.Addr{}
	}
	return a
}

// prefix reads a network; an address alone is a network of one.
func (r *reader) prefix(n *node, path string) netip.Prefix {
	const what = "a network such as 192.0.2.0/24"
	s, ok := r.text(n, path, what, 64)
	if !ok {
		return netip.Prefix{}
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen())
	}
	x, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		r.wrong(n.at, path, "", "%s is not %s", short(s), what)
	case x.Masked() != x:
		r.wrong(n.at, path, "the network is "+x.Masked().String(), "%s has bits set after its %d first", s, x.Bits())
	default:
		return x
	}
	return netip.Prefix{}
}

// sources reads who may reach something: a list of networks, or one.
func (r *reader) sources(n *node, path string) []netip.Prefix {
	if n.kind == kindText {
		return []netip.Prefix{r.prefix(n, path)}
	}
	var out []netip.Prefix
	r.list(n, path, 64, func(n *node, path string) {
		x := r.prefix(n, path)
		if x.IsValid() && slices.Contains(out, x) {
			r.wrong(n.at, path, "", "%s is there already", x)
		}
		out = append(out, x)
	})
	if n.kind == kindList && len(n.items) == 0 {
		r.wrong(n.at, path, "leave the key out where everybody may", "nobody is named")
	}
	return out
}

func (p *parsing) network(n *node, path string) {
	p.object(n, path, "network", []field{
		{"prefix", func(n *node, path string) {
			x := p.prefix(n, path)
			if x.IsValid() && (!x.Addr().Is4() || x.Bits() < 16 || x.Bits() > 28) {
				p.wrong(n.at, path, "such as 10.77.0.0/24", "%s is not an IPv4 network of /16 to /28", x)
			} else if x.IsValid() {
				p.stack.Network.Prefix = x
			}
		}},
		{"external", func(n *node, path string) {
			p.stack.Network.External, _ = p.text(n, path, "the provider's name of a network", 255)
		}},
	})
}

// local reads a path on the computer that griddle runs on.
func (r *reader) local(n *node, path string) string {
	s, _ := r.text(n, path, "a path", 4096)
	return s
}

// remote reads an absolute path on a server.
func (r *reader) remote(n *node, at string) string {
	s, ok := r.text(n, at, "a path", 4096)
	if ok && (!strings.HasPrefix(s, "/") || path.Clean(s) != s || s == "/") {
		r.wrong(n.at, at, "", "%s is not an absolute path without . and .. and without a / at its end", short(s))
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
