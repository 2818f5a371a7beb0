package config

import (
	"reflect"
	"slices"
	"testing"
)

// Every key is either taken at a reload or said to need a restart, and what needs one keeps its old value.
func TestChanges(t *testing.T) {
	old := Default()
	c := Config{}
	changed, later := Changes(old, &c)
	var all []string
	for _, key := range keys() {
		was, is := valueOf(reflect.ValueOf(&old).Elem(), key), valueOf(reflect.ValueOf(&c).Elem(), key)
		if len(keysOf(was.Type(), "")) > 0 {
			continue
		}
		if slices.Contains(later, key) && !same(was, is) {
			t.Errorf("%s needs a restart, and is %v, not %v", key, is, was)
		}
		if !same(was, reflect.Zero(was.Type())) {
			all = append(all, key)
		}
	}
	got := append(slices.Clone(changed), later...)
	slices.Sort(got)
	slices.Sort(all)
	if !slices.Equal(got, all) {
		t.Errorf("changed and later are %q, want %q", got, all)
	}
	for _, key := range reloadKeys() {
		if !slices.Contains(keys(), key) {
			t.Errorf("%s is not a key", key)
		}
	}
	same := Default()
	if changed, later := Changes(old, &same); len(changed) > 0 || len(later) > 0 {
		t.Errorf("nothing changed, and %q and %q did", changed, later)
	}
}
