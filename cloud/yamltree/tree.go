package yamltree

import (
	"math"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// tree makes nodes of the library's syntax tree. Each anchor is read once, and its node is shared by its aliases, so
// that what they repeat is counted and never copied.
type tree struct {
	*Reader
	options Options
	anchors map[string]*Node // nil while it is being read
	weight  int
}

func (t *tree) node(a ast.Node, path string, depth int) *Node {
	n := &Node{At: t.place(a), weight: 1}
	if depth > t.options.depth() {
		t.broken(n, path, "", "%s", tooDeep(t.options.depth()))
		return n
	}
	switch a := a.(type) {
	case nil:
	case *ast.NullNode:
		if a.Token.Type == token.NullType {
			n.Raw = text(a) // it is written: null, ~
		}
	case *ast.MappingNode:
		t.mapping(n, a.Values, path, depth)
	case *ast.MappingValueNode:
		t.mapping(n, []*ast.MappingValueNode{a}, path, depth)
	case *ast.SequenceNode:
		n.Kind = List
		for i, v := range a.Values {
			n.Items = append(n.Items, n.holds(t.node(v, Item(path, i), depth+1)))
		}
	case *ast.AnchorNode:
		return t.anchor(a, path, depth)
	case *ast.AliasNode:
		return t.alias(n, a, path, depth)
	case *ast.TagNode:
		return t.tagged(n, a, path, depth)
	default:
		t.scalar(n, a, path)
	}
	t.weight++
	return n
}

// holds counts what is in n, and returns it.
func (n *Node) holds(v *Node) *Node {
	n.weight += v.weight
	n.levels = max(n.levels, 1+v.levels)
	return v
}

func (t *tree) broken(n *Node, path, hint, format string, args ...any) {
	n.Kind = Broken
	t.Wrong(n.At, path, hint, format, args...)
}

// anchor reads what an anchor names.
func (t *tree) anchor(a *ast.AnchorNode, path string, depth int) *Node {
	at := t.place(a)
	if !t.options.Aliases && !t.options.All {
		n := &Node{At: at, weight: 1}
		t.broken(n, path, t.options.Instead, "anchors (&) and aliases (*) are not allowed")
		return n
	}
	name := text(a.Name)
	before, again := t.anchors[name]
	if again && !t.options.All {
		t.Wrong(at, path, "", "the anchor &%s is already defined", name)
	}
	t.anchors[name] = nil
	n := t.node(a.Value, path, depth)
	if t.anchors[name] = n; again && before == nil {
		t.anchors[name] = nil // it is inside another one of its name
	}
	return n
}

// alias returns what the anchor of an alias holds.
func (t *tree) alias(n *Node, a *ast.AliasNode, path string, depth int) *Node {
	if !t.options.Aliases && !t.options.All {
		t.broken(n, path, t.options.Instead, "anchors (&) and aliases (*) are not allowed")
		return n
	}
	name := text(a.Value)
	to, ok := t.anchors[name]
	switch {
	case !ok:
		t.broken(n, path, "", "the anchor &%s is not defined before here", name)
	case to == nil:
		t.broken(n, path, "", "the anchor &%s is inside itself", name)
	case depth+to.levels > t.options.depth():
		t.broken(n, path, "", "%s", tooDeep(t.options.depth()))
	default:
		if t.weight += to.weight; t.weight > MaxValues {
			n.Kind = Broken
			return n
		}
		return to
	}
	return n
}

// tagged reads a value whose type is written before it.
func (t *tree) tagged(n *Node, a *ast.TagNode, path string, depth int) *Node {
	tag := a.Start.Value
	if !t.options.All {
		t.broken(n, path, "put text in quotes", "tags such as %s are not allowed", Short(tag))
		return n
	}
	switch a.Value.(type) {
	case nil, *ast.AliasNode, *ast.TagNode:
		t.broken(n, path, "", "the tag %s is not before a value", Short(tag))
		return n
	}
	v := t.node(a.Value, path, depth)
	if v.Tag != "" {
		t.Wrong(n.At, path, "", "the value has two tags")
	}
	v.Tag, v.At = tag, n.At
	return v
}

func (t *tree) mapping(n *Node, values []*ast.MappingValueNode, path string, depth int) {
	n.Kind = Mapping
	seen := map[string]Place{}
	for _, v := range values {
		e := Entry{At: t.place(v.Key)}
		switch key := v.Key.(type) {
		case *ast.MergeKeyNode:
			if !t.options.All {
				t.Wrong(e.At, path, t.options.Instead, "merge keys (<<) are not allowed")
				continue
			}
			e.Name, e.Merge = text(key), true
		default:
			name, ok := t.key(key)
			if !ok {
				t.Wrong(e.At, path, "", "a key must be one word")
				continue
			}
			if first, ok := seen[name]; ok {
				t.Wrong(e.At, Below(path, name), "", "the key is already defined on line %d", first.Line)
				continue
			}
			seen[name] = e.At
			e.Name = name
		}
		e.Value = n.holds(t.node(v.Value, Below(path, e.Name), depth+1))
		if _, shared := v.Value.(*ast.AliasNode); e.Value.Kind == Null && !shared {
			e.Value.At = e.At // where a person looks for it
		}
		n.Keys = append(n.Keys, e)
		n.weight++
	}
}

// key is the name that a key is.
func (t *tree) key(a ast.Node) (string, bool) {
	switch a := a.(type) {
	case *ast.StringNode:
		return a.Value, true
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
		return text(a), true
	case *ast.AnchorNode:
		if !t.options.All {
			return "", false
		}
		name, ok := t.key(a.Value)
		if ok {
			n := &Node{At: t.place(a.Value), weight: 1}
			t.scalar(n, a.Value, "")
			t.anchors[text(a.Name)] = n
		}
		return name, ok
	case *ast.AliasNode:
		to := t.anchors[text(a.Value)]
		if !t.options.All || to == nil || to.Kind < Bool || to.Kind > Text || to.Tag != "" {
			return "", false
		}
		t.weight++
		return to.Raw, true
	}
	return "", false
}

func (t *tree) scalar(n *Node, a ast.Node, path string) {
	n.Raw = text(a)
	switch a := a.(type) {
	case *ast.StringNode:
		n.Kind, n.Raw, n.Value, n.Plain = Text, a.Value, a.Value, a.Token.Type == token.StringType
	case *ast.LiteralNode:
		n.Kind, n.Raw, n.Value = Text, a.Value.Value, a.Value.Value
	case *ast.BoolNode:
		n.Kind, n.Value = Bool, a.Value
	case *ast.IntegerNode:
		n.Kind, n.Value = Int, a.Value
	case *ast.FloatNode:
		n.Kind, n.Value = Float, a.Value
		if math.IsInf(a.Value, 0) {
			t.Wrong(n.At, path, "", "the number is too large")
		}
	case *ast.InfinityNode, *ast.NanNode:
		t.broken(n, path, "put text in quotes", "%s is not allowed as a number", n.Raw)
	default:
		t.broken(n, path, "", "this is not a value")
	}
}

// text is a scalar as the file has it, without quotes.
func text(a ast.Node) string {
	if a == nil || a.GetToken() == nil {
		return ""
	}
	return a.GetToken().Value
}
