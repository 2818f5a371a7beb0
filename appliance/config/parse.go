package config

import (
	"encoding"
	"fmt"
	"math"
	"os"
	"reflect"
	"time"

	"griddle/cloud/yamltree"
)

// Read reads a file over the defaults. The error lists every mistake, as "FILE:LINE:COLUMN: KEY: what is wrong"; it is
// of type yamltree.Faults where the file could be opened.
func Read(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	return Parse(path, b)
}

// Parse is Read for the bytes of the file that is called name.
func Parse(name string, b []byte) (Config, error) {
	c := Default()
	r := reading{yamltree.NewReader(name)}
	r.Places = map[string]yamltree.Place{}
	if n := r.Read(b, yamltree.Options{}); n != nil && n.Kind != yamltree.Null {
		r.mapping(n, "", reflect.ValueOf(&c).Elem())
	}
	for _, m := range c.mistakes() {
		at, given := r.Places[m.Key]
		if !given {
			at = yamltree.Place{File: name} // a key is missing, or its default does not go along with others
		}
		r.Wrong(at, m.Key, "", "%s", m.Text)
	}
	if err := r.Faults().Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// reading walks a file beside the fields of Config, so that one mistake does not hide the next.
type reading struct{ *yamltree.Reader }

func (r reading) mapping(n *yamltree.Node, path string, into reflect.Value) {
	if !r.Want(n, path, yamltree.Mapping, "a mapping of keys") {
		return
	}
	for _, e := range n.Keys {
		at := yamltree.Below(path, e.Name)
		field, ok := fieldOf(into, e.Name)
		if !ok {
			r.Unknown(e, path, nearest(yamltree.Below(path, ""), e.Name), ownKeys(into.Type()))
			continue
		}
		r.Places[at] = e.Value.At
		switch {
		case e.Value.Kind == yamltree.Null: // "key:" with nothing after it leaves the default
		case len(keysOf(field.Type(), "")) > 0:
			r.mapping(e.Value, at, field)
		default:
			r.value(e.Value, at, field)
		}
	}
}

// value reads one value by the type of its field.
func (r reading) value(n *yamltree.Node, path string, into reflect.Value) {
	switch to := into.Addr().Interface().(type) {
	case *bool:
		*to = r.Boolean(n, path)
	case *time.Duration:
		if d, ok := r.Time(n, path); ok {
			*to = d
		}
	case encoding.TextUnmarshaler:
		if !r.Want(n, path, yamltree.Text, "text") {
			return
		}
		if err := to.UnmarshalText([]byte(n.Raw)); err != nil {
			r.Wrong(n.At, path, "", "%v", err)
		}
	default:
		r.other(n, path, into)
	}
}

func (r reading) other(n *yamltree.Node, path string, into reflect.Value) {
	switch into.Kind() {
	case reflect.String:
		if r.Want(n, path, yamltree.Text, "text") {
			into.SetString(n.Raw)
		}
	case reflect.Int:
		const low = math.MinInt32
		if v := r.Number(n, path, low, math.MaxInt32); v != low {
			into.SetInt(int64(v))
		}
	case reflect.Struct:
		r.mapping(n, path, into)
	case reflect.Slice:
		into.SetZero()
		r.List(n, path, maxList, func(n *yamltree.Node, path string) {
			one := reflect.New(into.Type().Elem()).Elem()
			r.value(n, path, one)
			into.Set(reflect.Append(into, one))
		})
	}
}

// maxList bounds the entries of a list.
const maxList = 1000
