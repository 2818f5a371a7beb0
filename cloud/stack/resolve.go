package stack

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// resolved is a server with the parts that it got, which know what they refer to.
type resolved struct {
	Server
	path  string
	parts []*piece
}

// resolve makes the stack's roles and servers of what is declared.
func (p *parsing) resolve() {
	order := p.order()
	rank := map[string]int{"": len(order)}
	byRole := make([][]resolved, len(order)+1)
	total := 0
	for i, r := range order {
		rank[r.Name] = i
		r.server = p.merge(Server{Role: r.Name, Address: r.address, At: r.At}, r.path, r, nil, nil)
		p.stack.Roles = append(p.stack.Roles, r.Role)
		total += r.Count
	}
	if total += len(p.servers); total > MaxServers {
		p.Wrong(p.root.At, "", "", "%d servers are more than the %d that a stack can have", total, MaxServers)
		return
	}
	for i, r := range order {
		for n := 1; n <= r.Count; n++ {
			byRole[i] = append(byRole[i], r.server.numbered(n))
		}
	}
	for _, s := range p.servers {
		one := p.own(s)
		i := rank[one.Role]
		byRole[i] = append(byRole[i], one)
	}
	all := slices.Concat(byRole...)
	p.distinct(all)
	p.uses(order, all)
	p.stack.numbered = map[string]Server{}
	for _, r := range order {
		p.stack.numbered[r.Name] = r.server.Server
	}
	for _, s := range all {
		p.stack.Servers = append(p.stack.Servers, s.Server)
	}
}

// numbered is the server of a role that has a number.
func (s resolved) numbered(n int) resolved {
	s.Server = s.Server.numbered(n)
	return s
}

func (s Server) numbered(n int) Server {
	s.Name, s.Number = fmt.Sprintf("%s-%d", s.Role, n), n
	return s
}

// order is the roles, each after those of its After, else as declared.
func (p *parsing) order() []*role {
	var out []*role
	seen := map[string]bool{}
	var visit func(r *role)
	visit = func(r *role) {
		if seen[r.Name] {
			return
		}
		seen[r.Name] = true
		for _, a := range r.After {
			if i := slices.IndexFunc(p.roles, func(o *role) bool { return o.Name == a }); i >= 0 {
				visit(p.roles[i])
			}
		}
		out = append(out, r)
	}
	for _, r := range p.roles {
		visit(r)
	}
	return out
}

// own resolves a server with a name of its own.
func (p *parsing) own(s *server) resolved {
	var g *group
	if i := slices.IndexFunc(p.groups, func(o *group) bool { return o.name == s.group }); i >= 0 {
		g = p.groups[i]
		if s.role == "" {
			s.role = g.role
		}
	}
	var r *role
	if i := slices.IndexFunc(p.roles, func(o *role) bool { return o.Name == s.role }); i >= 0 {
		r = p.roles[i]
	}
	return p.merge(Server{Name: s.name, Role: s.role, Address: s.address, At: s.at}, s.path, r, g, s)
}

// merge lays defaults, profiles, role, group and server over one another. Each of the last three may be nil.
func (p *parsing) merge(start Server, path string, r *role, g *group, s *server) resolved {
	out := resolved{Server: start, path: path}
	out.Arch = "amd64"
	out.parts = append(out.parts, p.parts...)
	p.common.over(&out)
	var chosen []string
	levels := []*properties{}
	if r != nil {
		chosen, levels = append(chosen, r.profiles...), append(levels, &r.properties)
	}
	if g != nil {
		chosen, levels = append(chosen, g.profiles...), append(levels, &g.properties)
	}
	if s != nil {
		chosen, levels = append(chosen, s.profiles...), append(levels, &s.properties)
	}
	p.inherit(&out, chosen, map[string]bool{})
	for _, l := range levels {
		l.over(&out)
	}
	if len(out.parts) > maxParts {
		p.Wrong(out.At, path, "", "%d parts of user-data are more than the %d that a server can have",
			len(out.parts), maxParts)
	}
	for _, x := range out.parts {
		out.UserData = append(out.UserData, x.Part)
	}
	// A role that has only servers with names of their own says nothing of others.
	if s == nil && r.Count == 0 && r.Min == 0 && p.ownNamed(r.Name) {
		return out
	}
	if out.Image == "" {
		p.missing(&out, "image", func(l *properties) bool { return l.image != nil }, levels, chosen)
	}
	if out.Size == "" {
		p.missing(&out, "size", func(l *properties) bool { return l.size != nil }, levels, chosen)
	}
	return out
}

