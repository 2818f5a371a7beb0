package stack

import (
	"slices"

	"griddle/cloud/yamltree"
)

// uses finds references to what is not declared, or not there yet when the user needs it.
func (p *parsing) uses(order []*role, all []resolved) {
	u := users{parsing: p, before: map[string]map[string]bool{}, servers: map[string]*resolved{},
		ofRole: map[string][]*resolved{}, roles: map[string]*role{}}
	for i := range all {
		s := &all[i]
		u.servers[s.Name] = s
		u.ofRole[s.Role] = append(u.ofRole[s.Role], s)
	}
	everything := map[string]bool{}
	for _, r := range order {
		u.roles[r.Name] = r
		everything[r.Name] = true
		b := map[string]bool{}
		for _, a := range r.After {
			b[a] = true
			for x := range u.before[a] {
				b[x] = true
			}
		}
		u.before[r.Name] = b
	}
	u.before[""] = everything // servers without a role come last
	type asked struct {
		part *piece
		role string
	}
	seen := map[asked]bool{}
	look := func(parts []*piece, role string) {
		for _, x := range parts {
			if seen[asked{x, role}] {
				continue
			}
			seen[asked{x, role}] = true
			for _, one := range x.uses {
				u.check(one, role)
			}
		}
	}
	for _, r := range order {
		look(r.server.parts, r.Name)
	}
	for _, s := range all {
		look(s.parts, s.Role)
	}
	// Profiles and groups that nobody has are not resolved; what they name must be there all the same.
	for _, x := range p.profiles {
		u.declared(x.parts)
	}
	for _, x := range p.groups {
		u.declared(x.parts)
	}
}

// users is who refers to what.
type users struct {
	*parsing
	before  map[string]map[string]bool // roles that are up before one
	servers map[string]*resolved
	ofRole  map[string][]*resolved
	roles   map[string]*role
}

func (u *users) declared(parts []*piece) {
	for _, x := range parts {
		for _, one := range x.uses {
			u.there(one)
		}
	}
}

// there says whether what a reference names is declared, and adds a fault where it is not.
func (u *users) there(x use) bool {
	unknown := func(what, name string, known []string) bool {
		u.Wrong(x.at, x.path, yamltree.Nearest(name, known), "%s: no %s is called %s", x.Reference, what, name)
		return false
	}
	switch x.Kind {
	case "secret":
		if known := names(u.stack.Secrets, func(s Secret) string { return s.Name }); !slices.Contains(known, x.Name) {
			return unknown("secret", x.Name, known)
		}
	case "server":
		if u.servers[x.Name] == nil {
			known := names(u.parsing.servers, func(s *server) string { return s.name })
			return unknown("server", x.Name, known)
		}
	case "role":
		r := u.roles[x.Name]
		if r == nil {
			return unknown("role", x.Name, u.roleNames())
		}
		if known := names(r.Outputs, func(o Output) string { return o.Name }); x.Output != "" &&
			!slices.Contains(known, x.Output) {
			return unknown("output of "+x.Name, x.Output, known)
		}
		if x.Field != "addresses" && len(u.ofRole[x.Name]) == 0 {
			u.Wrong(x.at, x.path, "", "%s: the role %s has no server", x.Reference, x.Name)
			return false
		}
	}
	return true
}

// check looks at one reference of a server of the role user.
func (u *users) check(x use, user string) {
	if !u.there(x) {
		return
	}
	of, fixed := x.Name, false
	switch x.Kind {
	case "role":
		fixed = x.Field != "outputs" &&
			!slices.ContainsFunc(u.ofRole[of], func(s *resolved) bool { return !s.Address.IsValid() })
	case "server":
		s := u.servers[x.Name]
		of, fixed = s.Role, s.Address.IsValid()
		if of == "" && !fixed {
			u.Wrong(x.at, x.path, "give "+x.Name+" an address",
				"%s is known only after %s is up, and a server without a role comes last", x.Reference, x.Name)
			return
		}
	case "self":
		if x.Field == "role" && user == "" {
			u.Wrong(x.at, x.path, "", "%s: a server without a role gets this", x.Reference)
		}
		return
	default:
		return
	}
	switch {
	case fixed || u.before[user][of]:
	case of == user:
		u.Wrong(x.at, x.path, "only roles after "+of+" can use it",
			"%s is known only after %s is up, and its own servers get this", x.Reference, of)
	default:
		u.Wrong(x.at, x.path, "write after: ["+of+"] in roles."+user,
			"%s is not known yet: the role %s is not before %s", x.Reference, of, user)
	}
}
