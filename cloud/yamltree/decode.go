package yamltree

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Field is one key that a mapping can have, and what reads its value.
type Field struct {
	Name string
	Read func(n *Node, path string)
}

// Key makes a Field.
func Key(name string, read func(n *Node, path string)) Field { return Field{name, read} }

// Object reads a mapping with known keys; shape names it in Shapes.
func (r *Reader) Object(n *Node, path, shape string, fields []Field, required ...string) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	if r.Shapes != nil {
		r.Shapes[shape] = names
	}
	if !r.Want(n, path, Mapping, "a mapping of keys") {
		return
	}
	for _, e := range n.Keys {
		at := Below(path, e.Name)
		i := slices.Index(names, e.Name)
		switch {
		case i < 0:
			r.Unknown(e, path, Nearest(e.Name, names), names)
		case e.Value.Kind == Null:
			r.Wrong(e.Value.At, at, "leave the key out, or give it a value", "it has no value")
		default:
			r.note(at, e.Value.At)
			fields[i].Read(e.Value, at)
		}
	}
	for _, k := range required {
		if n.Find(k) == nil {
			r.Wrong(n.At, path, "", "the key %s is missing", k)
		}
	}
}

// Unknown adds the fault of a key that the mapping at path cannot have. Without a hint the known ones are listed.
func (r *Reader) Unknown(e Entry, path, hint string, known []string) {
	if hint == "" {
		hint = "known are " + strings.Join(known, ", ")
	}
	r.Wrong(e.At, path, hint, "the key %s is unknown", Short(e.Name))
}

func (r *Reader) note(path string, at Place) {
	if r.Places != nil {
		r.Places[path] = at
	}
}

// Named reads a mapping of at most that many keys, which are names that the file makes up.
func (r *Reader) Named(n *Node, path string, most int, each func(e Entry, path string)) {
	if !r.Want(n, path, Mapping, "a mapping of names") {
		return
	}
	if len(n.Keys) > most {
		r.Wrong(n.At, path, "", "%d are more than the %d that are allowed", len(n.Keys), most)
		return
	}
	for _, e := range n.Keys {
		at := Below(path, e.Name)
		if e.Value.Kind == Null {
			r.Wrong(e.Value.At, at, "write {} for one without keys", "it has no value")
			continue
		}
		r.note(at, e.At)
		each(e, at)
	}
}

// List reads a list of at most that many entries.
func (r *Reader) List(n *Node, path string, most int, each func(n *Node, path string)) {
	if !r.Want(n, path, List, "a list such as [a, b]") {
		return
	}
	if len(n.Items) > most {
		r.Wrong(n.At, path, "", "%d entries are more than the %d that are allowed", len(n.Items), most)
		return
	}
	for i, v := range n.Items {
		r.note(Item(path, i), v.At)
		each(v, Item(path, i))
	}
}

// Want says whether n is of a kind, and adds the fault where it is not; what describes it for people.
func (r *Reader) Want(n *Node, path string, k Kind, what string) bool {
	if n.Kind == k {
		return true
	}
	hint := ""
	switch {
	case n.Kind == Broken:
		return false
	case k == Text && (n.Kind == Int || n.Kind == Float || n.Kind == Bool):
		hint = fmt.Sprintf("put it in quotes: %q", n.Raw)
	case k == Bool && n.Kind == Text:
		switch strings.ToLower(n.Raw) {
		case "yes", "on", "y":
			hint = "write true"
		case "no", "off", "n":
			hint = "write false"
		}
	}
	r.Wrong(n.At, path, hint, "it must be %s, not %s", what, n.Is())
	return false
}

// Line reads text of one line that is not empty and has at most that many bytes.
func (r *Reader) Line(n *Node, path, what string, most int) (string, bool) {
	if !r.Want(n, path, Text, what) {
		return "", false
	}
	s := n.Value.(string)
	switch {
	case s == "":
		r.Wrong(n.At, path, "", "it is empty")
	case len(s) > most:
		r.Wrong(n.At, path, "", "it has %d bytes, %d are allowed", len(s), most)
	case strings.ContainsFunc(s,
		func(c rune) bool { return c < ' ' || c == 0x7f || c == '\u0085' || c == '\u2028' || c == '\u2029' }):
		r.Wrong(n.At, path, "", "it must be one line without control characters")
	default:
		return s, true
	}
	return "", false
}

// Checked is Line for text that check takes; what describes it, such as "a host name". It is empty where there is a
// fault.
func (r *Reader) Checked(n *Node, path, what string, most int, check func(string) bool) string {
	s, ok := r.Line(n, path, what, most)
	if ok && !check(s) {
		r.Wrong(n.At, path, "", "%s is not %s", Short(s), what)
		return ""
	}
	return s
}

// Boolean reads true or false; false where there is a fault.
func (r *Reader) Boolean(n *Node, path string) bool {
	if !r.Want(n, path, Bool, "true or false") {
		return false
	}
	return n.Value.(bool)
}

// Number reads a whole number within bounds, which include both ends; low where there is a fault.
func (r *Reader) Number(n *Node, path string, low, high int) int {
	if !r.Want(n, path, Int, "a whole number") {
		return low
	}
	v, ok := int64(0), true
	switch x := n.Value.(type) {
	case int64:
		v = x
	case uint64:
		v, ok = int64(x), x <= math.MaxInt64
	}
	if !ok || v < int64(low) || v > int64(high) {
		r.Wrong(n.At, path, "", "%s is not between %d and %d", n.Raw, low, high)
		return low
	}
	return int(v)
}

// Duration reads a time with its unit within bounds, which include both ends; low where there is a fault.
func (r *Reader) Duration(n *Node, path string, low, high time.Duration) time.Duration {
	d, ok := r.Time(n, path)
	switch {
	case !ok:
		return low
	case d < low || d > high:
		r.Wrong(n.At, path, "", "%s is not between %s and %s", n.Raw, low, high)
		return low
	}
	return d
}

// Time reads a time with its unit (time.ParseDuration).
func (r *Reader) Time(n *Node, path string) (time.Duration, bool) {
	const what = "a time such as 30s, 10m or 12h"
	if n.Kind != Int && n.Kind != Float && !r.Want(n, path, Text, what) {
		return 0, false
	}
	d, err := time.ParseDuration(n.Raw)
	if err != nil || n.Kind != Text {
		r.Wrong(n.At, path, "", "%s is not %s", n.shown(), what)
		return 0, false
	}
	return d, true
}

// Reference reads a name that is one of known; what says what they are names of.
func (r *Reader) Reference(n *Node, path, what string, known []string) string {
	s, ok := r.Line(n, path, "the name of a "+what, 63)
	if ok && !slices.Contains(known, s) {
		r.Wrong(n.At, path, Nearest(s, known), "no %s is called %s", what, Short(s))
		return ""
	}
	return s
}

// References reads one name or a list of at most that many; each is there once.
func (r *Reader) References(n *Node, path, what string, most int, known []string) []string {
	var out []string
	one := func(n *Node, path string) {
		s := r.Reference(n, path, what, known)
		if s != "" && slices.Contains(out, s) {
			r.Wrong(n.At, path, "", "%s is in the list twice", s)
		} else if s != "" {
			out = append(out, s)
		}
	}
	if n.Kind == Text {
		one(n, path)
	} else {
		r.List(n, path, most, one)
	}
	return out
}
