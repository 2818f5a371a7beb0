package userdata

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// anchor reads what an anchor names.
func (r *reader) anchor(n *ast.AnchorNode, depth int) (any, error) {
	name := n.Name.GetToken().Value
	was := r.within[name]
	r.within[name] = true
	v, err := r.value(n.Value, depth)
	r.within[name] = was
	r.anchors[name] = n.Value
	return v, err
}

// alias reads once more what its anchor holds: everything is counted each time, so that a few lines do not become gigabytes.
func (r *reader) alias(n *ast.AliasNode, depth int) (any, error) {
	name := n.Value.GetToken().Value
	if r.within[name] {
		return nil, fault(n, "the alias %q is within its own anchor", name)
	}
	to, ok := r.anchors[name]
	if !ok {
		return nil, fault(n, "the alias %q has no anchor before it", name)
	}
	return r.value(to, depth)
}

// merge reads the value of a merge key: a mapping or a list of mappings (yaml.org/type/merge.html).
func (r *reader) merge(n ast.Node, depth int) ([]map[string]any, error) {
	v, err := r.value(n, depth)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var all []map[string]any
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, fault(n, "a merge key needs a mapping or a list of mappings")
		}
		all = append(all, m)
	}
	return all, nil
}

// blob is what !!binary gives where it is not text.
type blob struct {
	b  []byte
	at string // LINE:COLUMN
}

// tag reads a value whose type is written before it.
func (r *reader) tag(n *ast.TagNode, depth int) (any, error) {
	if n.Value == nil {
		return nil, fault(n, "a tag without a value")
	}
	tag := n.Start.Value
	inner := n.Value
	if a, ok := inner.(*ast.AnchorNode); ok {
		// The anchor names the value with its tag.
		r.anchors[a.Name.GetToken().Value] = &ast.TagNode{BaseNode: n.BaseNode, Start: n.Start, Value: a.Value}
		inner = a.Value
	}
	word, scalar := written(inner)
	if want := map[string]bool{"!!map": true, "!!seq": true}; want[tag] && !scalar {
		return r.value(inner, depth)
	}
	if !scalar {
		return nil, fault(n, "the tag %.40s is not taken here", tag)
	}
	switch tag {
	case "!!str", "!!python/unicode", "!":
		return r.string(n, word)
	case "!!binary":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(word), ""))
		if err != nil {
			return nil, fault(n, "!!binary: %v", err)
		}
		if r.text -= len(b); r.text < 0 {
			return nil, fault(n, "with what its aliases repeat the document has more than %d bytes", 2*MaxInput)
		}
		if utf8.Valid(b) && carried(string(b)) == nil {
			return string(b), nil
		}
		t := n.GetToken().Position
		return blob{b, fmt.Sprintf("%d:%d", t.Line, t.Column)}, nil
	case "!!int":
		if i, err := strconv.ParseInt(strings.ReplaceAll(word, "_", ""), 0, 64); err == nil {
			return i, nil
		}
	case "!!float":
		if f, err := strconv.ParseFloat(word, 64); err == nil && number(f) == nil {
			return f, nil
		}
	case "!!bool":
		if b, ok := bool11(word); ok {
			return b, nil
		}
	case "!!null":
		return nil, nil
	default:
		return nil, fault(n, "the tag %.40s is not taken", tag)
	}
	return nil, fault(n, "%.40q is not what the tag %s says", word, tag)
}

// written is a scalar as the document has it.
func written(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// fileContents writes the bytes that files hold as cloud-init takes them in any YAML: in base64, with the encoding that says so.
func fileContents(m map[string]any) {
	files, _ := m["write_files"].([]any)
	for _, f := range files {
		file, _ := f.(map[string]any)
		content, ok := file["content"].(blob)
		if !ok {
			continue
		}
		encoding, _ := file["encoding"].(string)
		switch strings.ToLower(encoding) {
		case "":
			file["encoding"] = "b64"
		case "gz", "gzip":
			file["encoding"] = "gz+b64"
		default:
			continue // textOnly refuses it
		}
		file["content"] = base64.StdEncoding.EncodeToString(content.b)
	}
}

// textOnly refuses bytes where YAML cannot carry them.
func textOnly(v any) error {
	switch v := v.(type) {
	case blob:
		return fmt.Errorf("%s: bytes that are not text belong into a file (write_files)", v.at)
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if err := textOnly(v[k]); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := textOnly(e); err != nil {
				return err
			}
		}
	}
	return nil
}
