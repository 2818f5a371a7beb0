package yamltree

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzRead has any bytes be a file: reading never panics, gives the same twice, and every fault and every value has a
// place in the file. What is read without a fault is the same as what the library makes of it.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, {y: 'z'}]\n", "a: &x [1]\nb: *x\n", "&a [*a]", "x: &x {y: *x}",
		"a: |\n x\n", "%YAML 1.2\n---\n", "? a\n: b\n", "!!str &a b", "a: {<<: *b}", "{a, b: , c}",
		"- -\n-", "\ufeffa: 1\r\n"} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(strings.Repeat(s, 40)), uint8(1))
		f.Add([]byte(s), uint8(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		o := []Options{{}, {Aliases: true, Depth: 4}, {All: true}}[which%3]
		read := func() (*Node, Faults) {
			r := NewReader("f")
			n := r.Read(b, o)
			return n, r.Faults()
		}
		n, faults := read()
		again, faults2 := read()
		if faults.Error() != faults2.Error() || n == nil && len(faults) == 0 {
			t.Fatalf("Read(%q) = %v, then %v", b, faults, faults2)
		}
		lines := strings.Count(string(b), "\n") + strings.Count(string(b), "\r") + 2
		for _, one := range faults {
			if one.Line < 1 || one.Column < 1 || one.Line > lines || strings.ContainsAny(one.Error(), "\n\r") {
				t.Fatalf("Read(%q): %q at %d:%d", b, one.Error(), one.Line, one.Column)
			}
		}
		if len(faults) > 0 {
			return
		}
		if one, two := shown(n), shown(again); one != two {
			t.Fatalf("Read(%q) = %s, then %s", b, one, two)
		}
		var want any
		if which%3 == 0 && yaml.Unmarshal(b, &want) == nil {
			if d := cmp.Diff(want, n.Plainly(), cmpopts.EquateNaNs()); d != "" {
				t.Fatalf("Read(%q) differs from what the library reads (-library +ours):\n%s", b, d)
			}
		}
	})
}
