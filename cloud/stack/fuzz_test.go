package stack

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"griddle/cloud/yamltree"
)

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"good/*.yaml", "bad/*.yaml"} {
		for _, b := range glob(f, pattern) {
			f.Add(b)
		}
	}
	for _, c := range faultTests {
		f.Add([]byte(c.file))
	}
	for _, s := range []string{"[", "{", "- ", "? ", "a: &a [", "a: *a\n", "&a [*a]", "x: &x {y: *x}", "a: |\n x",
		"%YAML 1.2\n---\n"} {
		f.Add([]byte(s))
		f.Add([]byte(strings.Repeat(s, 40)))
	}
	s := compiled(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		one, err := Parse("f", b)
		two, err2 := Parse("f", b)
		if (one == nil) == (err == nil) {
			t.Fatalf("Parse(%q) = %v, %v", b, one, err)
		}
		if err != nil {
			var faults yamltree.Faults
			if !errors.As(err, &faults) || len(faults) == 0 || err2 == nil || err.Error() != err2.Error() {
				t.Fatalf("Parse(%q) = %v, then %v", b, err, err2)
			}
			lines := strings.Count(string(b), "\n") + strings.Count(string(b), "\r") + 2
			for _, one := range faults {
				if one.Line < 1 || one.Column < 1 || one.Line > lines || strings.ContainsAny(one.Error(), "\n\r") {
					t.Fatalf("Parse(%q): %q at %d:%d", b, one.Error(), one.Line, one.Column)
				}
			}
			return
		}
		if !reflect.DeepEqual(one, two) {
			t.Fatalf("Parse(%q) = %+v, then %+v", b, one, two)
		}
		if err := s.Validate(asJSON(t, "f", b)); err != nil {
			t.Fatalf("Parse takes %q, the schema does not: %v", b, err)
		}
	})
}

func FuzzExpand(f *testing.F) {
	for _, c := range expandTests {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		refs, err := References(s)
		if err != nil {
			return
		}
		seen := map[Reference]bool{}
		same, err := Expand(s, func(r Reference) (string, error) {
			seen[r] = true
			return r.String(), nil
		})
		if err != nil || len(seen) != len(refs) {
			t.Fatalf("Expand(%q) = %v with %v, want %v", s, err, seen, refs)
		}
		if want := strings.ReplaceAll(s, "$${", "${"); same != want {
			t.Fatalf("Expand(%q) to itself = %q, want %q", s, same, want)
		}
		for _, r := range refs {
			if again, err := References(r.String()); err != nil || len(again) != 1 || again[0] != r {
				t.Fatalf("References(%q) = %v, %v", r, again, err)
			}
		}
	})
}
