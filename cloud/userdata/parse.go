package userdata

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// ParseConfig reads a cloud-config document as cloud-init would: plain yes, no, on and off are booleans; aliases are copies of what
// their anchor holds, and merge keys bring in other mappings. Of tags it takes those of YAML's own scalars and !!binary,
// whose bytes must be text, except for the content of a file. Keys that repeat and keys that are not scalars are faults; so is a
// document that is not a mapping. What merge_how and merge_type say is left out: documents are merged by the rules of this package.
// Errors have the line and column.
func ParseConfig(b []byte) (map[string]any, error) {
	v, body, err := parseDocument(b)
	if err != nil || v == nil {
		return map[string]any{}, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fault(body, "the document must be a mapping")
	}
	fileContents(m)
	if err := textOnly(m); err != nil {
		return nil, err
	}
	delete(m, "merge_how")
	delete(m, "merge_type")
	return m, nil
}

// parseDocument reads one document; nil where it is empty. What !!binary gives and is not text is a blob.
func parseDocument(b []byte) (any, ast.Node, error) {
	if len(b) > MaxInput {
		return nil, nil, fmt.Errorf("it has %d bytes, %d are allowed", len(b), MaxInput)
	}
	tokens := lexer.Tokenize(string(b))
	if err := bound(tokens); err != nil {
		return nil, nil, err
	}
	file, err := parse(tokens)
	if err != nil {
		return nil, nil, err
	}
	var body ast.Node
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return nil, nil, fault(d.Body, "a second document")
		}
		body = d.Body
	}
	if body == nil || body.Type() == ast.NullType {
		return nil, nil, nil
	}
	r := reader{left: MaxValues, text: 2 * MaxInput, anchors: map[string]ast.Node{}, within: map[string]bool{}}
	v, err := r.value(body, 0)
	return v, body, err
}

// bound refuses, before anything recurses, what would recurse deeply: the parser itself has no limit.
func bound(tokens token.Tokens) error {
	flow, line, entries := 0, 0, 0
	marks := 0 // anchors and tags with nothing else since: each is a level of its own
	for _, t := range tokens {
		at := func(what string) error {
			return fmt.Errorf("%d:%d: %s", t.Position.Line, t.Position.Column, what)
		}
		if t.Type == token.StringType && t.Prev != nil && t.Prev.Type == token.AnchorType {
			// the name of an anchor
		} else if t.Type != token.AnchorType && t.Type != token.TagType {
			marks = 0
		}
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			entries++
			// Each level of block style is at least one column further right.
			if t.Position.Column > 16*MaxDepth && flow == 0 {
				return at(errTooDeep().Error())
			}
		case token.AnchorType, token.TagType:
			entries++
			if marks++; marks > MaxDepth {
				return at(errTooDeep().Error())
			}
		case token.DirectiveType:
			return at("directives are not taken")
		case token.InvalidType:
			return at("no YAML: " + t.Error)
		}
		if flow > MaxDepth || entries > MaxDepth && flow == 0 {
			return at(errTooDeep().Error())
		}
	}
	return nil
}

// parse is the library's, whose panics over malformed input are errors here.
func parse(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, errors.New("no YAML")
		}
	}()
	file, err = parser.Parse(tokens, 0)
	if err != nil {
		// The library draws a picture of the place; one line of it says what and where.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, errors.New(regexp.MustCompile(`^\[(\d+:\d+)\] `).ReplaceAllString(first, "$1: "))
	}
	return file, nil
}

// fault is an error with the place of n.
func fault(n ast.Node, format string, args ...any) error {
	line, column := 1, 1
	if t := n.GetToken(); t != nil && t.Position != nil {
		line, column = t.Position.Line, t.Position.Column
	}
	return fmt.Errorf("%d:%d: %s", line, column, fmt.Sprintf(format, args...))
}

type reader struct {
	left    int                 // values that may still come, those of aliases included
	text    int                 // bytes of text, likewise
	anchors map[string]ast.Node // by name; a name that is given again is the later node from there on
	within  map[string]bool     // anchors whose content is being read: an alias of one would have no end
}

func (r *reader) value(n ast.Node, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fault(n, "%v", errTooDeep())
	}
	if r.left--; r.left < 0 {
		return nil, fault(n, "%v", errTooMany())
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.mapping(n.Values, depth)
	case *ast.MappingValueNode:
		return r.mapping([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for _, e := range n.Values {
			v, err := r.value(e, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case *ast.StringNode:
		if n.Token.Type == token.StringType {
			if b, ok := bool11(n.Value); ok {
				return b, nil
			}
		}
		return r.string(n, n.Value)
	case *ast.LiteralNode:
		return r.string(n, n.Value.Value)
	case *ast.AnchorNode:
		return r.anchor(n, depth)
	case *ast.AliasNode:
		return r.alias(n, depth)
	case *ast.TagNode:
		return r.tag(n, depth)
	case *ast.IntegerNode:
		return n.Value, nil
	case *ast.FloatNode:
		return n.Value, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.NullNode:
		return nil, nil
	case nil:
		return nil, nil
	}
	return nil, fault(n, "a %s is not taken", strings.ToLower(n.Type().String()))
}

func (r *reader) mapping(values []*ast.MappingValueNode, depth int) (any, error) {
	m := make(map[string]any, len(values))
	var merged []map[string]any // by merge keys: what the mapping itself says wins, then the first of them
	for _, e := range values {
		if _, ok := e.Key.(*ast.MergeKeyNode); ok {
			more, err := r.merge(e.Value, depth)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		key, err := r.key(e.Key)
		if err != nil {
			return nil, err
		}
		if _, twice := m[key]; twice {
			return nil, fault(e.Key, "%q stands there twice", key)
		}
		if m[key], err = r.value(e.Value, depth+1); err != nil {
			return nil, err
		}
	}
	for _, other := range merged {
		for k, v := range other {
			if _, own := m[k]; !own {
				m[k] = v
			}
		}
	}
	return m, nil
}

func (r *reader) key(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return r.string(n, n.Value)
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
		return n.GetToken().Value, nil
	case *ast.AnchorNode:
		r.anchors[n.Name.GetToken().Value] = n.Value
		return r.key(n.Value)
	case *ast.AliasNode:
		if to := r.anchors[n.Value.GetToken().Value]; to != nil {
			if word, ok := written(to); ok {
				return r.string(n, word)
			}
		}
	}
	return "", fault(n, "a key must be a word")
}

// string counts a text that is carried over.
func (r *reader) string(n ast.Node, s string) (string, error) {
	if r.text -= len(s); r.text < 0 {
		return "", fault(n, "with what its aliases repeat the document has more than %d bytes", 2*MaxInput)
	}
	return text(n, s)
}

// text refuses what YAML cannot carry to the server as it is.
func text(n ast.Node, s string) (string, error) {
	if err := carried(s); err != nil {
		return "", fault(n, "%v", err)
	}
	return s, nil
}

// bool11 is a plain word as YAML 1.1 reads it.
func bool11(s string) (value, ok bool) {
	switch s {
	case "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE":
		return true, true
	case "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE":
		return false, true
	}
	return false, false
}
