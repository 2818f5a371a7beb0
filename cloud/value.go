package cloud

import (
	"fmt"
	"strconv"
	"strings"

	"griddle/cloud/plan"
	"griddle/cloud/stack"
)

// lookup gives the values that references in the user-data of v stand for.
func (r *run) lookup(v stack.Server) plan.Lookup {
	return func(ref stack.Reference) (string, error) {
		value, err := r.value(v, ref)
		if err != nil {
			return "", fmt.Errorf("%s: %w", ref, err)
		}
		return value, nil
	}
}

func (r *run) value(v stack.Server, ref stack.Reference) (string, error) {
	switch ref.Kind {
	case "stack":
		return r.s.Name, nil
	case "self":
		switch ref.Field {
		case "name":
			return v.Name, nil
		case "role":
			return v.Role, nil
		case "number":
			return strconv.Itoa(v.Number), nil
		case "address":
			return r.plan.Addresses[v.Name].String(), nil
		}
	case "secret":
		for _, s := range r.s.Secrets {
			if s.Name == ref.Name {
				return r.c.Secrets.Value(s, r.v)
			}
		}
	case "server":
		if a, ok := r.plan.Addresses[ref.Name]; ok {
			return a.String(), nil
		}
	case "role":
		return r.roleValue(ref)
	}
	return "", fmt.Errorf("the stack has no such value")
}

// roleValue is an output, or addresses: those are given out before any server is made.
func (r *run) roleValue(ref stack.Reference) (string, error) {
	if ref.Field == "outputs" {
		return r.output(ref)
	}
	var all []string
	for _, v := range r.s.Servers {
		if v.Role == ref.Name {
			all = append(all, r.plan.Addresses[v.Name].String())
		}
	}
	if len(all) == 0 {
		return "", fmt.Errorf("the role has no server")
	}
	if ref.Field == "address" {
		return all[0], nil
	}
	return strings.Join(all, " "), nil
}

func (r *run) output(ref stack.Reference) (string, error) {
	for _, role := range r.s.Roles {
		for _, o := range role.Outputs {
			if role.Name != ref.Name || o.Name != ref.Output {
				continue
			}
			if o.Secret {
				if s, ok := r.v.Get("output." + role.Name + "." + o.Name); ok {
					return s, nil
				}
				return "", fmt.Errorf("it was not read yet")
			}
			s, ok := r.rec.Output(role.Name, o.Name)
			if !ok {
				return "", fmt.Errorf("it was not read yet")
			}
			return s, nil
		}
	}
	return "", fmt.Errorf("the stack has no such value")
}
