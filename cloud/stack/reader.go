package stack

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The limits of a file. What is larger was not written by a person.
const (
	MaxSize  = 1 << 20 // bytes
	maxDepth = 100
)

// reader walks over a file's nodes and collects faults. Its methods return the zero value for what is wrong.
type reader struct {
	file   string
	faults Faults
}

// value is a node and where it stands.
type value struct {
	node ast.Node
	path string
	at   Position
}

func (r *reader) fault(v value, hint, format string, args ...any) {
	r.faults = append(r.faults, Fault{r.file, v.at.Line, v.at.Column, v.path, fmt.Sprintf(format, args...), hint})
}

// parse is the whole file as one mapping.
func (r *reader) parse(b []byte) (value, bool) {
	switch {
	case len(b) > MaxSize:
		r.fault(value{}, "", "the file has %d bytes, more than %d", len(b), MaxSize)
		return value{}, false
	case deep(b):
		r.fault(value{}, "", "the file is nested more than %d deep", maxDepth)
		return value{}, false
	}
	f, err := parser.ParseBytes(b, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at value
		var syntax interface{ GetMessage() string }
		text := strings.SplitN(yaml.FormatError(err, false, false), "\n", 2)[0]
		if errors.As(err, &syntax) {
			if m := regexp.MustCompile(`^\[(\d+):(\d+)\] `).FindStringSubmatch(text); m != nil {
				at.at.Line, _ = strconv.Atoi(m[1])
				at.at.Column, _ = strconv.Atoi(m[2])
				text = text[len(m[0]):]
			}
		}
		r.fault(at, "", "this is not YAML: %s", text)
		return value{}, false
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		r.fault(value{}, "", "the file has %d documents, not one", len(f.Docs))
		return value{}, false
	}
	return r.value(f.Docs[0].Body, ""), true
}

// deep says whether b nests deeper than the parser may go, without parsing it.
func deep(b []byte) bool {
	open := 0
	for line := range bytes.Lines(b) {
		entries := 0
		for i, c := range line {
			switch c {
			case '[', '{':
				if open++; open > maxDepth {
					return true
				}
			case ']', '}':
				open = max(0, open-1)
			case '-', '?', ':':
				if i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '\t') {
					entries++
				}
			}
		}
		if entries > 4*maxDepth || len(line)-len(bytes.TrimLeft(line, " \t")) > 10*maxDepth {
			return true
		}
	}
	return false
}

// value is node with its position. Tags are of no use here, and anchors hide where a value comes from.
func (r *reader) value(n ast.Node, path string) value {
	v := value{node: n, path: path}
	if n == nil {
		return v
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		v.at = Position{t.Position.Line, t.Position.Column}
	}
	switch x := n.(type) {
	case *ast.MappingNode:
		if len(x.Values) > 0 {
			v.at = keyPosition(x.Values[0], v.at)
		}
	case *ast.MappingValueNode:
		v.at = keyPosition(x, v.at)
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		r.fault(v, "share what servers have in common by profiles", "anchors, aliases and merge keys are not taken")
		v.node = nil
	case *ast.TagNode:
		r.fault(v, "", "the tag %s is not taken", x.Start.Value)
		v.node = nil
	}
	return v
}

func keyPosition(m *ast.MappingValueNode, or Position) Position {
	if t := m.Key.GetToken(); t != nil && t.Position != nil {
		return Position{t.Position.Line, t.Position.Column}
	}
	return or
}

// entry is one key of a mapping.
type entry struct {
	key string
	at  value // of the key, for faults that are about it
	value
}

// entries are a mapping's, in the order of the file.
func (r *reader) entries(v value) []entry {
	var pairs []*ast.MappingValueNode
	switch n := v.node.(type) {
	case nil:
		return nil
	case *ast.NullNode:
		return nil // "roles:" with nothing below
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		r.fault(v, "", "this is %s, not a mapping of keys to values", kindOf(v.node))
		return nil
	}
	var out []entry
	seen := map[string]int{}
	for _, p := range pairs {
		k := r.value(p.Key, v.path)
		key, ok := scalar(k.node)
		if !ok {
			if k.node != nil {
				r.fault(k, "", "this is %s, and cannot be a key", kindOf(k.node))
			}
			continue
		}
		path := key
		if v.path != "" {
			path = v.path + "." + key
		}
		k.path = path
		if line, twice := seen[key]; twice {
			r.fault(k, "", "the key is there twice, first in line %d", line)
			continue
		}
		seen[key] = k.at.Line
		e := entry{key, k, r.value(p.Value, path)}
		if _, null := e.node.(*ast.NullNode); null {
			e.value.at = k.at
		}
		out = append(out, e)
	}
	return out
}

