package setup

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxAnswers bounds a file of answers, in bytes.
const maxAnswers = 8 << 10

// ParseAnswers reads a file of answers: a mapping of the keys of Question to text or numbers. Every fault is listed, as
// FILE:LINE:COLUMN: what is wrong.
func ParseAnswers(file string, b []byte) (answers map[string]string, err error) {
	defer func() {
		if recover() != nil {
			answers, err = nil, fmt.Errorf("reading answers: %s is no YAML", file)
		}
	}()
	if len(b) > maxAnswers {
		return nil, fmt.Errorf("reading answers: %s has %d bytes, %d are allowed", file, len(b), maxAnswers)
	}
	tree, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			return nil, fmt.Errorf("reading answers: %s:%d:%d: %s", file, e.GetToken().Position.Line, e.GetToken().Position.Column, e.GetMessage())
		}
		return nil, fmt.Errorf("reading answers: %s: %w", file, err)
	}
	answers = map[string]string{}
	var faults []error
	wrong := func(n ast.Node, format string, args ...any) {
		at := n.GetToken().Position
		faults = append(faults, fmt.Errorf("%s:%d:%d: %s", file, at.Line, at.Column, fmt.Sprintf(format, args...)))
	}
	for i, d := range tree.Docs {
		var values []*ast.MappingValueNode
		switch body := d.Body.(type) {
		case nil:
			continue
		case *ast.MappingNode:
			values = body.Values
		case *ast.MappingValueNode:
			values = []*ast.MappingValueNode{body}
		default:
			wrong(body, "answers must be keys and values")
			continue
		}
		if i > 0 {
			wrong(d.Body, "there is a second document")
		}
		for _, v := range values {
			key := v.Key.GetToken().Value
			_, twice := answers[key]
			switch v.Value.(type) {
			case *ast.StringNode, *ast.IntegerNode:
				if !slices.Contains(keys(), key) {
					wrong(v.Key, "the key %.60q is unknown; known are %s", key, strings.Join(keys(), ", "))
				} else if twice {
					wrong(v.Key, "the key %s is there already", key)
				}
				answers[key] = v.Value.GetToken().Value
			default:
				wrong(v.Value, "%.60q must be text or a number", key)
			}
		}
	}
	return answers, errors.Join(faults...)
}
