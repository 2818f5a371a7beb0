package definition

import (
	"slices"

	"griddle/cloud/yamltree"
)

// parse reads one YAML file, which must be a mapping.
func (l *loader) parse(file string, b []byte) *yamltree.Node {
	r := yamltree.NewReader(file)
	n := r.Read(b, yamltree.Options{Bytes: maxFile, Depth: maxDepth, Instead: "use include and profiles"})
	switch {
	case n == nil:
	case n.Kind == yamltree.Null:
		r.Wrong(n.At, "", "", "the file is empty")
	case r.Want(n, "", yamltree.Mapping, "a mapping of keys"):
		settle(n)
	}
	l.faults = append(l.faults, r.Faults()...)
	if n == nil || n.Kind != yamltree.Mapping {
		return nil
	}
	return n
}

// settle gives mappings, lists and nothing the place of their key, where a person looks for them, and makes numbers
// that are not whole text: versions and owners look like them.
func settle(n *yamltree.Node) {
	if n.Kind == yamltree.Float {
		n.Kind, n.Value = yamltree.Text, n.Raw
	}
	for _, e := range n.Keys {
		settle(e.Value)
		if k := e.Value.Kind; k == yamltree.Mapping || k == yamltree.List || k == yamltree.Null {
			e.Value.At = e.At
		}
	}
	for _, v := range n.Items {
		settle(v)
	}
}

// set gives a key another value, or adds it at the end.
func set(n *yamltree.Node, key string, v *yamltree.Node) {
	for i := range n.Keys {
		if n.Keys[i].Name == key {
			n.Keys[i].Value = v
			return
		}
	}
	n.Keys = append(n.Keys, yamltree.Entry{Name: key, At: v.At, Value: v})
}

func remove(n *yamltree.Node, key string) {
	n.Keys = slices.DeleteFunc(n.Keys, func(e yamltree.Entry) bool { return e.Name == key })
}

// clone is a copy of mappings; what is in them is never changed, only replaced.
func clone(n *yamltree.Node) *yamltree.Node {
	if n == nil || n.Kind != yamltree.Mapping {
		return n
	}
	c := &yamltree.Node{At: n.At, Kind: n.Kind}
	for _, e := range n.Keys {
		c.Keys = append(c.Keys, yamltree.Entry{Name: e.Name, At: e.At, Value: clone(e.Value)})
	}
	return c
}
