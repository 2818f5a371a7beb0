package setting

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// absent is the key that takes an entry of a list away.
const absent = "absent"

// Merged is what several documents say together.
type Merged struct {
	values map[string]any
	origin map[string]string // place -> Document.From
}

// Merge merges documents; later ones win.
func Merge(documents ...Document) Merged {
	m := Merged{values: map[string]any{}, origin: map[string]string{}}
	for _, d := range documents {
		m.mapping(place{}, m.values, d.values, d.From)
	}
	return m
}

// Document is the merged settings as one document again.
func (m Merged) Document(from string) Document { return Document{From: from, values: m.values} }

// place is where a value is: pattern for the rules, shown for people.
type place struct{ pattern, shown, entry string }

func (p place) key(k string) place {
	if p.pattern == "" {
		return place{pattern: k, shown: k}
	}
	return place{pattern: p.pattern + "." + k, shown: p.shown + "." + k}
}

// item is the place of an entry of a list, named by what makes it unique.
func (p place) item(i int, v any) place {
	name := fmt.Sprint(i)
	if rule, ok := lists[p.pattern]; ok && rule.key != "" {
		if s, ok := nameOf(rule, v); ok {
			name = s
		}
		return place{pattern: p.pattern + ".*", shown: p.shown + "[" + name + "]", entry: name}
	}
	return place{pattern: p.pattern + ".*", shown: p.shown + "[" + name + "]"}
}

// listRule says how the lists at a place are merged. Without a rule the later list stays alone.
type listRule struct {
	key  string // the key that names an entry; "" where an entry is its own name
	deep bool   // entries of one name are merged, else the later one stays
}

var lists = map[string]listRule{
	"users":              {"name", true},
	"users.*.keys":       {},
	"users.*.groups":     {},
	"root.keys":          {},
	"ca":                 {},
	"args":               {},
	"keep":               {},
	"files":              {"path", false},
	"hooks":              {"name", false},
	"network.interfaces": {"name", true},
}

// nameOf is what names an entry of a list with a rule.
func nameOf(r listRule, v any) (string, bool) {
	if r.key == "" {
		s, ok := v.(string)
		return s, ok
	}
	m, _ := v.(map[string]any)
	s, ok := m[r.key].(string)
	if ok && r.key == "path" {
		s = path.Clean(s)
	}
	return s, ok
}

// mapping merges add into have, in place.
func (m Merged) mapping(at place, have, add map[string]any, from string) {
	for _, k := range slices.Sorted(maps.Keys(add)) {
		here := at.key(k)
		if k == absent && at.entry != "" {
			continue
		}
		m.forget(here)
		if add[k] == nil {
			delete(have, k)
			continue
		}
		have[k] = m.value(here, have[k], add[k], from)
	}
}

// value is what is at a place after add came to old. It shares nothing with add.
func (m Merged) value(at place, old, add any, from string) any {
	m.origin[at.shown] = from
	switch add := add.(type) {
	case map[string]any:
		have, ok := old.(map[string]any)
		if !ok {
			have = map[string]any{}
		}
		m.mapping(at, have, add, from)
		return have
	case []any:
		rule, ok := lists[at.pattern]
		if !ok {
			out := make([]any, len(add))
			for i, e := range add {
				out[i] = m.value(at.item(i, e), nil, e, from)
			}
			return out
		}
		have, _ := old.([]any)
		return m.list(at, rule, have, add, from)
	}
	return add
}

// list merges two lists by a rule.
func (m Merged) list(at place, rule listRule, have, add []any, from string) []any {
	out := append([]any{}, have...) // never nil, which would mean that it takes away
	// Of add alone, an entry that is there twice is a mistake; Check finds it.
	old := len(out)
	for i, e := range add {
		name, named := nameOf(rule, e)
		at, list := at.item(i, e), at
		j := -1
		if named {
			j = slices.IndexFunc(out[:old], func(o any) bool {
				n, ok := nameOf(rule, o)
				return ok && n == name
			})
		}
		if entry, ok := e.(map[string]any); ok && entry[absent] == true && rule.key != "" {
			if j >= 0 {
				m.forget(at)
				out, old = slices.Delete(out, j, j+1), old-1
			}
			continue
		}
		switch {
		case j < 0:
			if rule.key == "" {
				at = list.item(len(out), e) // where it is now
			}
			out = append(out, m.value(at, nil, e, from))
		case rule.key == "":
		case rule.deep:
			out[j] = m.deep(at, out[j], e, from)
		default:
			m.forget(at)
			out[j] = m.value(at, nil, e, from)
		}
	}
	return out
}

// deep merges an entry into the one of its name; what it does not say keeps its origin.
func (m Merged) deep(at place, old, add any, from string) any {
	have, _ := old.(map[string]any)
	entry, ok := add.(map[string]any)
	if !ok || have == nil {
		return m.value(at, nil, add, from)
	}
	m.mapping(at, have, entry, from)
	return have
}

// forget removes the origins of a value that is replaced, if it has no parts that stay.
func (m Merged) forget(at place) {
	if _, keeps := lists[at.pattern]; keeps {
		return
	}
	delete(m.origin, at.shown)
}

// From says which document a place comes from, its own origin or that of what it is in.
func (m Merged) From(shown string) string {
	for {
		if from, ok := m.origin[shown]; ok {
			return from
		}
		i := strings.LastIndexAny(shown, ".[")
		if i < 0 {
			return ""
		}
		shown = shown[:i]
	}
}
