package setting

import (
	"maps"
	"slices"
)

// Mistake is one thing that is wrong in settings. It wraps ErrInvalid.
type Mistake struct {
	Place string // such as users[ada].keys[0]
	Text  string // what is wrong, and what to do
}

// Error is "invalid settings: PLACE: TEXT".
func (m Mistake) Error() string { return ErrInvalid.Error() + ": " + m.Place + ": " + m.Text }

// Unwrap is ErrInvalid.
func (m Mistake) Unwrap() error { return ErrInvalid }

// Mistakes lists those that an error of this package has in it, in their order; none where the document itself cannot
// be read.
func Mistakes(err error) []Mistake {
	switch e := err.(type) {
	case Mistake:
		return []Mistake{e}
	case interface{ Unwrap() error }:
		return Mistakes(e.Unwrap())
	case interface{ Unwrap() []error }:
		var out []Mistake
		for _, one := range e.Unwrap() {
			out = append(out, Mistakes(one)...)
		}
		return out
	}
	return nil
}

// Places calls visit for a document, and for each value in it, with its place and the keys and indexes that lead to it:
// users[ada].keys[0] is what users, 3, keys, 0 lead to. An entry of a list comes after the list.
func Places(v any, visit func(place string, steps []any)) { places(place{}, v, nil, visit) }

func places(at place, v any, steps []any, visit func(string, []any)) {
	visit(at.shown, steps)
	steps = slices.Clip(steps)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			places(at.key(k), v[k], append(steps, k), visit)
		}
	case []any:
		for i, e := range v {
			places(at.item(i, e), e, append(steps, i), visit)
		}
	}
}
