package stack

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// GiB is what sizes of disks are multiples of, in bytes.
const GiB = 1 << 30

// properties is what can be said of a server at each level. Where a pointer is nil, or a list was not said, the level
// before counts.
type properties struct {
	image, arch, size *string
	disk              *int64
	public, uefi      *bool
	volumes           *[]Volume
	ports             *[]Port
	parts             []*piece
}

// over lays p over what is there already. Lists are replaced, user-data is added.
func (p *properties) over(s *resolved) {
	set(&s.Image, p.image)
	set(&s.Arch, p.arch)
	set(&s.Size, p.size)
	set(&s.Disk, p.disk)
	set(&s.Public, p.public)
	set(&s.UEFI, p.uefi)
	set(&s.Volumes, p.volumes)
	set(&s.Ports, p.ports)
	s.parts = append(s.parts, p.parts...)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// fields are the keys of properties.
func (p *parsing) fields(x *properties) []field {
	return []field{
		{"image", func(n *node, path string) {
			s := p.checked(n, path, "an image of the catalog such as web:stable", 200, image)
			x.image = &s
			if i := strings.IndexByte(n.raw, '@'); n.kind == kindText && i >= 0 && s == "" {
				p.faults[len(p.faults)-1].Hint = "the architecture has a key of its own: arch: " + n.raw[i+1:]
			}
		}},
		{"arch", func(n *node, path string) {
			s := p.reference(n, path, "architecture", []string{"amd64", "arm64"})
			x.arch = &s
		}},
		{"size", func(n *node, path string) {
			s, _ := p.text(n, path, "the provider's name of a size", 255)
			x.size = &s
		}},
		{"disk", func(n *node, path string) { v := p.bytes(n, path); x.disk = &v }},
		{"public", func(n *node, path string) { v := p.boolean(n, path); x.public = &v }},
		{"uefi", func(n *node, path string) { v := p.boolean(n, path); x.uefi = &v }},
		{"volumes", func(n *node, path string) { v := p.volumes(n, path); x.volumes = &v }},
		{"ports", func(n *node, path string) { v := p.ports(n, path); x.ports = &v }},
		{"userData", func(n *node, path string) { x.parts = p.userData(n, path) }},
	}
}

// image says whether s is [namespace/]name[:version|channel], as the catalog spells it.
func image(s string) bool {
	name, version, versioned := strings.Cut(s, ":")
	if versioned && !word(version, true) {
		return false
	}
	namespace, rest, ok := strings.Cut(name, "/")
	return word(namespace, false) && (!ok || word(rest, false))
}

func word(s string, version bool) bool {
	for i, c := range []byte(s) {
		ok := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && (c == '.' || c == '_' || c == '-')
		if !ok && !(version && (c >= 'A' && c <= 'Z' || i > 0 && (c == '+' || c == '~'))) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// bytes reads a size in GiB or its multiples, at most 64 TiB.
func (r *reader) bytes(n *node, path string) int64 {
	const what = "a size such as 10GiB"
	s, ok := r.text(n, path, what, 32)
	if !ok {
		return 0
	}
	digits := strings.TrimRight(s, "BKMGTPibkmgtp")
	v, err := strconv.ParseInt(digits, 10, 64)
	var unit int64
	switch s[len(digits):] {
	case "MiB":
		unit = 1 << 20
	case "GiB":
		unit = GiB
	case "TiB":
		unit = 1 << 40
	}
	switch {
	case err != nil || unit == 0 || digits[0] < '0' || digits[0] > '9':
		hint := ""
		if err == nil {
			hint = "the units are MiB, GiB and TiB"
		}
		r.wrong(n.at, path, hint, "%s is not %s", short(s), what)
	case v < 1 || v > math.MaxInt64/unit || v*unit > 64<<40 || v*unit < GiB:
		r.wrong(n.at, path, "", "%s is not between 1GiB and 64TiB", s)
	case v*unit%GiB != 0:
		r.wrong(n.at, path, "", "%s is not a multiple of 1GiB", s)
	default:
		return v * unit
	}
	return 0
}

func (p *parsing) volumes(n *node, path string) []Volume {
	var out []Volume
	p.list(n, path, 16, func(n *node, path string) {
		v := Volume{Name: "data", Mount: "/srv"}
		p.object(n, path, "volume", []field{
			{"name", func(n *node, path string) {
				v.Name = p.checked(n, path, "a DNS label of at most 20 characters", 20, label)
			}},
			{"size", func(n *node, path string) { v.Size = p.bytes(n, path) }},
			{"type", func(n *node, path string) { v.Type, _ = p.text(n, path, "the provider's name of a type", 255) }},
			{"mount", func(n *node, path string) {
				v.Mount = p.remote(n, path)
				if taken := []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr"}; slices.ContainsFunc(taken, func(t string) bool {
					return v.Mount == t || strings.HasPrefix(v.Mount, t+"/")
				}) {
					p.wrong(n.at, path, "such as /srv", "the system itself is at %s", v.Mount)
				}
			}},
		}, "size")
		for _, o := range out {
			if o.Name == v.Name && v.Name != "" {
				p.wrong(n.at, path, "give it a name", "a volume %s is there already", v.Name)
			} else if o.Mount == v.Mount && v.Mount != "" {
				p.wrong(n.at, path, "give it a mount", "a volume is mounted at %s already", v.Mount)
			}
		}
		out = append(out, v)
	})
	return out
}

// ports reads what a server lets in: 443, "8000-8100/udp", icmp, or a mapping that says from where, too.
func (p *parsing) ports(n *node, path string) []Port {
	out := []Port{}
	p.list(n, path, 100, func(n *node, path string) {
		var x Port
		at, where := n, path
		if n.kind == kindMapping {
			p.object(n, path, "port", []field{
				{"port", func(n *node, path string) { at, where = n, path; x = p.port(n, path) }},
				{"from", func(n *node, path string) {}},
			}, "port")
			if from := n.find("from"); from != nil && from.kind != kindNull {
				x.Source = p.sources(from, below(path, "from"))
			}
		} else {
			x = p.port(n, path)
		}
		if x.Protocol == "" {
			return
		}
		for _, o := range out {
			if o.Protocol == x.Protocol && o.From <= x.To && x.From <= o.To {
				p.wrong(at.at, where, "say it once, with all sources in from", "%s and %s overlap", x, o)
				break
			}
		}
		if ssh := p.stack.SSH.Port; x.Protocol == "tcp" && x.From <= ssh && ssh <= x.To {
			p.wrong(at.at, where, "ssh: {from: […]} says who may", "%s holds the port %d of ssh", x, ssh)
		}
		out = append(out, x)
	})
	return out
}

// port reads one port or range with its protocol.
func (r *reader) port(n *node, path string) Port {
	const what = `a port such as 443, "8000-8100/udp" or icmp`
	if n.kind == kindInt {
		if v := r.number(n, path, 0, 65535); v > 0 {
			return Port{Protocol: "tcp", From: uint16(v), To: uint16(v)}
		} else if n.raw == "0" {
			r.wrong(n.at, path, "", "0 is not between 1 and 65535")
		}
		return Port{}
	}
	s, ok := r.text(n, path, what, 32)
	if !ok {
		return Port{}
	}
	if s == "icmp" {
		return Port{Protocol: s}
	}
	numbers, protocol, said := strings.Cut(s, "/")
	if !said {
		protocol = "tcp"
	}
	first, last, ranged := strings.Cut(numbers, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 32)
	to, err2 := strconv.ParseUint(last, 10, 32)
	switch {
	case err != nil || err2 != nil || protocol != "tcp" && protocol != "udp":
		r.wrong(n.at, path, "", "%s is not %s", short(s), what)
	case from < 1 || to > 65535:
		r.wrong(n.at, path, "", "%s is not between 1 and 65535", numbers)
	case from > to:
		r.wrong(n.at, path, "", "%s ends before it begins", numbers)
	default:
		return Port{Protocol: protocol, From: uint16(from), To: uint16(to)}
	}
	return Port{}
}

// String is the port as a stack file has it.
func (p Port) String() string {
	switch {
	case p.Protocol == "icmp":
		return p.Protocol
	case p.From == p.To:
		return strconv.Itoa(int(p.From)) + "/" + p.Protocol
	}
	return strconv.Itoa(int(p.From)) + "-" + strconv.Itoa(int(p.To)) + "/" + p.Protocol
}

// wanted reads an address in the stack's network.
func (p *parsing) wanted(n *node, path string) netip.Addr {
	a := p.address(n, path)
	net := p.stack.Network.Prefix
	switch {
	case !a.IsValid():
	case !net.Contains(a):
		p.wrong(n.at, path, "", "%s is not in the network %s", a, net)
	case a == net.Addr() || a == last(net):
		p.wrong(n.at, path, "", "%s is the first or last address of the network, which no server can have", a)
	case a == net.Addr().Next():
		p.wrong(n.at, path, "", "%s is the gateway's", a)
	default:
		return a
	}
	return netip.Addr{}
}

// last is the broadcast address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}