// keys reads a mapping whose keys are known: each is given to its function.
func (r *reader) keys(v value, known map[string]func(value)) {
	for _, e := range r.entries(v) {
		f := known[e.key]
		if f == nil {
			names := sortedKeys(known)
			hint := "there are " + strings.Join(names, ", ")
			if n := nearest(e.key, names); n != "" {
				hint = "did you mean " + n + "?"
			}
			r.fault(e.at, hint, "the key %q is not known", short(e.key))
			continue
		}
		f(e.value)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// list reads a sequence; a single value stands for a list of one.
func (r *reader) list(v value, each func(value)) {
	switch n := v.node.(type) {
	case nil, *ast.NullNode:
	case *ast.SequenceNode:
		for i, x := range n.Values {
			each(r.value(x, fmt.Sprintf("%s[%d]", v.path, i)))
		}
	default:
		each(v)
	}
}

func (r *reader) text(v value) string {
	s, ok := scalar(v.node)
	if !ok && v.node != nil {
		r.fault(v, "", "this is %s, not a text", kindOf(v.node))
	}
	return s
}

func (r *reader) texts(v value) (out []string) {
	r.list(v, func(v value) {
		if s := r.text(v); s != "" {
			out = append(out, s)
		}
	})
	return out
}

func (r *reader) boolean(v value) bool {
	b, ok := v.node.(*ast.BoolNode)
	if !ok {
		if v.node != nil {
			r.fault(v, "write true or false", "this is %s, not true or false", kindOf(v.node))
		}
		return false
	}
	return b.Value
}

func (r *reader) number(v value, least, most int) int {
	s, ok := scalar(v.node)
	n, err := strconv.Atoi(s)
	if !ok || err != nil || n < least || n > most {
		if v.node != nil {
			r.fault(v, "", "%s is no whole number from %d to %d", quoted(v, s), least, most)
		}
		return least
	}
	return n
}

func (r *reader) address(v value) netip.Addr {
	s := r.text(v)
	a, err := netip.ParseAddr(s)
	if s != "" && (err != nil || a.Zone() != "") {
		r.fault(v, "", "%q is no IP address", short(s))
		return netip.Addr{}
	}
	return a
}

// prefixes reads networks; an address alone is one of its own, and "any" is everybody.
func (r *reader) prefixes(v value) (out []netip.Prefix) {
	r.list(v, func(v value) {
		s := r.text(v)
		if s == "" || s == "any" {
			return
		}
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p != p.Masked() {
			r.fault(v, "such as 10.0.0.0/8, 192.0.2.7 or any", "%q is no network", short(s))
			return
		}
		out = append(out, p)
	})
	return out
}

func (r *reader) duration(v value, least, most time.Duration) time.Duration {
	s := r.text(v)
	d, err := time.ParseDuration(s)
	if v.node != nil && (err != nil || d < least || d > most) {
		r.fault(v, "such as 15m or 90s", "%s is no time from %v to %v", quoted(v, s), least, most)
		return least
	}
	return d
}

// bytes reads a size such as 10GiB.
func (r *reader) bytes(v value, multiple int64) int64 {
	s := r.text(v)
	n, err := parseBytes(s)
	switch {
	case v.node == nil:
		return 0
	case err != nil:
		r.fault(v, "such as 10GiB", "%s", err)
		return 0
	case n%multiple != 0:
		r.fault(v, "", "%s is not a multiple of %s", s, formatBytes(multiple))
		return 0
	}
	return n
}

// scalar is a node's text as it is written, if it is one value.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	}
	return "something else"
}

// quoted is what stands there, for a message.
func quoted(v value, s string) string {
	if _, ok := scalar(v.node); !ok && v.node != nil {
		return kindOf(v.node)
	}
	return strconv.Quote(short(s))
}

// short is at most forty characters of s.
func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:37]) + "..."
	}
	return s
}

// any is the node as the values that Part.Config holds.
func (r *reader) any(v value, depth int) any {
	if depth > maxDepth {
		r.fault(v, "", "this is nested more than %d deep", maxDepth)
		return nil
	}
	switch n := v.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		m := map[string]any{}
		for _, e := range r.entries(v) {
			m[e.key] = r.any(e.value, depth+1)
		}
		return m
	case *ast.SequenceNode:
		out := make([]any, 0, len(n.Values))
		r.list(v, func(v value) { out = append(out, r.any(v, depth+1)) })
		return out
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		return n.Value
	case *ast.FloatNode:
		return n.Value
	case *ast.InfinityNode, *ast.NanNode:
		r.fault(v, "", "%s has no meaning in a configuration", n.GetToken().Value)
	}
	return nil
}

// parseBytes reads a number and a unit: B, KiB, MiB, GiB, TiB, or kB, MB, GB, TB; without one they are bytes.
func parseBytes(s string) (int64, error) {
	i := strings.IndexFunc(s, func(c rune) bool { return (c < '0' || c > '9') && c != '.' })
	if i < 0 {
		i = len(s)
	}
	n, err := strconv.ParseFloat(s[:i], 64)
	unit, ok := map[string]float64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
		"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[strings.TrimSpace(s[i:])]
	n *= unit
	if err != nil || !ok || n < 1 || n > 1<<50 || n != math.Trunc(n) {
		return 0, fmt.Errorf("%q is no size", short(s))
	}
	return int64(n), nil
}

func formatBytes(n int64) string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := int64(1) << (40 - 10*i); n%size == 0 {
			return strconv.FormatInt(n/size, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
