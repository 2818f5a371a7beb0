package definition

import (
	"fmt"
	"slices"
	"strings"
)

// contents are the keys by which a file says where its content comes from: one of them takes the place of any other.
var contents = [...]string{"content", "base64", "source", "link", "directory"}

// merger lays one tree over another.
type merger struct {
	prefix    string // of the paths of conflicts
	conflicts []Conflict
}

// over lays add over base and returns base, which it changes. path is where both stand.
func (m *merger) over(base, add *node, path []string) *node {
	if base == nil || base.kind != mapping || add.kind != mapping {
		return add
	}
	if len(path) == 2 && path[0] == "files" {
		m.content(base, add, path)
	}
	for _, key := range add.keys {
		m.key(base, add.vals[key], key, path)
	}
	return base
}

// content takes the content of a file away where add says anew where it comes from.
func (m *merger) content(base, add *node, path []string) {
	i := slices.IndexFunc(contents[:], func(k string) bool { return add.get(k) != nil && add.get(k).kind != null })
	if i < 0 {
		return
	}
	for _, k := range contents {
		if old := base.get(k); old != nil && add.get(k) == nil {
			m.note(append(slices.Clone(path), k), old, add.get(contents[i]))
			base.remove(k)
		}
	}
}

// key lays one value over what base has under its key.
func (m *merger) key(base, v *node, key string, path []string) {
	name, more := strings.CutSuffix(key, "+")
	at := append(slices.Clone(path), name)
	old := base.get(name)
	switch {
	case more && v.kind != list: // what reads it says that this is none
		base.set(key, v)
	case more && old != nil && old.kind == list:
		base.set(name, behind(old, v))
	case more && waits(path):
		if waiting := base.get(key); waiting != nil && waiting.kind == list {
			v = behind(waiting, v)
		}
		base.set(key, v)
	case more:
		base.set(name, v)
	case v.kind == null && waits(path):
		if old != nil && old.kind != null {
			m.note(at, old, v)
		}
		base.remove(name + "+")
		base.set(name, v)
	case v.kind == null:
		if old != nil {
			m.note(at, old, v)
		}
		base.remove(name)
	case v.kind == mapping && (old == nil || old.kind == null):
		base.set(name, m.over(&node{at: v.at, kind: mapping}, v, at))
	case v.kind == mapping && old.kind == mapping:
		base.set(name, m.over(old, v, at))
	default:
		if old != nil && old.kind != null && !same(old, v) {
			m.note(at, old, v)
		}
		base.remove(name + "+")
		base.set(name, v)
	}
}

// waits says that what stands here is laid over the whole only later: a "+" or a null in it must not be lost before.
func waits(path []string) bool {
	return len(path) > 1 && (path[0] == "profiles" || path[0] == "outputs")
}

func behind(old, more *node) *node {
	return &node{at: more.at, kind: list, list: append(slices.Clone(old.list), more.list...)}
}

func (m *merger) note(path []string, old, new *node) {
	m.conflicts = append(m.conflicts, Conflict{Path: m.prefix + strings.Join(path, "."), Old: told(old), New: told(new), OldAt: old.at, NewAt: new.at})
}

func same(a, b *node) bool {
	if a.kind != b.kind || a.text != b.text || len(a.list) != len(b.list) || len(a.keys) != len(b.keys) {
		return false
	}
	for i := range a.list {
		if !same(a.list[i], b.list[i]) {
			return false
		}
	}
	for _, k := range a.keys {
		if b.vals[k] == nil || !same(a.vals[k], b.vals[k]) {
			return false
		}
	}
	return true
}

// told is a value in a few words.
func told(n *node) string {
	switch n.kind {
	case text:
		if len(n.text) > 60 {
			return fmt.Sprintf("%d bytes", len(n.text))
		}
		return fmt.Sprintf("%q", n.text)
	case number, boolean:
		return fmt.Sprintf("%.60s", n.text)
	case list:
		var words []string
		for _, v := range n.list {
			words = append(words, told(v))
		}
		if s := "[" + strings.Join(words, " ") + "]"; len(s) <= 80 {
			return s
		}
		return fmt.Sprintf("a list of %d", len(n.list))
	}
	return n.kind.String()
}
