package config

import (
	"reflect"
	"strings"

	"griddle/cloud/yamltree"
)

// keys are those of Config, with those of the structs in it: "dhcp", "dhcp.mode".
func keys() []string { return keysOf(reflect.TypeFor[Config](), "") }

// ownKeys are the keys of a struct without those of the structs in it.
func ownKeys(t reflect.Type) (out []string) {
	for _, k := range keysOf(t, "") {
		if !strings.Contains(k, ".") {
			out = append(out, k)
		}
	}
	return out
}

// fieldOf is the field of a struct that has a key of its own.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == key && key != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// keysOf lists the keys of a configuration struct with those of the structs in it: "dhcp", "dhcp.mode". It is empty
// for a type that is a value.
func keysOf(t reflect.Type, prefix string) []string {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("yaml")
		if key == "" {
			continue
		}
		out = append(out, prefix+key)
		out = append(out, keysOf(t.Field(i).Type, prefix+key+".")...)
	}
	return out
}

// nearest is "did you mean KEY?" where a key is near enough: by spelling, or the same key at another place.
func nearest(prefix, key string) string {
	best, bestAt := "", len(key)/3+2
	for _, known := range keysOf(reflect.TypeFor[Config](), "") {
		last := known[strings.LastIndex(known, ".")+1:]
		d := yamltree.Typos(prefix+key, known)
		if e := yamltree.Typos(key, last) + 1; strings.TrimSuffix(known, last) != prefix && e < d {
			d = e
		} else if strings.TrimSuffix(known, last) == prefix {
			d = min(d, yamltree.Typos(key, last))
		}
		if d < bestAt {
			best, bestAt = known, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}
