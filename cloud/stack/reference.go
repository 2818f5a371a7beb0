package stack

import (
	"fmt"
	"slices"
	"strings"

	"griddle/cloud/yamltree"
)

// Reference is a ${…} in a text.
//
//	${secret.NAME}                Kind secret, Name
//	${role.ROLE.addresses}        Kind role,   Name ROLE,   Field addresses: of its servers, with a space between them
//	${role.ROLE.address}          Kind role,   Name ROLE,   Field address: of its first server
//	${role.ROLE.outputs.NAME}     Kind role,   Name ROLE,   Field outputs, Output NAME: of its first server
//	${server.NAME.address}        Kind server, Name,        Field address
//	${self.name|role|number|address}   Kind self,  Field
//	${stack.name}                 Kind stack,  Field
//
// What a shell or another program would make of ${…} is not a reference and stays as it is: a word without a dot, and
// what begins with none of these kinds and is not words with dots. $${ stands for ${ itself.
type Reference struct {
	Kind, Name, Field, Output string
}

// String is the reference as it is written.
func (r Reference) String() string {
	parts := slices.DeleteFunc([]string{r.Kind, r.Name, r.Field, r.Output}, func(s string) bool { return s == "" })
	return "${" + strings.Join(parts, ".") + "}"
}

func referenceKinds() []string { return []string{"secret", "role", "server", "self", "stack"} }

// References finds the references in a text, each once and in order of their first place. The error names the first one
// that is not one of those; what it refers to need not exist.
func References(s string) ([]Reference, error) {
	var out []Reference
	seen := map[Reference]bool{}
	_, err := expand(s, func(r Reference) (string, error) {
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
		return "", nil
	})
	return out, err
}

// Expand replaces each reference by what lookup says, which is not looked at again, and $${ by ${. Its errors are those
// of References and of lookup; they name the reference, never a value.
func Expand(s string, lookup func(Reference) (string, error)) (string, error) {
	return expand(s, lookup)
}

func expand(s string, lookup func(Reference) (string, error)) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		s = s[i:]
		r, length, err := parseReference(s)
		if err != nil {
			return "", err
		}
		if length == 0 {
			b.WriteString("${")
			s = s[2:]
			continue
		}
		v, err := lookup(r)
		if err != nil {
			return "", fmt.Errorf("expanding %s: %w", r, err)
		}
		b.WriteString(v)
		s = s[length:]
	}
}

// parseReference reads the reference at the start of s. length is 0 where it is none.
func parseReference(s string) (r Reference, length int, err error) {
	body := s[2:]
	end := strings.IndexFunc(body, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' ||
			c == '.')
	})
	if end < 0 {
		end = len(body)
	}
	closed := end < len(body) && body[end] == '}'
	parts := strings.Split(body[:end], ".")
	known := slices.Contains(referenceKinds(), parts[0])
	empty := slices.Contains(parts, "")
	if len(parts) == 1 || !known && (!closed || empty || !identifier(parts[0])) {
		return r, 0, nil
	}
	text := yamltree.Short(s[:2+end])
	if !closed {
		return r, 0, fmt.Errorf("the reference %s is not closed by }", text)
	}
	text = yamltree.Short(s[:2+end+1])
	if !known {
		return r, 0, fmt.Errorf("the reference %s is unknown: %s", text,
			orElse(yamltree.Nearest(parts[0], referenceKinds()), "known are "+strings.Join(referenceKinds(), ", ")))
	}
	r.Kind = parts[0]
	var fields []string
	switch r.Kind {
	case "secret":
		if len(parts) != 2 || !identifier(parts[1]) {
			return r, 0, fmt.Errorf("the reference %s is not ${secret.NAME}", text)
		}
		r.Name = parts[1]
		return r, end + 3, nil
	case "role", "server":
		if len(parts) < 3 || !label(parts[1]) {
			return r, 0, fmt.Errorf("the reference %s is not ${%s.NAME.…}", text, r.Kind)
		}
		r.Name, parts = parts[1], parts[2:]
		fields = []string{"address"}
		if r.Kind == "role" {
			fields = []string{"address", "addresses", "outputs"}
		}
	case "self":
		parts, fields = parts[1:], []string{"name", "role", "number", "address"}
	case "stack":
		parts, fields = parts[1:], []string{"name"}
	}
	r.Field = parts[0]
	if !slices.Contains(fields, r.Field) {
		return r, 0, fmt.Errorf("the reference %s is unknown: %s has %s", text, r.Kind, strings.Join(fields, ", "))
	}
	switch rest := parts[1:]; {
	case r.Field != "outputs" && len(rest) > 0:
		return r, 0, fmt.Errorf("the reference %s is unknown: nothing is below %s", text, r.Field)
	case r.Field == "outputs" && (len(rest) != 1 || !identifier(rest[0])):
		return r, 0, fmt.Errorf("the reference %s is not ${role.ROLE.outputs.NAME}", text)
	case r.Field == "outputs":
		r.Output = rest[0]
	}
	return r, end + 3, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
