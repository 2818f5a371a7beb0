package opening_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"griddle/initramfs/mounts/opening"
)

// TestAsked has something that one kind of keys opens: those after it are not asked for, and no other error is taken
// for a closed volume.
func TestAsked(t *testing.T) {
	closed, broken, refused := errors.New("closed"), errors.New("broken"), errors.New("refused")
	ask := func(key string, err error) func(context.Context) ([][]byte, error) {
		return func(context.Context) ([][]byte, error) { return [][]byte{[]byte(key)}, err }
	}
	for name, c := range map[string]struct {
		first, second func(context.Context) ([][]byte, error)
		opens         string // the key that opens it; "nothing" for none, "broken" for a device that fails
		tried         []string
		want          error
	}{
		"the TPM":        {ask("a", refused), ask("b", refused), "", []string{""}, nil},
		"the first":      {ask("a", nil), ask("b", refused), "a", []string{"", "a"}, nil},
		"the second":     {ask("a", nil), ask("b", nil), "b", []string{"", "a", "b"}, nil},
		"without first":  {nil, ask("b", nil), "b", []string{"", "b"}, nil},
		"none opens it":  {ask("a", nil), ask("b", nil), "nothing", []string{"", "a", "b"}, closed},
		"no answer":      {ask("a", refused), ask("b", nil), "b", []string{""}, refused},
		"another error":  {ask("a", nil), ask("b", nil), "broken", []string{""}, broken},
		"there are none": {nil, nil, "a", []string{""}, closed},
	} {
		var tried []string
		err := opening.Asked(c.first, c.second)(t.Context(), closed, func(keys [][]byte) error {
			key := ""
			if len(keys) > 0 {
				key = string(keys[0])
			}
			tried = append(tried, key)
			switch {
			case c.opens == "broken":
				return broken
			case key != c.opens:
				return closed
			}
			return nil
		})
		if !errors.Is(err, c.want) || !slices.Equal(tried, c.tried) {
			t.Errorf("%s: %v, after %q; want %v, after %q", name, err, tried, c.want, c.tried)
		}
		if hint := err != nil && strings.Contains(err.Error(), "passphrase"); hint != (c.want == closed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
