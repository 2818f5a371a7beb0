package stack

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"griddle/cloud/yamltree"
)

const anImage = "an image of the catalog such as web:stable"

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
func (p *parsing) fields(x *properties) []yamltree.Field {
	return []yamltree.Field{
		yamltree.Key("image", func(n *yamltree.Node, path string) {
			var s string
			x.image = &s
			if name, arch, ok := strings.Cut(n.Raw, "@"); ok && n.Kind == yamltree.Text && image(name) &&
				word(arch, false) {
				p.Wrong(n.At, path, "the architecture has a key of its own: arch: "+arch, "%s is not "+anImage,
					yamltree.Short(n.Raw))
				return
			}
			s = p.Checked(n, path, anImage, 200, image)
		}),
		yamltree.Key("arch", func(n *yamltree.Node, path string) {
			s := p.Reference(n, path, "architecture", []string{"amd64", "arm64"})
			x.arch = &s
		}),
		yamltree.Key("size", func(n *yamltree.Node, path string) {
			s, _ := p.Line(n, path, "the provider's name of a size", 255)
			x.size = &s
		}),
		yamltree.Key("disk", func(n *yamltree.Node, path string) { v := p.bytes(n, path); x.disk = &v }),
		yamltree.Key("public", func(n *yamltree.Node, path string) { v := p.Boolean(n, path); x.public = &v }),
		yamltree.Key("uefi", func(n *yamltree.Node, path string) { v := p.Boolean(n, path); x.uefi = &v }),
		yamltree.Key("volumes", func(n *yamltree.Node, path string) { v := p.volumes(n, path); x.volumes = &v }),
		yamltree.Key("ports", func(n *yamltree.Node, path string) { v := p.ports(n, path); x.ports = &v }),
		yamltree.Key("userData", func(n *yamltree.Node, path string) { x.parts = p.userData(n, path) }),
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
func (p *parsing) bytes(n *yamltree.Node, path string) int64 {
	const what = "a size such as 10GiB"
	s, ok := p.Line(n, path, what, 32)
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
		p.Wrong(n.At, path, hint, "%s is not %s", yamltree.Short(s), what)
	case v < 1 || v > math.MaxInt64/unit || v*unit > 64<<40 || v*unit < GiB:
		p.Wrong(n.At, path, "", "%s is not between 1GiB and 64TiB", s)
	case v*unit%GiB != 0:
		p.Wrong(n.At, path, "", "%s is not a multiple of 1GiB", s)
	default:
		return v * unit
	}
	return 0
}

func (p *parsing) volumes(n *yamltree.Node, path string) []Volume {
	var out []Volume
	p.List(n, path, 16, func(n *yamltree.Node, path string) {
		v := Volume{Name: "data", Mount: "/srv"}
		p.Object(n, path, "volume", []yamltree.Field{
			yamltree.Key("name", func(n *yamltree.Node, path string) {
				v.Name = p.Checked(n, path, "a DNS label of at most 20 characters", 20, label)
			}),
			yamltree.Key("size", func(n *yamltree.Node, path string) { v.Size = p.bytes(n, path) }),
			yamltree.Key("type",
				func(n *yamltree.Node, path string) {
					v.Type, _ = p.Line(n, path, "the provider's name of a type", 255)
				}),
			yamltree.Key("mount", func(n *yamltree.Node, path string) {
				v.Mount = p.remote(n, path)
				taken := []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr"}
				if slices.ContainsFunc(taken, func(t string) bool {
					return v.Mount == t || strings.HasPrefix(v.Mount, t+"/")
				}) {
					p.Wrong(n.At, path, "such as /srv", "the system itself is at %s", v.Mount)
				}
			}),
		}, "size")
		for _, o := range out {
			if o.Name == v.Name && v.Name != "" {
				p.Wrong(n.At, path, "give it a name", "another volume has the name %s", v.Name)
			} else if o.Mount == v.Mount && v.Mount != "" {
				p.Wrong(n.At, path, "give it a mount", "another volume is mounted at %s", v.Mount)
			}
		}
		out = append(out, v)
	})
	return out
}

// ports reads what a server lets in: 443, "8000-8100/udp", icmp, or a mapping that says from where, too.
func (p *parsing) ports(n *yamltree.Node, path string) []Port {
	out := []Port{}
	p.List(n, path, 100, func(n *yamltree.Node, path string) {
		var x Port
		at, where := n, path
		if n.Kind == yamltree.Mapping {
			p.Object(n, path, "port", []yamltree.Field{
				yamltree.Key("port", func(n *yamltree.Node, path string) { at, where = n, path; x = p.port(n, path) }),
				yamltree.Key("from", func(n *yamltree.Node, path string) {}),
			}, "port")
			if from := n.Find("from"); from != nil && from.Kind != yamltree.Null {
				x.Source = p.sources(from, yamltree.Below(path, "from"))
			}
		} else {
			x = p.port(n, path)
		}
		if x.Protocol == "" {
			return
		}
		for _, o := range out {
			if o.Protocol == x.Protocol && o.From <= x.To && x.From <= o.To {
				p.Wrong(at.At, where, "write one entry, with all sources in from", "%s and %s overlap", x, o)
				break
			}
		}
		if ssh := p.stack.SSH.Port; x.Protocol == "tcp" && x.From <= ssh && ssh <= x.To {
			p.Wrong(at.At, where, "set who may log in with ssh: {from: […]}",
				"%s contains port %d, which is for ssh", x, ssh)
		}
		out = append(out, x)
	})
	return out
}

// port reads one port or range with its protocol.
func (p *parsing) port(n *yamltree.Node, path string) Port {
	const what = `a port such as 443, "8000-8100/udp" or icmp`
	if n.Kind == yamltree.Int {
		if v := p.Number(n, path, 0, 65535); v > 0 {
			return Port{Protocol: "tcp", From: uint16(v), To: uint16(v)}
		} else if n.Raw == "0" {
			p.Wrong(n.At, path, "", "0 is not between 1 and 65535")
		}
		return Port{}
	}
	s, ok := p.Line(n, path, what, 32)
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
		p.Wrong(n.At, path, "", "%s is not %s", yamltree.Short(s), what)
	case from < 1 || to > 65535:
		p.Wrong(n.At, path, "", "%s is not between 1 and 65535", numbers)
	case from > to:
		p.Wrong(n.At, path, "", "%s ends before it begins", numbers)
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
func (p *parsing) wanted(n *yamltree.Node, path string) netip.Addr {
	a := p.address(n, path)
	net := p.stack.Network.Prefix
	switch {
	case !a.IsValid():
	case !net.Contains(a):
		p.Wrong(n.At, path, "", "%s is not in the network %s", a, net)
	case a == net.Addr() || a == last(net):
		p.Wrong(n.At, path, "", "%s is the first or last address of the network, which no server can have", a)
	case a == net.Addr().Next():
		p.Wrong(n.At, path, "", "%s is the address of the gateway", a)
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
