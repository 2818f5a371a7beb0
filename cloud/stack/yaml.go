package stack

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a stack file.
const (
	MaxFile   = 1 << 20 // bytes
	maxTokens = 60_000  // the parser's time grows with the square of the keys of one mapping: a second for this many
	maxValues = 50_000  // with what aliases repeat
	maxDepth  = 32      // mappings and lists inside one another
)

// document reads the file's one document; nil where it has a fault that leaves nothing to look at.
func (r *reader) document(b []byte) *node {
	top := Position{1, 1}
	if len(b) > MaxFile {
		r.wrong(top, "", "", "the file has %d bytes, %d are allowed", len(b), MaxFile)
		return nil
	}
	if at, ok := undecodable(b); !ok {
		r.wrong(at, "", "save it as UTF-8 without control characters", "this is no text")
		return nil
	}
	file := r.syntax(string(b))
	if file == nil {
		return nil
	}
	var body ast.Node
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.NullType {
			continue
		}
		if body != nil {
			r.wrong(place(d.Body), "", "a stack has a file of its own", "there is a second document")
			continue
		}
		body = d.Body
	}
	if body == nil {
		r.wrong(top, "", "griddle cloud init writes one", "the file is empty")
		return nil
	}
	t := tree{reader: r, anchors: map[string]*node{}}
	n := t.node(body, "", 0)
	if t.weight > maxValues {
		r.wrong(top, "", "", "the file has more than %d values", maxValues)
		return nil
	}
	return n
}

// undecodable finds the first byte that no YAML file has.
func undecodable(b []byte) (Position, bool) {
	at := Position{1, 1}
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n == 1 || c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f || c == 0xfeff && at != (Position{1, 1}) {
			return at, false
		}
		if at.Column++; c == '\n' {
			at = Position{at.Line + 1, 1}
		}
		b = b[n:]
	}
	return Position{}, true
}

// syntax parses within bounds. The library stops at the first fault of syntax, and must not stop the program.
func (r *reader) syntax(s string) (file *ast.File) {
	last := Position{1, 1}
	defer func() {
		if recover() != nil {
			r.wrong(last, "", "", "this is no YAML")
			file = nil
		}
	}()
	tokens := lexer.Tokenize(s)
	if at, text := unbounded(tokens); text != "" {
		r.wrong(at, "", "", "%s", text)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		text := err.Error()
		var e yaml.Error
		if errors.As(err, &e) {
			text = e.GetMessage()
			if t := e.GetToken(); t != nil && t.Position != nil {
				last = Position{max(1, t.Position.Line), max(1, t.Position.Column)}
			}
		}
		r.wrong(last, "", "", "this is no YAML: %s", text)
		return nil
	}
	return file
}

// unbounded finds what would have the parser recurse deeply or take long, before it does.
func unbounded(tokens token.Tokens) (Position, string) {
	count, flow := 0, 0
	var columns []int // where the levels of block style that are open begin
	for _, t := range tokens {
		at := Position{t.Position.Line, max(1, t.Position.Column)}
		if t.Type == token.CommentType {
			continue
		}
		if count++; count > maxTokens {
			return at, fmt.Sprintf("the file has more than %d words and signs", maxTokens)
		}
		start := t.Position.Column
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.MappingValueType:
			if t.Prev != nil && t.Prev.Position.Line == t.Position.Line {
				start = t.Prev.Position.Column
			}
			fallthrough
		case token.SequenceEntryType, token.MappingKeyType:
			for len(columns) > 0 && columns[len(columns)-1] > start {
				columns = columns[:len(columns)-1]
			}
			if len(columns) == 0 || columns[len(columns)-1] < start {
				columns = append(columns, start)
			}
		}
		if flow+len(columns) > 2*maxDepth {
			return at, tooDeep()
		}
	}
	return Position{}, ""
}

func tooDeep() string {
	return fmt.Sprintf("more than %d mappings and lists are inside one another", maxDepth)
}

// tree makes nodes of the library's syntax tree. Each anchor is read once, and its node is shared by its aliases, so
// that what they repeat is counted and never copied.
type tree struct {
	*reader
	anchors map[string]*node // nil while it is being read
	weight  int
}

