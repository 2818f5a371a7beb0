package userdata

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// place is where a value stands: pattern for the rules, shown for people.
type place struct{ pattern, shown string }

func (p place) key(k string) place {
	if p.shown == "" {
		return place{k, k}
	}
	if len(p.pattern) > 0 && strings.HasPrefix(p.pattern, "groups.*") {
		return place{p.pattern + ".*", p.shown + "." + k}
	}
	return place{p.pattern + "." + k, p.shown + "." + k}
}

func (p place) entry(key string) place {
	return place{p.pattern + ".*", p.shown + "[" + key + "]"}
}

// maxKey is the length of a key, as it is written, that PyYAML reads without marks of its own.
const maxKey = 1000

// normalizer copies what a caller gave, with one Go type for each kind of value, and checks what rules depend on.
type normalizer struct{ left int }

func (n *normalizer) mapping(at place, m map[string]any, depth int) (map[string]any, error) {
	copied := make(map[string]any, len(m))
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(m)) {
		here := at.key(k)
		if err := carried(k); err != nil {
			errs = append(errs, fmt.Errorf("a key of %q: %w", at.shown, err))
			continue
		}
		if len(scalar(k)) > maxKey {
			errs = append(errs, fmt.Errorf("a key of %q has %d bytes", at.shown, len(k)))
			continue
		}
		v, err := n.value(here, m[k], depth+1)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		copied[k] = v
	}
	return copied, errors.Join(errs...)
}

func (n *normalizer) value(at place, v any, depth int) (any, error) {
	fail := func(err error) (any, error) { return nil, fmt.Errorf("%s: %w", at.shown, err) }
	if depth > MaxDepth {
		return fail(errTooDeep())
	}
	if n.left--; n.left < 0 {
		return fail(errTooMany())
	}
	switch v := v.(type) {
	case nil, bool, uint64:
		if u, ok := v.(uint64); ok && u <= 1<<63-1 {
			return int64(u), n.shape(at, v)
		}
		return v, n.shape(at, v)
	case int:
		return int64(v), n.shape(at, v)
	case int64:
		return v, n.shape(at, v)
	case float64:
		if err := number(v); err != nil {
			return fail(err)
		}
		return v, n.shape(at, v)
	case string:
		if err := carried(v); err != nil {
			return fail(err)
		}
		if names, ok := wordList(at, v); ok {
			return names, nil
		}
		return v, n.shape(at, v)
	case map[string]any:
		m, err := n.mapping(at, v, depth)
		if err != nil {
			return nil, err
		}
		if len(m) == 1 && at.pattern == "groups.*" {
			for name, members := range m {
				if members == nil {
					return name, nil // a group without members; merging would take the null away, and the name with it
				}
			}
		}
		return m, n.shape(at, m)
	case []any:
		l := make([]any, 0, len(v))
		for i, e := range v {
			e, err := n.value(at.entry(fmt.Sprint(i)), e, depth+1)
			if err != nil {
				return nil, err
			}
			l = append(l, e)
		}
		return l, nil
	}
	return fail(fmt.Errorf("a value of Go's type %T", v))
}

// wordList turns what cloud-init takes as one string or as a list into the list.
func wordList(at place, s string) ([]any, bool) {
	var words []string
	switch at.pattern {
	case "users.*.groups", "groups":
		words = strings.Split(s, ",")
	case "users":
		words = []string{s}
	default:
		return nil, false
	}
	list := []any{}
	for _, w := range words {
		if w = strings.TrimSpace(w); w != "" {
			list = append(list, w)
		}
	}
	return list, true
}

// shape refuses what could not be merged, and would fail on the server where nobody sees it.
func (n *normalizer) shape(at place, v any) error {
	wrong := func(what string) error { return fmt.Errorf("%s: %s", at.shown, what) }
	switch at.pattern {
	case "users", "groups", "write_files", "packages", "bootcmd", "runcmd", "mounts":
		if v != nil {
			return wrong("it must be a list")
		}
	case "users.*":
		m, isMap := v.(map[string]any)
		if _, named := m["name"].(string); isMap && !named {
			return wrong("a user needs a name")
		}
		if _, ok := byName(v); !ok {
			return wrong("a user needs a name")
		}
	case "write_files.*":
		m, _ := v.(map[string]any)
		if p, _ := m["path"].(string); !strings.HasPrefix(p, "/") {
			return wrong("a file needs an absolute path")
		}
	case "runcmd.*", "bootcmd.*":
		if _, ok := v.(string); !ok && v != nil {
			return wrong("a command must be a string or a list of strings")
		}
	}
	return nil
}
