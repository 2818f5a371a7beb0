package stack

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// reader collects the faults of a file while its parts read it.
type reader struct {
	file   string
	faults Faults
	shapes map[string][]string // keys of each kind of mapping that was read: what the schema must agree with
	places map[string]Position // of the values that were read, by their path
}

// wrong adds a fault. hint may be empty.
func (r *reader) wrong(at Position, path, hint, format string, args ...any) {
	r.faults = append(r.faults, Fault{r.file, at.Line, at.Column, path, fmt.Sprintf(format, args...), hint})
}

// field is one key that a mapping can have.
type field struct {
	name string
	read func(n *node, path string)
}

// object reads a mapping with known keys; shape names it in the schema.
func (r *reader) object(n *node, path, shape string, fields []field, required ...string) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	r.shapes[shape] = names
	if !r.want(n, path, kindMapping, "a mapping of keys") {
		return
	}
	for _, e := range n.keys {
		i := slices.Index(names, e.name)
		switch {
		case i < 0:
			hint := nearest(e.name, names)
			if hint == "" {
				hint = "known are " + strings.Join(names, ", ")
			}
			r.wrong(e.at, path, hint, "the key %s is unknown", short(e.name))
		case e.value.kind == kindNull:
			r.wrong(e.value.at, below(path, e.name), "leave the key out, or say something", "nothing is said")
		default:
			r.places[below(path, e.name)] = e.value.at
			fields[i].read(e.value, below(path, e.name))
		}
	}
	for _, k := range required {
		if n.find(k) == nil {
			r.wrong(n.at, path, "", "the key %s is missing", k)
		}
	}
}

// named reads a mapping whose keys are names that the file makes up.
func (r *reader) named(n *node, path string, most int, each func(e entry, path string)) {
	if !r.want(n, path, kindMapping, "a mapping of names") {
		return
	}
	if len(n.keys) > most {
		r.wrong(n.at, path, "", "%d are more than the %d that are allowed", len(n.keys), most)
		return
	}
	for _, e := range n.keys {
		if e.value.kind == kindNull {
			r.wrong(e.value.at, below(path, e.name), "say {} where there is nothing to say", "nothing is said")
			continue
		}
		r.places[below(path, e.name)] = e.at
		each(e, below(path, e.name))
	}
}

// list reads a list of at most that many entries.
func (r *reader) list(n *node, path string, most int, each func(n *node, path string)) {
	if !r.want(n, path, kindList, "a list such as [a, b]") {
		return
	}
	if len(n.items) > most {
		r.wrong(n.at, path, "", "%d entries are more than the %d that are allowed", len(n.items), most)
		return
	}
	for i, v := range n.items {
		r.places[item(path, i)] = v.at
		each(v, item(path, i))
	}
}

// want says whether n is of a kind, and adds the fault where it is not.
func (r *reader) want(n *node, path string, k kind, what string) bool {
	if n.kind == k {
		return true
	}
	hint := ""
	switch {
	case n.kind == kindBroken:
		return false
	case k == kindText && (n.kind == kindInt || n.kind == kindFloat || n.kind == kindBool):
		hint = fmt.Sprintf("put it in quotes: %q", n.raw)
	case k == kindBool && n.kind == kindText:
		switch strings.ToLower(n.raw) {
		case "yes", "on", "y":
			hint = "say true"
		case "no", "off", "n":
			hint = "say false"
		}
	}
	r.wrong(n.at, path, hint, "it must be %s, not %s", what, n.is())
	return false
}

// text reads text of one line that is not empty and has at most that many bytes.
func (r *reader) text(n *node, path, what string, most int) (string, bool) {
	if !r.want(n, path, kindText, what) {
		return "", false
	}
	s := n.value.(string)
	switch {
	case s == "":
		r.wrong(n.at, path, "", "it is empty")
	case len(s) > most:
		r.wrong(n.at, path, "", "it has %d bytes, %d are allowed", len(s), most)
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\u0085' || c == '\u2028' || c == '\u2029' }):
		r.wrong(n.at, path, "", "it must be one line without control characters")
	default:
		return s, true
	}
	return "", false
}

// checked reads text that check takes; what describes it, such as "a host name".
func (r *reader) checked(n *node, path, what string, most int, check func(string) bool) string {
	s, ok := r.text(n, path, what, most)
	if ok && !check(s) {
		r.wrong(n.at, path, "", "%s is not %s", short(s), what)
		return ""
	}
	return s
}

func (r *reader) boolean(n *node, path string) bool {
	if !r.want(n, path, kindBool, "true or false") {
		return false
	}
	return n.value.(bool)
}

// number reads a whole number within bounds, which include both ends; low where it has a fault.
func (r *reader) number(n *node, path string, low, high int) int {
	if !r.want(n, path, kindInt, "a whole number") {
		return low
	}
	v, ok := int64(0), true
	switch x := n.value.(type) {
	case int64:
		v = x
	case uint64:
		v, ok = int64(x), x <= math.MaxInt64
	}
	if !ok || v < int64(low) || v > int64(high) {
		r.wrong(n.at, path, "", "%s is not between %d and %d", n.raw, low, high)
		return low
	}
	return int(v)
}

func (r *reader) duration(n *node, path string, low, high time.Duration) time.Duration {
	s, ok := r.text(n, path, "a time such as 30s, 10m or 2h", 32)
	if !ok {
		return low
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		r.wrong(n.at, path, "", "%s is not a time such as 30s, 10m or 2h", short(s))
	case d < low || d > high:
		r.wrong(n.at, path, "", "%s is not between %s and %s", s, low, high)
	default:
		return d
	}
	return low
}

// reference looks a name up among those that the file declares.
func (r *reader) reference(n *node, path, what string, known []string) string {
	s, ok := r.text(n, path, "the name of a "+what, 63)
	if ok && !slices.Contains(known, s) {
		r.wrong(n.at, path, nearest(s, known), "no %s is called %s", what, short(s))
		return ""
	}
	return s
}

// references reads one name or a list of them; each is there once.
func (r *reader) references(n *node, path, what string, known []string) []string {
	var out []string
	one := func(n *node, path string) {
		s := r.reference(n, path, what, known)
		if s != "" && slices.Contains(out, s) {
			r.wrong(n.at, path, "", "%s is there already", s)
		} else if s != "" {
			out = append(out, s)
		}
	}
	if n.kind == kindText {
		one(n, path)
	} else {
		r.list(n, path, maxProfiles, one)
	}
	return out
}

// label says whether s is a DNS label in lower case (RFC 1123 section 2.1).
func label(s string) bool {
	for i, c := range []byte(s) {
		edge := i == 0 || i == len(s)-1
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && !edge) {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// label checks the name of an entry that becomes a host name, or part of one.
func (r *reader) label(e entry, path, what string, most int) {
	switch {
	case !label(e.name):
		hint := ""
		if lower := strings.ReplaceAll(strings.ToLower(e.name), "_", "-"); label(lower) {
			hint = "such as " + lower
		}
		r.wrong(e.at, path, hint, "the name of a %s must be a DNS label: lower-case letters, digits and inner hyphens", what)
	case len(e.name) > most:
		r.wrong(e.at, path, "", "the name of a %s has %d characters, %d are allowed", what, len(e.name), most)
	}
}
