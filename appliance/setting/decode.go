package setting

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Document is one source of settings: a mapping as encoding/json reads it, checked for keys that are not known.
type Document struct {
	From   string // where the settings come from, for people: "site", "machine lab-1"
	values map[string]any
}

// Decode reads a document from JSON. Errors wrap ErrInvalid, name every unknown key, and quote no value.
func Decode(from string, b []byte) (Document, error) {
	if len(b) > MaxDocument {
		return Document{}, fmt.Errorf("reading the settings of %s: %w: they have %d bytes, the limit is %d", from,
			ErrInvalid, len(b), MaxDocument)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after the document")
		}
	}
	if err != nil {
		return Document{}, fmt.Errorf("reading the settings of %s: %w: it is not JSON: %w", from, ErrInvalid, err)
	}
	return New(from, v)
}

// New makes a document of values as encoding/json has them; numbers may be of any kind. A nil is an empty document.
func New(from string, v any) (Document, error) {
	if v == nil {
		v = map[string]any{}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return Document{}, fmt.Errorf("reading the settings of %s: %w: the document must be a mapping", from,
			ErrInvalid)
	}
	c := &checker{}
	c.known(place{}, m, reflect.TypeFor[Settings]())
	if err := errors.Join(c.errs...); err != nil {
		return Document{}, fmt.Errorf("reading the settings of %s: %w", from, err)
	}
	return Document{From: from, values: m}, nil
}

// MarshalJSON is the document as JSON, which Decode reads again.
func (d Document) MarshalJSON() ([]byte, error) {
	if d.values == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(d.values)
}

// Empty reports whether the document says nothing.
func (d Document) Empty() bool { return len(d.values) == 0 }

// known compares v with t: the keys of mappings with those of a struct, and the kinds of values.
func (c *checker) known(at place, v any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if v == nil || t.Kind() == reflect.Map {
		return // it takes something away, or anything may be there
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) || t == reflect.TypeFor[[]byte]() {
		c.text(at, v, t)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if t.Kind() == reflect.Struct {
			c.keysKnown(at, v, keysOf(t))
			return
		}
	case []any:
		if t.Kind() == reflect.Slice {
			for i, e := range v {
				c.known(at.item(i, e), e, t.Elem())
			}
			return
		}
	case string:
		if t.Kind() == reflect.String {
			return
		}
	case bool:
		if t.Kind() == reflect.Bool {
			return
		}
	default: // numbers of encoding/json or of a reader of YAML
		if t.Kind() == reflect.Int && isWhole(v) {
			return
		}
	}
	c.wrong(at.shown, "it must be %s", kinds[t.Kind()])
}

var kinds = map[reflect.Kind]string{reflect.Struct: "a mapping", reflect.Slice: "a list", reflect.String: "text",
	reflect.Bool: "true or false", reflect.Int: "a whole number"}

// isWhole reports whether v is a whole number of at most 32 bits.
func isWhole(v any) bool {
	_, err := strconv.ParseInt(fmt.Sprint(v), 10, 32)
	return err == nil
}

// text checks a value that is read by a method of its type.
func (c *checker) text(at place, v any, t reflect.Type) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, reflect.New(t).Interface())
	}
	var kind *json.UnmarshalTypeError
	switch s, isText := v.(string); {
	case err == nil:
	case t == reflect.TypeFor[netip.Prefix]() && isText:
		c.wrong(at.shown, "%s is not an address with the length of its network, such as 192.0.2.5/24", quote(s))
	case t == reflect.TypeFor[netip.Addr]() && isText:
		c.wrong(at.shown, "%s is not an address such as 192.0.2.5 or 2001:db8::5", quote(s))
	case t == reflect.TypeFor[[]byte]():
		c.wrong(at.shown, "it must be text in base64") // without quoting what may be secret
	case errors.As(err, &kind):
		c.wrong(at.shown, "it must be text in quotes")
	default:
		c.wrong(at.shown, "%v", err)
	}
}

// keysKnown compares the keys of a mapping with those that are known.
func (c *checker) keysKnown(at place, v map[string]any, fields map[string]reflect.Type) {
	for _, k := range slices.Sorted(maps.Keys(v)) {
		f, ok := fields[k]
		switch {
		case ok:
			c.known(at.key(k), v[k], f)
		case k == absent && at.entry != "":
			c.known(at.key(k), v[k], reflect.TypeFor[bool]())
		case strings.EqualFold(k, "password"):
			c.wrong(at.key(k).shown, "a password in plain text is refused: %s", HashPassword)
		default:
			c.wrong(at.key(k).shown, "there is no such key%s", suggest(k, slices.Sorted(maps.Keys(fields))))
		}
	}
}

// keysOf are the keys of a struct in JSON with their types.
func keysOf(t reflect.Type) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			keys[name] = t.Field(i).Type
		}
	}
	return keys
}

// suggest names the known key that k may be meant to be.
func suggest(k string, known []string) string {
	simple := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
	}
	for _, n := range known {
		a, b := simple(k), simple(n)
		if a == b || len(a) > 2 && (strings.HasPrefix(b, a) || strings.HasPrefix(a, b)) {
			return "; did you mean " + n + "?"
		}
	}
	return "; the keys here are " + list(known)
}

// decode makes settings of merged values.
func decode(m map[string]any) (Settings, error) {
	var s Settings
	b, err := json.Marshal(m)
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(b) > MaxDocument {
		return s, fmt.Errorf("%w: together they have %d bytes, the limit is %d", ErrInvalid, len(b), MaxDocument)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrInvalid, err) // New has found what is wrong in one document
	}
	return s, nil
}
