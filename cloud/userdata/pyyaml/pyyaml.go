// Package pyyaml reads a YAML document as PyYAML does, and so cloud-init.
//
// Read is what userdata.Read asks for. It takes what PyYAML takes, which is YAML 1.1: plain yes, no, on and off are
// booleans; aliases are copies of what their anchors hold; merge keys bring in other mappings. Of tags it takes those
// of YAML's own scalars. Keys that repeat and keys that are not scalars are faults, as in every file (package yamltree,
// which has the bounds too).
//
// Sources: PyYAML 6.0 (yaml.safe_load), yaml.org/type/merge.html, yaml.org/type/binary.html.
package pyyaml

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"griddle/cloud/yamltree"
)

// maxText bounds the text of a document with what its aliases repeat, in bytes.
const maxText = 2 * yamltree.MaxBytes

// Read reads one document. The value is nil where it is empty, else of map[string]any, []any, string, bool, int64,
// uint64, float64, nil and, for bytes that are not text, Bytes. The error is one line with the places of all faults,
// five at most: LINE:COLUMN.
func Read(b []byte) (any, error) {
	r := reader{Reader: yamltree.NewReader(""), left: maxText}
	n := r.Read(b, yamltree.Options{All: true})
	if err := inOneLine(r.Faults()); err != nil {
		return nil, err
	}
	v := r.value(n, "")
	return v, inOneLine(r.Faults())
}

// inOneLine is faults as one error: a document can be a small part of a file that has others.
func inOneLine(faults yamltree.Faults) error {
	const most = 5
	if len(faults) == 0 {
		return nil
	}
	var lines []string
	for _, f := range faults[:min(most, len(faults))] {
		lines = append(lines, f.Error())
	}
	if more := len(faults) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more faults", more))
	}
	return errors.New(strings.Join(lines, "; "))
}

// Bytes is a value of the tag !!binary that is not text.
type Bytes struct {
	b  []byte
	at string
}

// Bytes returns the bytes.
func (b Bytes) Bytes() []byte { return b.b }

// Place is where the value is: LINE:COLUMN.
func (b Bytes) Place() string { return b.at }

type reader struct {
	*yamltree.Reader
	left int // bytes of text that may still come
}

func (r *reader) value(n *yamltree.Node, path string) any {
	if n.Tag != "" {
		return r.tagged(n, path)
	}
	switch n.Kind {
	case yamltree.List:
		list := make([]any, 0, len(n.Items))
		for i, v := range n.Items {
			if r.left < 0 {
				break // and nothing more is copied
			}
			list = append(list, r.value(v, yamltree.Item(path, i)))
		}
		return list
	case yamltree.Mapping:
		return r.mapping(n, path)
	case yamltree.Text:
		if b, ok := truth(n.Raw); ok && n.Plain {
			return b
		}
		return r.text(n, path)
	}
	return n.Value
}

// mapping reads a mapping: what it says itself counts before what its merge keys bring in, and of these the first.
func (r *reader) mapping(n *yamltree.Node, path string) any {
	m := make(map[string]any, len(n.Keys))
	var merged []map[string]any
	for _, e := range n.Keys {
		if r.left < 0 {
			break
		}
		at := yamltree.Below(path, e.Name)
		if !e.Merge {
			m[e.Name] = r.value(e.Value, at)
			if r.count(e.At, at, e.Name); !carried(e.Name) {
				r.Wrong(e.At, path, "", "a key must be text")
			}
			continue
		}
		v := r.value(e.Value, at)
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, one := range list {
			more, ok := one.(map[string]any)
			if !ok {
				r.Wrong(e.Value.At, path, "", "a merge key needs a mapping or a list of mappings")
			}
			merged = append(merged, more)
		}
	}
	for _, other := range merged {
		for k, v := range other {
			if _, own := m[k]; !own {
				m[k] = v
			}
		}
	}
	return m
}

// count counts text that is carried over.
func (r *reader) count(at yamltree.Place, path, s string) {
	before := r.left
	if r.left -= len(s); r.left < 0 && before >= 0 {
		r.Wrong(at, path, "", "with what its aliases repeat the document has more than %d bytes", maxText)
	}
}

func (r *reader) text(n *yamltree.Node, path string) string {
	if r.count(n.At, path, n.Raw); !carried(n.Raw) {
		r.Wrong(n.At, path, "bytes belong in a file (write_files)", "this is not text")
	}
	return n.Raw
}

// carried says whether YAML can carry a text to a server as it is.
func carried(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// truth is a plain word as YAML 1.1 reads it.
func truth(s string) (value, ok bool) {
	switch s {
	case "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE":
		return true, true
	case "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE":
		return false, true
	}
	return false, false
}

// tagged reads a value whose type is written before it.
func (r *reader) tagged(n *yamltree.Node, path string) any {
	word := *n
	word.Tag, word.Plain = "", false
	tag, scalar := n.Tag, n.Kind != yamltree.List && n.Kind != yamltree.Mapping
	switch {
	case (tag == "!!map" || tag == "!!seq") && !scalar:
		return r.value(&word, path)
	case !scalar:
	case tag == "!!str" || tag == "!!python/unicode" || tag == "!":
		return r.text(&word, path)
	case tag == "!!binary":
		return r.binary(n, path)
	case tag == "!!int":
		if i, err := strconv.ParseInt(strings.ReplaceAll(n.Raw, "_", ""), 0, 64); err == nil {
			return i
		}
	case tag == "!!float":
		if f, err := strconv.ParseFloat(n.Raw, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return f
		}
	case tag == "!!bool":
		if b, ok := truth(n.Raw); ok {
			return b
		}
	case tag == "!!null":
		return nil
	}
	switch tag {
	case "!!int", "!!float", "!!bool":
		r.Wrong(n.At, path, "", "%s is not what the tag %s says", yamltree.Short(n.Raw), tag)
	default:
		r.Wrong(n.At, path, "", "the tag %s is not allowed here", yamltree.Short(tag))
	}
	return nil
}

func (r *reader) binary(n *yamltree.Node, path string) any {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Raw), ""))
	if err != nil {
		r.Wrong(n.At, path, "", "!!binary: %v", err)
		return nil
	}
	r.count(n.At, path, string(b))
	if carried(string(b)) {
		return string(b)
	}
	return Bytes{b, fmt.Sprintf("%d:%d", n.At.Line, n.At.Column)}
}
