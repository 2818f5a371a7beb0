package definition

import (
	"fmt"
	"slices"
	"strings"

	"griddle/cloud/yamltree"
)

// contents are the keys by which a file says where its content comes from: one of them takes the place of any other.
var contents = [...]string{"content", "base64", "source", "link", "directory"}

// merger lays one tree over another.
type merger struct {
	prefix    string // of the paths of conflicts
	conflicts []Conflict
}

// over lays add over base and returns base, which it changes. path is where both stand.
func (m *merger) over(base, add *yamltree.Node, path []string) *yamltree.Node {
	if base == nil || base.Kind != yamltree.Mapping || add.Kind != yamltree.Mapping {
		return add
	}
	if len(path) == 2 && path[0] == "files" {
		m.content(base, add, path)
	}
	for _, key := range add.Names() {
		m.key(base, add.Find(key), key, path)
	}
	return base
}

// content takes the content of a file away where add says anew where it comes from.
func (m *merger) content(base, add *yamltree.Node, path []string) {
	i := slices.IndexFunc(contents[:],
		func(k string) bool { return add.Find(k) != nil && add.Find(k).Kind != yamltree.Null })
	if i < 0 {
		return
	}
	for _, k := range contents {
		if old := base.Find(k); old != nil && add.Find(k) == nil {
			m.note(append(slices.Clone(path), k), old, add.Find(contents[i]))
			remove(base, k)
		}
	}
}

// key lays one value over what base has under its key.
func (m *merger) key(base, v *yamltree.Node, key string, path []string) {
	name, more := strings.CutSuffix(key, "+")
	at := append(slices.Clone(path), name)
	old := base.Find(name)
	switch {
	case more && v.Kind != yamltree.List: // what reads it says that this is none
		set(base, key, v)
	case more && old != nil && old.Kind == yamltree.List:
		set(base, name, behind(old, v))
	case more && deferred(path):
		if waiting := base.Find(key); waiting != nil && waiting.Kind == yamltree.List {
			v = behind(waiting, v)
		}
		set(base, key, v)
	case more:
		set(base, name, v)
	case v.Kind == yamltree.Null && deferred(path):
		if old != nil && old.Kind != yamltree.Null {
			m.note(at, old, v)
		}
		remove(base, name+"+")
		set(base, name, v)
	case v.Kind == yamltree.Null:
		if old != nil {
			m.note(at, old, v)
		}
		remove(base, name)
	case v.Kind == yamltree.Mapping && (old == nil || old.Kind == yamltree.Null):
		set(base, name, m.over(&yamltree.Node{At: v.At, Kind: yamltree.Mapping}, v, at))
	case v.Kind == yamltree.Mapping && old.Kind == yamltree.Mapping:
		set(base, name, m.over(old, v, at))
	default:
		if old != nil && old.Kind != yamltree.Null && !same(old, v) {
			m.note(at, old, v)
		}
		remove(base, name+"+")
		set(base, name, v)
	}
}

// deferred says that what stands here is laid over the whole only later: a "+" or a null in it must not be lost before.
func deferred(path []string) bool {
	return len(path) > 1 && (path[0] == "profiles" || path[0] == "outputs")
}

func behind(old, more *yamltree.Node) *yamltree.Node {
	return &yamltree.Node{At: more.At, Kind: yamltree.List, Items: append(slices.Clone(old.Items), more.Items...)}
}

func (m *merger) note(path []string, old, new *yamltree.Node) {
	m.conflicts = append(m.conflicts,
		Conflict{Path: m.prefix + strings.Join(path, "."), Old: told(old), New: told(new), OldAt: old.At,
			NewAt: new.At})
}

func same(a, b *yamltree.Node) bool {
	if a.Kind != b.Kind || a.Raw != b.Raw || len(a.Items) != len(b.Items) || len(a.Keys) != len(b.Keys) {
		return false
	}
	for i := range a.Items {
		if !same(a.Items[i], b.Items[i]) {
			return false
		}
	}
	for _, k := range a.Names() {
		if b.Find(k) == nil || !same(a.Find(k), b.Find(k)) {
			return false
		}
	}
	return true
}

// told is a value in a few words.
func told(n *yamltree.Node) string {
	switch n.Kind {
	case yamltree.Text:
		if len(n.Raw) > 60 {
			return fmt.Sprintf("%d bytes", len(n.Raw))
		}
		return fmt.Sprintf("%q", n.Raw)
	case yamltree.Mapping:
		return "a mapping"
	case yamltree.Int, yamltree.Bool:
		return fmt.Sprintf("%.60s", n.Raw)
	case yamltree.List:
		var words []string
		for _, v := range n.Items {
			words = append(words, told(v))
		}
		if s := "[" + strings.Join(words, " ") + "]"; len(s) <= 80 {
			return s
		}
		return fmt.Sprintf("a list of %d", len(n.Items))
	}
	return n.Is()
}
