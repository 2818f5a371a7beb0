package cloud

import (
	"errors"
	"fmt"
	"slices"

	"griddle/cloud/provider"
	"griddle/cloud/state"
)

// Pick says which servers of a stack are meant: exactly one of its fields is set.
type Pick struct {
	Servers []string
	Role    string
	Minimum bool // as many of each role as it has at the least, and those without a role
	All     bool
}

// from gives the servers that are there, in the order of roles. A server that is named and not there is an error.
func (p Pick) from(s *state.State, have []provider.Resource) ([]provider.Resource, error) {
	ways := 0
	for _, set := range []bool{len(p.Servers) > 0, p.Role != "", p.Minimum, p.All} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		return nil, errors.New("no servers are chosen: name servers, or one role, or the minimum, or all")
	}
	var all []provider.Resource
	for _, r := range have {
		if r.Kind == provider.KindServer {
			all = append(all, r)
		}
	}
	role := func(name string) string {
		if v := s.Servers[name]; v != nil {
			return v.Role
		}
		return ""
	}
	order(s, all, func(r provider.Resource) (string, string) { return role(r.Name), r.Name })
	var faults []error
	for _, n := range p.Servers {
		if !slices.ContainsFunc(all, func(r provider.Resource) bool { return r.Name == n }) {
			faults = append(faults, fmt.Errorf("server %s: %w", n, provider.ErrNotFound))
		}
	}
	if p.Role != "" && !slices.ContainsFunc(s.Roles, func(v state.Role) bool { return v.Name == p.Role }) {
		faults = append(faults, fmt.Errorf("role %s: %w", p.Role, provider.ErrNotFound))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	count := make(map[string]int)
	return slices.DeleteFunc(all, func(r provider.Resource) bool {
		in := role(r.Name)
		count[in]++
		switch {
		case p.All:
			return false
		case p.Role != "":
			return in != p.Role
		case p.Minimum:
			i := slices.IndexFunc(s.Roles, func(v state.Role) bool { return v.Name == in })
			return i >= 0 && count[in] > s.Roles[i].Min
		}
		return !slices.Contains(p.Servers, r.Name)
	}), nil
}
