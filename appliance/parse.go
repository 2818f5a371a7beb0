package appliance

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// ReadConfig reads a file over the defaults. Every mistake in it is reported, as "FILE:LINE:COLUMN: KEY: what is wrong".
func ReadConfig(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	return ParseConfig(path, b)
}

// ParseConfig is ReadConfig for the bytes of the file that is called name.
func ParseConfig(name string, b []byte) (Config, error) {
	c := DefaultConfig()
	if len(b) > maxConfig {
		return Config{}, fmt.Errorf("%s: %d bytes are more than a configuration has", name, len(b))
	}
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return Config{}, syntaxError(name, err)
	}
	r := reading{name: name, at: map[string]position{}}
	for i, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
		case *ast.MappingNode, *ast.MappingValueNode:
			if i > 0 {
				r.wrong(positionOf(body), "there is more than one document in the file")
				continue
			}
			r.mapping("", body, reflect.ValueOf(&c).Elem())
		default:
			r.wrong(positionOf(body), "the file must be keys and values")
		}
	}
	for _, m := range c.mistakes() {
		r.wrong(r.at[m.key], "%s", m.Error())
	}
	if len(r.errs) > 0 {
		sort.SliceStable(r.errs, func(i, j int) bool { return r.errs[i].before(r.errs[j]) })
		errs := make([]error, len(r.errs))
		for i, e := range r.errs {
			errs[i] = e
		}
		return Config{}, errors.Join(errs...)
	}
	return c, nil
}

func syntaxError(name string, err error) error {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil {
		return located{name, position{e.GetToken().Position.Line, e.GetToken().Position.Column}, e.GetMessage()}
	}
	return fmt.Errorf("%s: %w", name, err)
}

type position struct{ line, column int }

// located is a mistake with its place; line 0 means the file as a whole.
type located struct {
	name string
	position
	text string
}

func (l located) Error() string {
	if l.line == 0 {
		return fmt.Sprintf("%s: %s", l.name, l.text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", l.name, l.line, l.column, l.text)
}

func (l located) before(o located) bool {
	return l.line < o.line || l.line == o.line && l.column < o.column
}

// reading walks a file's syntax tree beside the fields of Config, so that one mistake does not hide the next.
type reading struct {
	name string
	at   map[string]position // where each key that is given has its value
	errs []located
}

func (r *reading) wrong(at position, format string, args ...any) {
	r.errs = append(r.errs, located{r.name, at, fmt.Sprintf(format, args...)})
}

func (r *reading) mapping(prefix string, n ast.Node, into reflect.Value) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	}
	for _, v := range values {
		key := v.Key.String()
		if t := v.Key.GetToken(); t != nil {
			key = t.Value
		}
		field, ok := fieldOf(into, key)
		if !ok {
			r.wrong(positionOf(v.Key), "%s: unknown key%s", prefix+key, nearest(prefix, key))
			continue
		}
		r.at[prefix+key] = positionOf(v.Value)
		switch v.Value.(type) {
		case *ast.NullNode: // "key:" with nothing after it leaves the default
		case *ast.MappingNode, *ast.MappingValueNode:
			if field.Kind() != reflect.Struct || len(keysOf(field.Type(), "")) == 0 {
				r.wrong(positionOf(v.Value), "%s: it takes a value, not keys", prefix+key)
				continue
			}
			r.mapping(prefix+key+".", v.Value, field)
		default:
			if len(keysOf(field.Type(), "")) > 0 {
				r.wrong(positionOf(v.Value), "%s: it takes keys, not a value", prefix+key)
				continue
			}
			r.value(prefix+key, v.Value, field)
		}
	}
}

func (r *reading) value(key string, n ast.Node, into reflect.Value) {
	defer func() {
		// The library reads untrusted nodes by reflection; whatever it stumbles over is a mistake in the file.
		if p := recover(); p != nil {
			r.wrong(positionOf(n), "%s: the value cannot be read", key)
		}
	}()
	if err := yaml.NodeToValue(n, into.Addr().Interface()); err != nil {
		text := err.Error()
		var e yaml.Error
		if errors.As(err, &e) {
			text = e.GetMessage()
		}
		text, _, _ = strings.Cut(text, "\n")
		switch {
		case into.Type() == reflect.TypeFor[time.Duration]():
			text = fmt.Sprintf("%s is not a time such as 30s, 10m or 12h", n)
		case into.Kind() == reflect.Int:
			text = fmt.Sprintf("%s is not a whole number", n)
		case into.Kind() == reflect.Slice && n.Type() != ast.SequenceType:
			text = fmt.Sprintf("%s is not a list such as [a, b]", n)
		}
		r.wrong(positionOf(n), "%s: %s", key, text)
	}
}

func positionOf(n ast.Node) position {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return position{}
	}
	p := n.GetToken().Position
	// The token of a mapping is its first colon; the mapping begins with its first key.
	switch n := n.(type) {
	case *ast.MappingValueNode:
		return positionOf(n.Key)
	case *ast.MappingNode:
		if len(n.Values) > 0 && n.Start != nil && n.Start.Value != "{" {
			return positionOf(n.Values[0].Key)
		}
	}
	return position{p.Line, p.Column}
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == key && key != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// keysOf lists the keys of a configuration struct with those of the structs in it: "dhcp", "dhcp.mode". It is empty
// for a type that is a value.
func keysOf(t reflect.Type, prefix string) []string {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for i := range t.NumField() {
		key := t.Field(i).Tag.Get("yaml")
		if key == "" {
			continue
		}
		out = append(out, prefix+key)
		out = append(out, keysOf(t.Field(i).Type, prefix+key+".")...)
	}
	return out
}

// nearest is "; did you mean KEY?" where a key is near enough: by spelling, or the same key at another place.
func nearest(prefix, key string) string {
	best, bestAt := "", len(key)/3+2
	for _, known := range keysOf(reflect.TypeFor[Config](), "") {
		last := known[strings.LastIndex(known, ".")+1:]
		d := distance(prefix+key, known)
		if e := distance(key, last) + 1; strings.TrimSuffix(known, last) != prefix && e < d {
			d = e
		} else if strings.TrimSuffix(known, last) == prefix {
			d = min(d, distance(key, last))
		}
		if d < bestAt {
			best, bestAt = known, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is how many letters must be put in, left out or changed to make b of a (Levenshtein 1965).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
