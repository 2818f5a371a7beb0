package yamltree

import "fmt"

// Kind is what a value is.
type Kind int

// The kinds. A Broken value has its fault already.
const (
	Null Kind = iota
	Bool
	Int
	Float
	Text
	List
	Mapping
	Broken
)

// Node is a value with its place. Nodes that aliases repeat are shared: change none of a format with aliases.
type Node struct {
	Kind  Kind
	At    Place
	Raw   string // of a scalar, as the file spells it, without quotes
	Value any    // of a scalar: nil, bool, int64, uint64, float64 or string
	Plain bool   // text without quotes, on lines of its own or not
	Tag   string // such as !!str; only with Options.All
	Keys  []Entry
	Items []*Node

	weight int // values in it, itself too, with what aliases repeat
	levels int // mappings and lists inside one another in it, itself not
}

// Entry is one key of a mapping and its value.
type Entry struct {
	Name  string
	At    Place
	Value *Node
	Merge bool // a merge key, <<; only with Options.All
}

// Is says what a node is, for people.
func (n *Node) Is() string {
	switch n.Kind {
	case Null:
		return "nothing"
	case Bool, Int, Float:
		return n.Raw
	case Text:
		return "text"
	case List:
		return "a list"
	}
	return "a mapping of keys"
}

// shown is a scalar in an error: text in quotes, anything else as it is.
func (n *Node) shown() string {
	if n.Kind == Text {
		return Short(n.Raw)
	}
	return n.Raw
}

// Find returns the value of a key; nil if n or the key does not exist.
func (n *Node) Find(key string) *Node {
	if n == nil {
		return nil
	}
	for _, e := range n.Keys {
		if e.Name == key {
			return e.Value
		}
	}
	return nil
}

// Entries are the keys of a mapping with their values; none where n is nil.
func (n *Node) Entries() []Entry {
	if n == nil {
		return nil
	}
	return n.Keys
}

// Names lists the keys of a mapping.
func (n *Node) Names() []string {
	out := make([]string, len(n.Keys))
	for i, e := range n.Keys {
		out[i] = e.Name
	}
	return out
}

// Plainly is the node in Go's own types: map[string]any, []any, string, int64, uint64, float64, bool and nil.
func (n *Node) Plainly() any {
	switch n.Kind {
	case List:
		out := make([]any, len(n.Items))
		for i, v := range n.Items {
			out[i] = v.Plainly()
		}
		return out
	case Mapping:
		out := make(map[string]any, len(n.Keys))
		for _, e := range n.Keys {
			out[e.Name] = e.Value.Plainly()
		}
		return out
	}
	return n.Value
}

// Texts calls f with each text in the node and where it starts.
func (n *Node) Texts(f func(at Place, s string)) {
	if n.Kind == Text {
		f(n.At, n.Value.(string))
	}
	for _, e := range n.Keys {
		e.Value.Texts(f)
	}
	for _, v := range n.Items {
		v.Texts(f)
	}
}

// Below is the path of a key of the mapping at path.
func Below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Item is the path of an entry of the list at path.
func Item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
