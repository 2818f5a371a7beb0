package stack

import (
	"net/netip"
	"slices"
	"strings"
)

// MaxServers is how many servers one file can declare.
const MaxServers = 1000

// resolve makes servers of what was declared.
func (d *document) resolve(r *reader) *Stack {
	s := &d.stack
	d.people(r)
	for _, p := range d.profiles {
		d.profile(r, named1{p.name, p.at}, nil) // also of those that nobody uses
	}
	order := d.order(r)
	declared := map[string]Position{}
	for _, role := range order {
		s.Roles = append(s.Roles, d.role(r, role))
	}
	for i, role := range s.Roles {
		for n := range role.Count {
			if len(s.Servers) >= MaxServers {
				r.fault(order[i].at, "", "there are more than %d servers", MaxServers)
				return s
			}
			d.server(r, named{name: numbered(role.Name, n+1), at: order[i].at}, &order[i], n+1, declared)
		}
		for _, x := range d.servers {
			if x.role != nil && x.role.name == role.Name {
				d.server(r, x, &order[i], 0, declared)
			}
		}
	}
	for _, x := range d.servers {
		if _, there := declared[x.name]; x.role == nil && !there {
			d.server(r, x, nil, 0, declared)
		} else if x.role != nil && !slices.ContainsFunc(d.roles, func(o named) bool { return o.name == x.role.name }) {
			r.fault(x.role.at, didYouMean(x.role.name, nameList(d.roles)), "there is no role %q", short(x.role.name))
		}
	}
	d.members(r, declared)
	d.references(r)
	return s
}

func didYouMean(name string, known []string) string {
	if n := nearest(name, known); n != "" {
		return "did you mean " + n + "?"
	}
	return ""
}

// people makes sure that somebody can log in.
func (d *document) people(r *reader) {
	s := &d.stack
	seen := map[string]bool{}
	for _, u := range s.Users {
		if seen[u.Name] && u.Name != "" {
			r.fault(value{path: "users", at: d.root.at}, "", "the user %s is there twice", u.Name)
		}
		seen[u.Name] = true
		if u.Name != "" && len(u.Keys) == 0 && len(s.Keys) == 0 {
			r.fault(value{path: "users", at: d.root.at}, "give keys to the stack or to the user", "the user %s has no key, and passwords do not count", u.Name)
		}
	}
	if s.Admin == "" {
		s.Admin = "griddle"
	}
	if !seen[s.Admin] {
		s.Users = append([]User{{Name: s.Admin, Sudo: true}}, s.Users...)
		if len(s.Keys) == 0 && !r.has("keys") {
			r.fault(d.root, "such as keys: [~/.ssh/id_ed25519.pub]", "nobody could log in: the stack has no keys")
		}
	}
	for i := range s.Users {
		if s.Users[i].Name == s.Admin {
			s.Users[i].Sudo = true // or griddle could not do its work
		}
	}
}

