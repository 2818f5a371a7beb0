package stack

import (
	"fmt"
	"regexp"
	"strings"
)

// Reference is what a ${…} names. Of the fields only those that its Kind has are set.
//
//	${stack.name}                 the stack
//	${self.name}                  this server: name, role, number, address
//	${secret.NAME}                a declared secret
//	${server.NAME.address}        another server's private address
//	${role.ROLE.address}          that of the first server of a role; addresses: of all, separated by commas
//	${role.ROLE.outputs.OUTPUT}   what the first server of a role gave
type Reference struct {
	Kind  string // stack, self, secret, server or role
	Name  string // of the secret, server or role
	Field string // name, role, number, address, addresses; of outputs the output's name
	Out   bool   // Field is an output
}

// String gives it as it is written.
func (r Reference) String() string {
	parts := []string{r.Kind}
	if r.Name != "" {
		parts = append(parts, r.Name)
	}
	if r.Out {
		parts = append(parts, "outputs")
	}
	if r.Field != "" {
		parts = append(parts, r.Field)
	}
	return "${" + strings.Join(parts, ".") + "}"
}

// parseReference reads what stands between the braces.
func parseReference(s string) (Reference, error) {
	p := strings.Split(s, ".")
	known := false
	r := Reference{Kind: p[0]}
	switch {
	case len(p) == 2 && r.Kind == "stack":
		r.Field, known = p[1], p[1] == "name"
	case len(p) == 2 && r.Kind == "self":
		r.Field = p[1]
		known = r.Field == "name" || r.Field == "role" || r.Field == "number" || r.Field == "address"
	case len(p) == 2 && r.Kind == "secret":
		r.Name, known = p[1], p[1] != ""
	case len(p) == 3 && r.Kind == "server":
		r.Name, r.Field = p[1], p[2]
		known = r.Name != "" && r.Field == "address"
	case len(p) == 3 && r.Kind == "role":
		r.Name, r.Field = p[1], p[2]
		known = r.Name != "" && (r.Field == "address" || r.Field == "addresses")
	case len(p) == 4 && r.Kind == "role" && p[2] == "outputs":
		r.Name, r.Field, r.Out = p[1], p[3], true
		known = r.Name != "" && r.Field != ""
	}
	if !known {
		return Reference{}, fmt.Errorf("${%s} is no reference that griddle knows: there are ${secret.NAME}, ${self.name}, ${server.NAME.address}, ${role.ROLE.address}, ${role.ROLE.outputs.NAME} and ${stack.name}; $${ stands for ${", s)
	}
	return r, nil
}

// referencePattern finds references, and escapes so that those are not taken for one.
func referencePattern() *regexp.Regexp { return regexp.MustCompile(`\$\$\{|\$\{([^}\n]*)\}`) }

// References lists what s refers to, in its order. Shell's ${VAR} must be written $${VAR}; an error names the first that is none.
func References(s string) ([]Reference, error) {
	var out []Reference
	_, err := Expand(s, func(r Reference) (string, error) {
		out = append(out, r)
		return "", nil
	})
	return out, err
}

// Expand puts what lookup gives in the place of each reference, and ${ in the place of $${. What lookup gave is not expanded again. Its
// errors are returned as they are.
func Expand(s string, lookup func(Reference) (string, error)) (string, error) {
	var first error
	out := referencePattern().ReplaceAllStringFunc(s, func(m string) string {
		if m == "$${" || first != nil {
			return "${"
		}
		r, err := parseReference(m[2 : len(m)-1])
		if err == nil {
			var v string
			if v, err = lookup(r); err == nil {
				return v
			}
		}
		first = err
		return ""
	})
	if first != nil {
		return "", first
	}
	return out, nil
}

// ExpandValue is Expand for every string within a parsed value (map[string]any, []any and scalars); it returns a copy.
func ExpandValue(v any, lookup func(Reference) (string, error)) (any, error) {
	switch v := v.(type) {
	case string:
		return Expand(v, lookup)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = ExpandValue(v[i], lookup); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			x, err := ExpandValue(v[k], lookup)
			if err != nil {
				return nil, err
			}
			out[k] = x
		}
		return out, nil
	}
	return v, nil
}