// missing tells of a property that nothing says; what was said wrongly has its fault already.
func (p *parsing) missing(s *resolved, key string, said func(*properties) bool, levels []*properties, chosen []string) {
	levels = append(levels, &p.common)
	for _, x := range p.profiles {
		levels = append(levels, &x.properties)
	}
	if !slices.ContainsFunc(levels, said) {
		p.Wrong(s.At, s.path, "set it here or in defaults", "the %s is missing", key)
	} else if len(chosen) == 0 && !slices.ContainsFunc(levels[:len(levels)-len(p.profiles)], said) {
		p.Wrong(s.At, s.path, "a profile sets it, but this uses no profile", "the %s is missing", key)
	}
}

// inherit lays profiles over s: those that one inherits from before it, each once.
func (p *parsing) inherit(s *resolved, chosen []string, seen map[string]bool) {
	for _, name := range chosen {
		i := slices.IndexFunc(p.profiles, func(o *profile) bool { return o.name == name })
		if i < 0 || seen[name] {
			continue
		}
		seen[name] = true
		p.inherit(s, p.profiles[i].inherits, seen)
		p.profiles[i].over(s)
	}
}

// distinct finds names and addresses that two servers would have, and too many servers for the network.
func (p *parsing) distinct(all []resolved) {
	roles := map[string]*role{}
	for _, r := range p.roles {
		roles[r.Name] = r
	}
	address := map[netip.Addr]string{}
	for _, s := range all {
		if s.Number == 0 {
			// NAME-7 is taken by the role NAME also where it has fewer servers today.
			if i := strings.LastIndexByte(s.Name, '-'); i > 0 {
				r, n := roles[s.Name[:i]], number(s.Name[i+1:])
				if r != nil && n > 0 && n <= r.Max {
					p.Wrong(s.At, s.path, "", "server %d of the role %s has this name", n, r.Name)
				}
			}
		}
		if !s.Address.IsValid() {
			continue
		}
		if other, ok := address[s.Address]; ok {
			p.Wrong(s.At, s.path, "", "%[2]s already has the address %[1]s", s.Address, other)
		}
		address[s.Address] = s.Name
	}
	net := p.stack.Network.Prefix
	if room := 1<<(32-net.Bits()) - 3; len(all) > room {
		p.Wrong(p.root.At, "", "choose a larger network: {prefix: …}", "%s has room for %d servers, not %d", net,
			room, len(all))
	}
}

// number is the number that s spells as a server's name does, else 0.
func number(s string) int {
	n := 0
	for i, c := range []byte(s) {
		if c < '0' || c > '9' || i == 0 && c == '0' || i > 3 {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// Scaled is the stack with other counts for some roles, such as those that were chosen later than the file was
// written. A count outside the bounds of its role, or of an unknown role, is an error.
func (s *Stack) Scaled(counts map[string]int) (*Stack, error) {
	out := *s
	out.Roles, out.Servers = slices.Clone(s.Roles), nil
	for name, n := range counts {
		i := slices.IndexFunc(out.Roles, func(r Role) bool { return r.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("scaling role %s: the stack has no such role", name)
		}
		if r := out.Roles[i]; n < r.Min || n > r.Max {
			return nil, fmt.Errorf("scaling role %s: %d is not between its minimum %d and its maximum %d", name, n,
				r.Min, r.Max)
		}
		out.Roles[i].Count = n
	}
	for _, r := range out.Roles {
		like, known := s.numbered[r.Name]
		for n := 1; n <= r.Count; n++ {
			i := slices.IndexFunc(s.Servers, func(v Server) bool { return v.Role == r.Name && v.Number == n })
			switch {
			case i >= 0:
				out.Servers = append(out.Servers, s.Servers[i])
				if s.numbered == nil { // it was not read from a file
					like, known = s.Servers[i], true
				}
			case known:
				out.Servers = append(out.Servers, like.numbered(n))
			default:
				return nil, fmt.Errorf("scaling role %s: it has no server to copy", r.Name)
			}
		}
		out.Servers = append(out.Servers, s.own(r.Name)...)
	}
	out.Servers = append(out.Servers, s.own("")...)
	if room := min(MaxServers, 1<<(32-s.Network.Prefix.Bits())-3); len(out.Servers) > room {
		return nil, fmt.Errorf("scaling: %d servers are more than the %d that the stack and its network %s can have",
			len(out.Servers), room, s.Network.Prefix)
	}
	return &out, nil
}

// own lists the servers of a role that have names of their own.
func (s *Stack) own(role string) []Server {
	var out []Server
	for _, one := range s.Servers {
		if one.Role == role && one.Number == 0 {
			out = append(out, one)
		}
	}
	return out
}
