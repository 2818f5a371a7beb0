package userdata

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// ParseConfig reads a cloud-config document as cloud-init would: plain yes, no, on and off are booleans. Anchors,
// aliases, tags, merge keys, keys that repeat and keys that are no scalars are faults; so is a document that is no mapping.
// Errors have the line and column.
func ParseConfig(b []byte) (map[string]any, error) {
	if len(b) > MaxInput {
		return nil, fmt.Errorf("it has %d bytes, %d are allowed", len(b), MaxInput)
	}
	tokens := lexer.Tokenize(string(b))
	if err := bound(tokens); err != nil {
		return nil, err
	}
	file, err := parse(tokens)
	if err != nil {
		return nil, err
	}
	var body ast.Node
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return nil, fault(d.Body, "a second document")
		}
		body = d.Body
	}
	if body == nil || body.Type() == ast.NullType {
		return map[string]any{}, nil
	}
	r := reader{left: MaxValues}
	v, err := r.value(body, 0)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fault(body, "the document must be a mapping")
	}
	return m, nil
}

// bound refuses, before anything recurses, what would recurse deeply: the parser itself has no limit.
func bound(tokens token.Tokens) error {
	flow, line, entries := 0, 0, 0
	for _, t := range tokens {
		at := func(what string) error {
			return fmt.Errorf("%d:%d: %s", t.Position.Line, t.Position.Column, what)
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
		case token.AnchorType, token.AliasType:
			return at("anchors and aliases are not taken")
		case token.TagType:
			return at("tags are not taken")
		case token.MergeKeyType:
			return at("merge keys are not taken")
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
		return nil, errors.New(first)
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

type reader struct{ left int }

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
		return text(n, n.Value)
	case *ast.LiteralNode:
		return text(n, n.Value.Value)
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
	for _, e := range values {
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
	return m, nil
}

func (r *reader) key(n ast.MapKeyNode) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		s, err := text(n, n.Value)
		return s, err
	case *ast.IntegerNode, *ast.BoolNode, *ast.FloatNode:
		return n.GetToken().Value, nil
	}
	return "", fault(n, "a key must be a word")
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
