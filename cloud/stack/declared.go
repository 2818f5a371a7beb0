package stack

import (
	"net/netip"
	"slices"
	"strings"
)

// profile is a named set of properties.
type profile struct {
	properties
	name     string
	at       Position
	inherits []string
}

// role is Role with what its servers inherit.
type role struct {
	Role
	properties
	path     string
	profiles []string
	address  netip.Addr
	server   resolved
}

// group is a set of servers.
type group struct {
	properties
	name     string
	role     string
	profiles []string
}

// server is one that has a name of its own.
type server struct {
	properties
	name, path  string
	at          Position
	role, group string
	profiles    []string
	address     netip.Addr
}

// names is f of each.
func names[T, U any](all []T, f func(T) U) []U {
	out := make([]U, len(all))
	for i, x := range all {
		out[i] = f(x)
	}
	return out
}

// keysOf lists the names of a mapping, so that its entries can refer to one another.
func keysOf(n *node) []string { return names(n.keys, func(e entry) string { return e.name }) }

func (p *parsing) profileNames() []string {
	return names(p.profiles, func(x *profile) string { return x.name })
}
func (p *parsing) roleNames() []string { return names(p.roles, func(x *role) string { return x.Name }) }

func (p *parsing) declareProfiles(n *node, path string) {
	all := keysOf(n)
	p.named(n, path, maxProfiles, func(e entry, path string) {
		x := &profile{name: e.name, at: e.at}
		p.label(e, path, "profile", 63)
		p.object(e.value, path, "profile", append([]field{
			{"inherits", func(n *node, path string) { x.inherits = p.references(n, path, "profile", all) }},
		}, p.fields(&x.properties)...))
		p.profiles = append(p.profiles, x)
	})
	p.circles(path, "inherits", names(p.profiles, func(x *profile) knot { return knot{x.name, x.at, x.inherits} }))
}

func (p *parsing) declareRoles(n *node, path string) {
	all := keysOf(n)
	p.named(n, path, maxRoles, func(e entry, path string) {
		x := &role{Role: Role{Name: e.name, Count: -1, Min: -1, Max: -1, At: e.at}, path: path}
		p.label(e, path, "role", 58)
		bound := func(to *int) func(*node, string) {
			return func(n *node, path string) { *to = p.number(n, path, 0, MaxServers) }
		}
		p.object(e.value, path, "role", append([]field{
			{"profile", func(n *node, path string) { x.profiles = p.references(n, path, "profile", p.profileNames()) }},
			{"after", func(n *node, path string) { x.After = p.references(n, path, "role", all) }},
			{"count", bound(&x.Count)},
			{"min", bound(&x.Min)},
			{"max", bound(&x.Max)},
			{"outputs", func(n *node, path string) { x.Outputs = p.outputs(n, path) }},
			{"address", func(n *node, path string) { x.address = p.wanted(n, path) }},
		}, p.fields(&x.properties)...))
		p.bounds(x, e)
		p.roles = append(p.roles, x)
	})
	p.circles(path, "after", names(p.roles, func(x *role) knot { return knot{x.Name, x.At, x.After} }))
}

// bounds fills in count, min and max where they are not said: one server, or none where all have names of their own.
func (p *parsing) bounds(x *role, e entry) {
	said := x.Count >= 0
	if !said {
		if x.Count = max(1, x.Min); p.ownNamed(x.Name) && x.Min < 0 {
			x.Count = 0
		}
		if x.Max >= 0 && x.Min < 0 {
			x.Count = min(x.Count, x.Max)
		}
	}
	if x.Min < 0 {
		x.Min = min(1, x.Count)
		if x.Max >= 0 {
			x.Min = min(x.Min, x.Max)
		}
	}
	alone := x.address.IsValid()
	if x.Max < 0 {
		if x.Max = MaxServers; alone {
			x.Max = max(1, x.Min, x.Count)
		}
	}
	place := func(keys ...string) (Position, string) {
		for _, k := range keys {
			if n := e.value.find(k); n != nil {
				return n.at, below(x.path, k)
			}
		}
		return x.At, x.path
	}
	switch {
	case x.Min > x.Max:
		at, path := place("min")
		p.wrong(at, path, "", "the minimum %d is more than the maximum %d", x.Min, x.Max)
	case x.Count < x.Min || x.Count > x.Max:
		at, path := place("count", "max", "min")
		p.wrong(at, path, "", "the count %d is not between the minimum %d and the maximum %d", x.Count, x.Min, x.Max)
	case alone && x.Max > 1:
		at, path := place("address")
		x.address = netip.Addr{}
		p.wrong(at, path, "declare servers by their own names", "a role of up to %d servers cannot have one address", x.Max)
	}
}