// order sorts the roles so that each comes after those of its after; of those that could come next, the one declared first does.
func (d *document) order(r *reader) (out []named) {
	done := map[string]bool{}
	for _, role := range d.roles {
		for _, a := range role.after {
			if !slices.ContainsFunc(d.roles, func(o named) bool { return o.name == a.name }) {
				r.fault(a.at, didYouMean(a.name, nameList(d.roles)), "there is no role %q", short(a.name))
				done[a.name] = true
			}
		}
	}
	left := slices.Clone(d.roles)
	for len(left) > 0 {
		i := slices.IndexFunc(left, func(n named) bool {
			return !slices.ContainsFunc(n.after, func(a named1) bool { return !done[a.name] })
		})
		if i < 0 {
			r.fault(left[0].at, "", "the roles %s wait for each other", strings.Join(nameList(left), ", "))
			return append(out, left...)
		}
		done[left[i].name] = true
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return out
}

func (d *document) role(r *reader, n named) Role {
	role := Role{Name: n.name, Outputs: n.outputs, At: n.at.at, Count: 1, Min: 0, Max: MaxServers}
	own := slices.ContainsFunc(d.servers, func(x named) bool { return x.role != nil && x.role.name == n.name })
	if own {
		role.Count = 0
	}
	if n.count != nil {
		role.Count = *n.count
	} else if n.min != nil && !own {
		role.Count = max(1, *n.min)
	}
	if n.min != nil {
		role.Min = *n.min
	}
	if n.max != nil {
		role.Max = *n.max
	}
	if role.Min > role.Max || role.Count < role.Min || role.Count > role.Max {
		r.fault(n.at, "", "the count %d is not within min %d and max %d", role.Count, role.Min, role.Max)
	}
	for _, a := range n.after {
		role.After = append(role.After, a.name)
	}
	return role
}

// server adds one, with all that it inherits. role is nil for one without.
func (d *document) server(r *reader, n named, role *named, number int, declared map[string]Position) {
	p := d.defaults
	layer := func(q properties) {
		for _, f := range q.profiles {
			p = p.over(d.profile(r, f, nil))
		}
		p = p.over(q)
	}
	x := Server{Name: n.name, Number: number, At: n.at.at}
	if role != nil {
		x.Role = role.name
		layer(role.properties)
	}
	for _, g := range d.groups {
		if slices.ContainsFunc(g.members, func(m named1) bool { return m.name == n.name || role != nil && m.name == role.name }) {
			layer(g.properties)
		}
	}
	if number == 0 {
		layer(n.properties)
	} else if i := slices.IndexFunc(d.servers, func(o named) bool { return o.name == n.name && o.role == nil }); i >= 0 {
		// One of a role's, with properties of its own.
		layer(d.servers[i].properties)
		x.At = d.servers[i].at.at
		n.at = d.servers[i].at
	}
	if other, twice := declared[n.name]; twice {
		r.fault(n.at, "", "there are two servers %q, the other one of line %d", n.name, other.Line)
		return
	}
	declared[n.name] = x.At
	at := value{path: n.at.path, at: x.At}
	if p.image == nil {
		r.fault(at, "such as image: web:stable, here or in defaults", "the server %s has no image", n.name)
	} else {
		x.Image = *p.image
	}
	x.Arch, x.Size = "amd64", "small"
	if p.arch != nil {
		x.Arch = *p.arch
	}
	if p.size != nil {
		x.Size = *p.size
	}
	if p.disk != nil {
		x.Disk = *p.disk
	}
	x.Public = p.public != nil && *p.public
	x.UEFI = p.uefi != nil && *p.uefi
	if p.address != nil {
		x.Address = *p.address
		d.checkAddress(r, at, x)
	}
	x.Volumes, x.Ports = p.volumes, p.ports
	x.UserData = append(slices.Clone(d.stack.UserData), p.parts...)
	d.stack.Servers = append(d.stack.Servers, x)
}

func (d *document) checkAddress(r *reader, at value, x Server) {
	p := d.stack.Network.Prefix
	switch {
	case !x.Address.IsValid():
	case !p.Contains(x.Address), x.Address == p.Addr(), x.Address == p.Addr().Next(), x.Address == last(p):
		r.fault(at, "", "the address %v is none that a server can have in %v, whose first one is the gateway's", x.Address, p)
	}
	for _, o := range d.stack.Servers {
		if o.Address == x.Address && x.Address.IsValid() {
			r.fault(at, "", "%s and %s have the address %v", o.Name, x.Name, x.Address)
		}
	}
}

// last is the broadcast address of an IPv4 prefix.
func last(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(a)
}

// members checks what groups name.
func (d *document) members(r *reader, declared map[string]Position) {
	for _, g := range d.groups {
		for _, m := range g.members {
			if _, ok := declared[m.name]; !ok && !slices.ContainsFunc(d.roles, func(o named) bool { return o.name == m.name }) {
				r.fault(m.at, didYouMean(m.name, append(nameList(d.roles), sortedKeys(declared)...)), "there is neither a server nor a role %q", short(m.name))
			}
		}
	}
}

// references checks what every ${...} of every server names.
func (d *document) references(r *reader) {
	s := &d.stack
	told := map[string]bool{}
	for _, x := range s.Servers {
		before := d.before(x.Role)
		for _, part := range x.UserData {
			at := value{path: "userData", at: part.At}
			check := func(ref Reference) (string, error) {
				if key := ref.String() + at.path; !told[key+x.Role] {
					if text := d.reference(ref, before); text != "" {
						told[key+x.Role] = true
						r.fault(at, "", "%s: %s", ref, text)
					}
				}
				return "", nil
			}
			_, _ = ExpandValue(part.Config, check)
			_, _ = Expand(part.Script, check)
			if part.Write != nil && part.Write.Expand {
				_, _ = Expand(part.Write.Content, check)
			}
		}
	}
}

// before is the roles that are up when role is begun.
func (d *document) before(role string) []string {
	var out []string
	for queue := []string{role}; len(queue) > 0; queue = queue[1:] {
		for _, x := range d.stack.Roles {
			if x.Name == queue[0] {
				for _, a := range x.After {
					if !slices.Contains(out, a) {
						out = append(out, a)
						queue = append(queue, a)
					}
				}
			}
		}
	}
	return out
}

// reference says what is wrong with one, or nothing.
func (d *document) reference(ref Reference, before []string) string {
	s := &d.stack
	switch ref.Kind {
	case "secret":
		if !slices.ContainsFunc(s.Secrets, func(x Secret) bool { return x.Name == ref.Name }) {
			return "there is no such secret"
		}
	case "server":
		// Addresses are given out before anything is made: any server's can be named.
		if !slices.ContainsFunc(s.Servers, func(x Server) bool { return x.Name == ref.Name }) {
			return "there is no such server"
		}
	case "role":
		i := slices.IndexFunc(s.Roles, func(x Role) bool { return x.Name == ref.Name })
		switch {
		case i < 0:
			return "there is no such role"
		case !ref.Out:
		case !slices.ContainsFunc(s.Roles[i].Outputs, func(o Output) bool { return o.Name == ref.Field }):
			return "the role has no such output"
		case !slices.Contains(before, ref.Name):
			return "the role is not up by then: name it in after"
		}
	}
	return ""
}
