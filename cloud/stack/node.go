package stack

import "fmt"

// kind is what a value in the file is.
type kind int

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindFloat
	kindText
	kindList
	kindMapping
	kindBroken // it has its fault already
)

// node is a value with its place. Nodes that an alias repeats are shared, and never changed.
type node struct {
	kind   kind
	at     Position
	raw    string // of a scalar, as the file spells it
	value  any    // of a scalar: nil, bool, int64, uint64, float64 or string
	keys   []entry
	items  []*node
	weight int // values in it, itself too, with what aliases repeat
}

// entry is one key of a mapping and its value.
type entry struct {
	name  string
	at    Position
	value *node
}

// is says what a node is, for people.
func (n *node) is() string {
	switch n.kind {
	case kindNull:
		return "nothing"
	case kindBool, kindInt, kindFloat:
		return n.raw
	case kindText:
		return "text"
	case kindList:
		return "a list"
	}
	return "a mapping of keys"
}

// find returns the value of a key, or nil.
func (n *node) find(key string) *node {
	for _, e := range n.keys {
		if e.name == key {
			return e.value
		}
	}
	return nil
}

// plain is the node as Part.Config has it.
func (n *node) plain() any {
	switch n.kind {
	case kindList:
		out := make([]any, len(n.items))
		for i, v := range n.items {
			out[i] = v.plain()
		}
		return out
	case kindMapping:
		out := make(map[string]any, len(n.keys))
		for _, e := range n.keys {
			out[e.name] = e.value.plain()
		}
		return out
	}
	return n.value
}

// texts calls f with each text in the node and where it starts.
func (n *node) texts(f func(at Position, s string)) {
	if n.kind == kindText {
		f(n.at, n.value.(string))
	}
	for _, e := range n.keys {
		e.value.texts(f)
	}
	for _, v := range n.items {
		v.texts(f)
	}
}

// below is the path of a key.
func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// item is the path of an entry of a list.
func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