// ownNamed says whether a server of its own name has the role; servers are read after roles.
func (p *parsing) ownNamed(role string) bool {
	is := func(n *node) bool { r := n.find("role"); return r != nil && r.value == role }
	servers, groups := p.root.find("servers"), p.root.find("groups")
	if servers == nil {
		return false
	}
	return slices.ContainsFunc(servers.keys, func(e entry) bool {
		if e.value.find("role") != nil {
			return is(e.value)
		}
		g := e.value.find("group")
		if g == nil || groups == nil || g.kind != kindText {
			return false
		}
		in := groups.find(g.value.(string))
		return in != nil && is(in)
	})
}

func (p *parsing) outputs(n *node, path string) []Output {
	var out []Output
	p.named(n, path, 100, func(e entry, path string) {
		o := Output{Name: e.name}
		if !identifier(e.name) {
			p.wrong(e.at, path, "", "the name of an output must be letters, digits, hyphens and underlines, a letter first")
		}
		if e.value.kind == kindText {
			o.File = p.remote(e.value, path)
		} else {
			p.object(e.value, path, "output", []field{
				{"file", func(n *node, path string) { o.File = p.remote(n, path) }},
				{"secret", func(n *node, path string) { o.Secret = p.boolean(n, path) }},
			}, "file")
		}
		out = append(out, o)
	})
	return out
}

func (p *parsing) declareGroups(n *node, path string) {
	p.named(n, path, MaxServers, func(e entry, path string) {
		x := &group{name: e.name}
		p.label(e, path, "group", 63)
		p.object(e.value, path, "group", append([]field{
			{"role", func(n *node, path string) { x.role = p.reference(n, path, "role", p.roleNames()) }},
			{"profile", func(n *node, path string) { x.profiles = p.references(n, path, "profile", p.profileNames()) }},
		}, p.fields(&x.properties)...))
		p.groups = append(p.groups, x)
	})
}

func (p *parsing) declareServers(n *node, path string) {
	groups := names(p.groups, func(x *group) string { return x.name })
	p.named(n, path, MaxServers, func(e entry, path string) {
		x := &server{name: e.name, path: path, at: e.at}
		p.label(e, path, "server", 63)
		p.object(e.value, path, "server", append([]field{
			{"role", func(n *node, path string) { x.role = p.reference(n, path, "role", p.roleNames()) }},
			{"profile", func(n *node, path string) { x.profiles = p.references(n, path, "profile", p.profileNames()) }},
			{"group", func(n *node, path string) { x.group = p.reference(n, path, "group", groups) }},
			{"address", func(n *node, path string) { x.address = p.wanted(n, path) }},
		}, p.fields(&x.properties)...))
		p.servers = append(p.servers, x)
	})
}

// knot is something that names others of its kind.
type knot struct {
	name string
	at   Position
	to   []string
}

// circles finds where knots lead back to themselves. Each circle is told once, at the first of its knots in the file.
func (p *parsing) circles(path, key string, all []knot) {
	const (
		unseen = iota
		open
		done
	)
	index, state := map[string]int{}, make([]int, len(all))
	for i, k := range all {
		index[k.name] = i
	}
	var way []string
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		way = append(way, all[i].name)
		for _, to := range all[i].to {
			j, ok := index[to]
			if !ok || state[j] == done {
				continue
			}
			if state[j] == unseen {
				visit(j)
				continue
			}
			circle := append(slices.Clone(way[slices.Index(way, to):]), to)
			p.wrong(all[j].at, below(below(path, to), key), "", "it leads back to itself: %s", strings.Join(circle, " -> "))
		}
		way = way[:len(way)-1]
		state[i] = done
	}
	for i := range all {
		if state[i] == unseen {
			visit(i)
		}
	}
}
