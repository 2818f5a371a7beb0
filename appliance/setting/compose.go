package setting

import (
	"maps"
	"slices"
)

// With is d changed by a later document. To merge the result is to merge both, one after the other: what they take away
// from earlier documents stays in it. A mapping that d takes away and later gives again is one exception: it is merged
// with what earlier documents have.
func (d Document) With(later Document) Document {
	return Document{From: d.From, values: compose(place{}, d.values, later.values)}
}

// Without is d without keys of its highest level, such as "network".
func (d Document) Without(keys ...string) Document {
	values := maps.Clone(d.values)
	for _, k := range keys {
		delete(values, k)
	}
	return Document{From: d.From, values: values}
}

// Keys are the keys of the document's highest level, sorted.
func (d Document) Keys() []string { return slices.Sorted(maps.Keys(d.values)) }

func compose(at place, have, add map[string]any) map[string]any {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range add {
		out[k] = composeValue(at.key(k), have[k], v)
	}
	return out
}

func composeValue(at place, have, add any) any {
	switch a := add.(type) {
	case map[string]any:
		if h, ok := have.(map[string]any); ok {
			return compose(at, h, a)
		}
	case []any:
		rule, ok := lists[at.pattern]
		if h, is := have.([]any); ok && is {
			return composeList(at, rule, h, a)
		}
	}
	return add
}

// composeList puts each entry of add after those of have, or in the place of the one that it changes.
func composeList(at place, rule listRule, have, add []any) []any {
	out := slices.Clone(have)
	for i, e := range add {
		j := slices.IndexFunc(out, func(o any) bool { return names(rule, o, e) && !isAbsent(o) })
		switch {
		case isAbsent(e) && rule.key != "":
			out = append(slices.DeleteFunc(out, func(o any) bool { return names(rule, o, e) }), e)
		case j < 0:
			out = append(out, e)
		case rule.deep:
			out[j] = composeValue(at.item(i, e), out[j], e)
		default:
			out[j] = e
		}
	}
	return out
}

// names reports whether two entries of a list have one name.
func names(rule listRule, a, b any) bool {
	n, ok := nameOf(rule, a)
	m, is := nameOf(rule, b)
	return ok && is && n == m
}

func isAbsent(entry any) bool {
	m, ok := entry.(map[string]any)
	return ok && m[absent] == true
}
