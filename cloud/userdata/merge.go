package userdata

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Merged is the user-data of one server.
type Merged struct {
	Config    map[string]any // normal: string, bool, int64, uint64, float64, []any and mappings without nulls
	Scripts   []Script       // in the order in which they run
	Opaque    []Piece        // in the order in which cloud-init is to handle them
	Conflicts []Conflict     // in the order in which they arose

	origin map[string]string // which part a path of Config is from
}

// Script is a script with the part it is from.
type Script struct {
	From string
	Text string
}

// Piece is an opaque part with the part it is from.
type Piece struct {
	From string
	Opaque
}

// Merge merges parts, of which later ones win, by the rules of the package's documentation. Errors list every part that
// cannot be taken.
func Merge(parts []Part) (*Merged, error) {
	m := &Merged{Config: map[string]any{}, origin: map[string]string{}}
	var errs []error
	for i := range parts {
		p := parts[i]
		if err := p.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		if p.Script != "" {
			m.Scripts = append(m.Scripts, Script{p.From, p.Script})
			continue
		}
		if p.Opaque != nil {
			m.Opaque = append(m.Opaque, Piece{p.From, *p.Opaque})
			continue
		}
		config := p.Config
		if p.File != nil {
			entry, err := p.File.entry()
			if err != nil {
				errs = append(errs, fmt.Errorf("reading user-data %s: %w", p.From, err))
				continue
			}
			config = map[string]any{"write_files": []any{entry}}
		}
		n := normalizer{left: MaxValues}
		normal, err := n.mapping(place{}, config, 0)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading user-data %s: %w", p.From, err))
			continue
		}
		m.mapping(place{}, m.Config, normal, p.From)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

// Parts returns the merged parts as parts again, whose Merge is the same.
func (m *Merged) Parts(from string) []Part {
	var parts []Part
	if len(m.Config) > 0 {
		parts = append(parts, Part{From: from, Config: m.Config})
	}
	for _, s := range m.Scripts {
		parts = append(parts, Part{From: s.From, Script: s.Text})
	}
	for _, o := range m.Opaque {
		parts = append(parts, Part{From: o.From, Opaque: &o.Opaque})
	}
	return parts
}

// mapping merges add into have, in place.
func (m *Merged) mapping(at place, have, add map[string]any, from string) {
	for _, k := range slices.Sorted(maps.Keys(add)) {
		here := at.key(k)
		old, was := have[k]
		if add[k] == nil {
			if was {
				m.conflict(here, old, nil, from)
				delete(have, k)
			}
			continue
		}
		have[k] = m.value(here, old, was, add[k], from)
	}
}

// value returns what stands at a place after add came to what was there.
func (m *Merged) value(at place, old any, was bool, add any, from string) any {
	switch add := add.(type) {
	case map[string]any:
		have, same := old.(map[string]any)
		if !same {
			if was {
				m.conflict(at, old, add, from)
			}
			have = map[string]any{}
			m.origin[at.shown] = from
		}
		m.mapping(at, have, add, from)
		return have
	case []any:
		have, same := old.([]any)
		rule, ruled := lists()[at.pattern]
		if was && !same {
			m.conflict(at, old, add, from)
		}
		if ruled {
			if !same {
				m.origin[at.shown] = from
			}
			return m.list(at, rule, have, add, from)
		}
		if same && reflect.DeepEqual(have, add) {
			return have
		}
		if same {
			m.conflict(at, old, add, from)
		}
		m.origin[at.shown] = from
		return m.fresh(at, add, from)
	}
	if was && old == add {
		return old
	}
	if was {
		m.conflict(at, old, add, from)
	}
	m.origin[at.shown] = from
	return add
}

// fresh is a list that replaces whatever was there: only what is inside its entries is brought into order.
func (m *Merged) fresh(at place, add []any, from string) []any {
	list := make([]any, len(add))
	for i, e := range add {
		if e == nil {
			continue
		}
		list[i] = m.value(at.entry(fmt.Sprint(i)), nil, false, e, from)
	}
	return list
}

// list merges by a rule.
func (m *Merged) list(at place, rule listRule, have, add []any, from string) []any {
	have = slices.Clip(have)
	index := map[string]int{}
	for i, e := range have {
		if key, ok := rule.key(e); ok {
			index[key] = i
		}
	}
	for _, e := range add {
		key, ok := rule.key(e)
		i, there := index[key]
		if !ok || !there {
			here := at.entry(key)
			if !ok {
				here = at.entry(fmt.Sprint(len(have)))
			} else {
				index[key] = len(have)
			}
			if e != nil {
				e = m.value(here, nil, false, e, from)
			}
			m.origin[here.shown] = from
			have = append(have, e)
			continue
		}
		here := at.entry(key)
		switch rule.same {
		case keepFirst:
		case mergeDeep:
			_, isMap := e.(map[string]any)
			if _, wasMap := have[i].(map[string]any); wasMap && !isMap {
				continue // a bare name says nothing else
			} else if isMap && !wasMap {
				have[i] = m.value(here, nil, false, e, from)
				continue
			}
			have[i] = m.value(here, have[i], true, e, from)
		case laterWhole:
			normal := m.fresh(here, []any{e}, from)[0]
			if reflect.DeepEqual(have[i], normal) {
				continue
			}
			m.conflict(here, have[i], normal, from)
			m.origin[here.shown] = from
			have[i] = normal
		}
	}
	return have
}
