package definition

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// node is a value with the place where it stands.
type node struct {
	at   Place
	kind kind
	text string // of scalars: as it is written, quotes and escapes undone
	keys []string
	vals map[string]*node
	list []*node
}

type kind int

const (
	null kind = iota
	text
	number
	boolean
	mapping
	list
)

func (k kind) String() string {
	return [...]string{"nothing", "a text", "a number", "true or false", "a mapping", "a list"}[k]
}

func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	return n.vals[key]
}

func (n *node) set(key string, v *node) {
	if n.vals == nil {
		n.vals = map[string]*node{}
	}
	if _, ok := n.vals[key]; !ok {
		n.keys = append(n.keys, key)
	}
	n.vals[key] = v
}

func (n *node) remove(key string) {
	delete(n.vals, key)
	for i, k := range n.keys {
		if k == key {
			n.keys = append(n.keys[:i:i], n.keys[i+1:]...)
			return
		}
	}
}

// clone is a copy of mappings; what is in them is never changed, only replaced.
func (n *node) clone() *node {
	if n == nil || n.kind != mapping {
		return n
	}
	c := &node{at: n.at, kind: n.kind}
	for _, k := range n.keys {
		c.set(k, n.vals[k].clone())
	}
	return c
}

// parse reads one YAML file, which must be a mapping.
func parse(file string, b []byte, f *faults) *node {
	if len(b) > maxFile {
		f.add(Place{file, 1, 1}, "the file has %d bytes, %d are allowed", len(b), maxFile)
		return nil
	}
	r := reader{file: file, faults: f, left: maxValues}
	tokens := lexer.Tokenize(string(b))
	if !r.bounded(tokens) {
		return nil
	}
	tree, err := parseTokens(tokens)
	if err != nil {
		what, _, _ := strings.Cut(err.Error(), "\n") // a picture of the place follows
		at := Place{file, 1, 1}
		if place, rest, ok := strings.Cut(what, "] "); ok {
			if n, _ := fmt.Sscanf(place, "[%d:%d", &at.Line, &at.Column); n == 2 {
				what = rest
			}
		}
		f.add(at, "this is no YAML: %s", what)
		return nil
	}
	var body ast.Node
	for _, d := range tree.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			f.add(r.place(d.Body), "a second document in one file")
			return nil
		}
		body = d.Body
	}
	if body == nil {
		f.add(Place{file, 1, 1}, "the file is empty")
		return nil
	}
	n := r.node(body, 0)
	if n != nil && n.kind != mapping {
		f.add(n.at, "a definition is a mapping, not %s", n.kind)
		return nil
	}
	return n
}

// parseTokens has the library's panics over what is no YAML be errors.
func parseTokens(tokens token.Tokens) (tree *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			tree, err = nil, fmt.Errorf("the parser gave up")
		}
	}()
	return parser.Parse(tokens, 0)
}

type reader struct {
	file   string
	faults *faults
	left   int
}

// bounded looks at the tokens before the parser does, which nests without bound and knows what a definition has no use for.
func (r *reader) bounded(tokens token.Tokens) bool {
	depth, line, inLine := 0, 0, 0
	for _, t := range tokens {
		at := Place{r.file, t.Position.Line, t.Position.Column}
		if t.Position.Line != line {
			line, inLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			if inLine++; depth == 0 && (t.Position.Column > 40*maxDepth || inLine > maxDepth) {
				r.faults.add(at, "this is nested too deeply")
				return false
			}
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.DirectiveType:
			r.faults.add(at, "anchors, aliases, tags, merge keys and directives are not taken; use include and profiles")
			return false
		case token.InvalidType:
			r.faults.add(at, "this is no YAML: %s", t.Error)
			return false
		}
		if depth > maxDepth {
			r.faults.add(at, "this is nested too deeply")
			return false
		}
	}
	return true
}

func (r *reader) place(n ast.Node) Place {
	p := Place{r.file, 1, 1}
	if t := n.GetToken(); t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	return p
}

func (r *reader) node(n ast.Node, depth int) *node {
	out := &node{at: r.place(n)}
	if r.left--; r.left < 0 || depth > maxDepth {
		r.faults.add(out.at, "the file has too many values, or nests them too deeply")
		return out
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		out.kind, out.text = text, n.Value
	case *ast.LiteralNode:
		out.kind, out.text = text, n.Value.Value
	case *ast.IntegerNode:
		out.kind, out.text = number, n.Token.Value
	case *ast.BoolNode:
		out.kind, out.text = boolean, fmt.Sprint(n.Value)
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = text, n.GetToken().Value // such as an owner 0:0, or a version
	case *ast.SequenceNode:
		out.kind = list
		for _, v := range n.Values {
			out.list = append(out.list, r.node(v, depth+1))
		}
	case *ast.MappingNode:
		r.pairs(out, n.Values, depth)
	case *ast.MappingValueNode:
		r.pairs(out, []*ast.MappingValueNode{n}, depth)
	default:
		r.faults.add(out.at, "%s has no place here", strings.ToLower(n.Type().String()))
	}
	return out
}

func (r *reader) pairs(out *node, pairs []*ast.MappingValueNode, depth int) {
	out.kind = mapping
	for _, p := range pairs {
		var key string
		switch k := p.Key.(type) {
		case *ast.StringNode:
			key = k.Value
		case *ast.IntegerNode, *ast.BoolNode, *ast.NullNode:
			key = k.GetToken().Value
		default:
			r.faults.add(r.place(p.Key), "a key must be a text")
			continue
		}
		if _, ok := out.vals[key]; ok {
			r.faults.add(r.place(p.Key), "the key %s is there twice", shown(key))
			continue
		}
		v := &node{at: r.place(p.Key)}
		if p.Value != nil {
			v = r.node(p.Value, depth+1)
		}
		if v.kind == mapping || v.kind == list || v.kind == null {
			v.at = r.place(p.Key) // where a person looks for it
		}
		out.set(key, v)
	}
}

// shown is a text from outside in a message.
func shown(s string) string { return fmt.Sprintf("%.80q", s) }