func (t *tree) node(a ast.Node, path string, depth int) *node {
	n := &node{at: place(a), weight: 1}
	if depth > maxDepth {
		n.kind = kindBroken
		t.wrong(n.at, path, "", "%s", tooDeep())
		return n
	}
	switch a := a.(type) {
	case nil, *ast.NullNode:
	case *ast.MappingNode:
		t.mapping(n, a.Values, path, depth)
	case *ast.MappingValueNode:
		t.mapping(n, []*ast.MappingValueNode{a}, path, depth)
	case *ast.SequenceNode:
		n.kind = kindList
		for i, v := range a.Values {
			one := t.node(v, item(path, i), depth+1)
			n.items = append(n.items, one)
			n.weight += one.weight
		}
	case *ast.AnchorNode:
		name := text(a.Name)
		if _, ok := t.anchors[name]; ok {
			t.wrong(n.at, path, "", "the anchor &%s is there already", name)
		}
		t.anchors[name] = nil
		n = t.node(a.Value, path, depth)
		t.anchors[name] = n
		return n
	case *ast.AliasNode:
		name := text(a.Value)
		to, ok := t.anchors[name]
		switch {
		case !ok:
			n.kind = kindBroken
			t.wrong(n.at, path, "", "the anchor &%s is not there, or only below", name)
		case to == nil:
			n.kind = kindBroken
			t.wrong(n.at, path, "", "the anchor &%s is inside itself", name)
		case depth+to.depth() > maxDepth:
			n.kind = kindBroken
			t.wrong(n.at, path, "", "%s", tooDeep())
		default:
			if t.weight += to.weight; t.weight > maxValues {
				n.kind = kindBroken
				return n
			}
			return to
		}
	case *ast.TagNode:
		n.kind = kindBroken
		t.wrong(n.at, path, "put text in quotes", "tags such as %s are not taken", short(a.Start.Value))
	default:
		t.scalar(n, a, path)
	}
	t.weight++
	return n
}

// depth is how many levels are below the node.
func (n *node) depth() int {
	most := 0
	for _, e := range n.keys {
		most = max(most, 1+e.value.depth())
	}
	for _, v := range n.items {
		most = max(most, 1+v.depth())
	}
	return most
}

func (t *tree) mapping(n *node, values []*ast.MappingValueNode, path string, depth int) {
	n.kind = kindMapping
	seen := map[string]Position{}
	for _, v := range values {
		at := place(v.Key)
		var name string
		switch key := v.Key.(type) {
		case *ast.MergeKeyNode:
			t.wrong(at, path, "profiles with inherits do this", "merge keys (<<) are not taken")
			continue
		case ast.ScalarNode:
			name = text(key)
		case *ast.MappingKeyNode:
			if _, ok := key.Value.(ast.ScalarNode); !ok {
				t.wrong(at, path, "", "a key must be one word")
				continue
			}
			name = text(key.Value)
		default:
			t.wrong(at, path, "", "a key must be one word")
			continue
		}
		if first, ok := seen[name]; ok {
			t.wrong(at, below(path, name), "", "this key is there already, on line %d", first.Line)
			continue
		}
		seen[name] = at
		value := t.node(v.Value, below(path, name), depth+1)
		if value.kind == kindNull && value.raw == "" {
			value.at = at // nothing is written where the value would be
		}
		n.keys = append(n.keys, entry{name, at, value})
		n.weight += value.weight + 1
	}
}

func (t *tree) scalar(n *node, a ast.Node, path string) {
	n.raw = text(a)
	switch a := a.(type) {
	case *ast.StringNode:
		n.kind, n.value = kindText, a.Value
	case *ast.LiteralNode:
		n.kind, n.value = kindText, a.Value.Value
	case *ast.BoolNode:
		n.kind, n.value = kindBool, a.Value
	case *ast.IntegerNode:
		n.kind, n.value = kindInt, a.Value
	case *ast.FloatNode:
		n.kind, n.value = kindFloat, a.Value
		if math.IsInf(a.Value, 0) {
			t.wrong(n.at, path, "", "the number is too large")
		}
	case *ast.InfinityNode, *ast.NanNode:
		n.kind = kindBroken
		t.wrong(n.at, path, "put text in quotes", "%s is no number that is taken here", n.raw)
	default:
		n.kind = kindBroken
		t.wrong(n.at, path, "", "this is no value")
	}
}

// text is a scalar as it stands in the file, without quotes.
func text(a ast.Node) string {
	if a == nil || a.GetToken() == nil {
		return ""
	}
	return a.GetToken().Value
}

// place is where a node begins.
func place(a ast.Node) Position {
	switch n := a.(type) {
	case nil:
		return Position{1, 1}
	case *ast.MappingValueNode:
		return place(n.Key)
	case *ast.MappingNode:
		// The token of a mapping in block style is its first colon.
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return place(n.Values[0].Key)
		}
	}
	t := a.GetToken()
	if t == nil || t.Position == nil {
		return Position{1, 1}
	}
	return Position{max(1, t.Position.Line), max(1, t.Position.Column)}
}
