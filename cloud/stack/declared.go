package stack

import (
	"net/netip"
	"slices"
	"strings"

	"griddle/cloud/yamltree"
)

// profile is a named set of properties.
type profile struct {
	properties
	name     string
	at       yamltree.Place
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
	at          yamltree.Place
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

func (p *parsing) profileNames() []string {
	return names(p.profiles, func(x *profile) string { return x.name })
}
func (p *parsing) roleNames() []string { return names(p.roles, func(x *role) string { return x.Name }) }

func (p *parsing) declareProfiles(n *yamltree.Node, path string) {
	all := n.Names()
	p.Named(n, path, maxProfiles, func(e yamltree.Entry, path string) {
		x := &profile{name: e.Name, at: e.At}
		p.label(e, path, "profile", 63)
		p.Object(e.Value, path, "profile", append([]yamltree.Field{
			yamltree.Key("inherits",
				func(n *yamltree.Node, path string) {
					x.inherits = p.References(n, path, "profile", maxProfiles, all)
				}),
		}, p.fields(&x.properties)...))
		p.profiles = append(p.profiles, x)
	})
	p.circles(path, "inherits", names(p.profiles, func(x *profile) knot { return knot{x.name, x.at, x.inherits} }))
}

func (p *parsing) declareRoles(n *yamltree.Node, path string) {
	all := n.Names()
	p.Named(n, path, maxRoles, func(e yamltree.Entry, path string) {
		x := &role{Role: Role{Name: e.Name, Count: -1, Min: -1, Max: -1, At: e.At}, path: path}
		p.label(e, path, "role", 58)
		bound := func(to *int) func(*yamltree.Node, string) {
			return func(n *yamltree.Node, path string) { *to = p.Number(n, path, 0, MaxServers) }
		}
		p.Object(e.Value, path, "role", append([]yamltree.Field{
			yamltree.Key("profile", func(n *yamltree.Node, path string) {
				x.profiles = p.References(n, path, "profile", maxProfiles, p.profileNames())
			}),
			yamltree.Key("after",
				func(n *yamltree.Node, path string) { x.After = p.References(n, path, "role", maxProfiles, all) }),
			yamltree.Key("count", bound(&x.Count)),
			yamltree.Key("min", bound(&x.Min)),
			yamltree.Key("max", bound(&x.Max)),
			yamltree.Key("outputs", func(n *yamltree.Node, path string) { x.Outputs = p.outputs(n, path) }),
			yamltree.Key("address", func(n *yamltree.Node, path string) { x.address = p.wanted(n, path) }),
		}, p.fields(&x.properties)...))
		p.bounds(x, e)
		p.roles = append(p.roles, x)
	})
	p.circles(path, "after", names(p.roles, func(x *role) knot { return knot{x.Name, x.At, x.After} }))
}

// bounds fills in count, min and max where they are not said: one server, or none where all have names of their own.
func (p *parsing) bounds(x *role, e yamltree.Entry) {
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
	place := func(keys ...string) (yamltree.Place, string) {
		for _, k := range keys {
			if n := e.Value.Find(k); n != nil {
				return n.At, yamltree.Below(x.path, k)
			}
		}
		return x.At, x.path
	}
	switch {
	case x.Min > x.Max:
		at, path := place("min")
		p.Wrong(at, path, "", "the minimum %d is more than the maximum %d", x.Min, x.Max)
	case x.Count < x.Min || x.Count > x.Max:
		at, path := place("count", "max", "min")
		p.Wrong(at, path, "", "the count %d is not between the minimum %d and the maximum %d", x.Count, x.Min, x.Max)
	case alone && x.Max > 1:
		at, path := place("address")
		x.address = netip.Addr{}
		p.Wrong(at, path, "declare servers by their own names", "a role of up to %d servers cannot have one address",
			x.Max)
	}
}

// ownNamed says whether a server of its own name has the role; servers are read after roles.
func (p *parsing) ownNamed(role string) bool {
	is := func(n *yamltree.Node) bool { r := n.Find("role"); return r != nil && r.Value == role }
	servers, groups := p.root.Find("servers"), p.root.Find("groups")
	if servers == nil {
		return false
	}
	return slices.ContainsFunc(servers.Keys, func(e yamltree.Entry) bool {
		if e.Value.Find("role") != nil {
			return is(e.Value)
		}
		g := e.Value.Find("group")
		if g == nil || groups == nil || g.Kind != yamltree.Text {
			return false
		}
		in := groups.Find(g.Value.(string))
		return in != nil && is(in)
	})
}

func (p *parsing) outputs(n *yamltree.Node, path string) []Output {
	var out []Output
	p.Named(n, path, 100, func(e yamltree.Entry, path string) {
		o := Output{Name: e.Name}
		if !identifier(e.Name) {
			p.Wrong(e.At, path, "",
				"the name of an output must be letters, digits, hyphens and underlines, a letter first")
		}
		if e.Value.Kind == yamltree.Text {
			o.File = p.remote(e.Value, path)
		} else {
			p.Object(e.Value, path, "output", []yamltree.Field{
				yamltree.Key("file", func(n *yamltree.Node, path string) { o.File = p.remote(n, path) }),
				yamltree.Key("secret", func(n *yamltree.Node, path string) { o.Secret = p.Boolean(n, path) }),
			}, "file")
		}
		out = append(out, o)
	})
	return out
}

func (p *parsing) declareGroups(n *yamltree.Node, path string) {
	p.Named(n, path, MaxServers, func(e yamltree.Entry, path string) {
		x := &group{name: e.Name}
		p.label(e, path, "group", 63)
		p.Object(e.Value, path, "group", append([]yamltree.Field{
			yamltree.Key("role",
				func(n *yamltree.Node, path string) { x.role = p.Reference(n, path, "role", p.roleNames()) }),
			yamltree.Key("profile", func(n *yamltree.Node, path string) {
				x.profiles = p.References(n, path, "profile", maxProfiles, p.profileNames())
			}),
		}, p.fields(&x.properties)...))
		p.groups = append(p.groups, x)
	})
}

func (p *parsing) declareServers(n *yamltree.Node, path string) {
	groups := names(p.groups, func(x *group) string { return x.name })
	p.Named(n, path, MaxServers, func(e yamltree.Entry, path string) {
		x := &server{name: e.Name, path: path, at: e.At}
		p.label(e, path, "server", 63)
		p.Object(e.Value, path, "server", append([]yamltree.Field{
			yamltree.Key("role",
				func(n *yamltree.Node, path string) { x.role = p.Reference(n, path, "role", p.roleNames()) }),
			yamltree.Key("profile", func(n *yamltree.Node, path string) {
				x.profiles = p.References(n, path, "profile", maxProfiles, p.profileNames())
			}),
			yamltree.Key("group",
				func(n *yamltree.Node, path string) { x.group = p.Reference(n, path, "group", groups) }),
			yamltree.Key("address", func(n *yamltree.Node, path string) { x.address = p.wanted(n, path) }),
		}, p.fields(&x.properties)...))
		p.servers = append(p.servers, x)
	})
}

// knot is something that names others of its kind.
type knot struct {
	name string
	at   yamltree.Place
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
			p.Wrong(all[j].at, yamltree.Below(yamltree.Below(path, to), key), "", "it forms a circle: %s",
				strings.Join(circle, " -> "))
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
