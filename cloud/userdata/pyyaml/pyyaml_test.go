package pyyaml

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     any
	}{
		{"nothing", "# x\n", nil},
		{"words", "[yes, No, ON, off, true, 'yes', y, ~, null, '']",
			[]any{true, false, true, false, true, "yes", "y", nil, nil, ""}},
		{"numbers", "[1, -2, 0x10, 1.5, 18446744073709551615]",
			[]any{uint64(1), int64(-2), uint64(16), 1.5, uint64(18446744073709551615)}},
		{"text over lines", "|\n yes\n", "yes\n"},
		{"aliases", "a: &x yes\nb: [*x, *x]\n&k c: *k\n", map[string]any{"a": true, "b": []any{true, true}, "c": "c"}},
		{"an anchor that is defined again", "[&x 1, *x, &x b, *x]", []any{uint64(1), uint64(1), "b", "b"}},
		{"merge keys", "a: &a {x: 1, y: 2}\nb: {<<: *a, y: c}\nd: {<<: [{x: 9}, *a]}\n", map[string]any{
			"a": map[string]any{"x": uint64(1), "y": uint64(2)}, "b": map[string]any{"x": uint64(1),
				"y": "c"}, "d": map[string]any{"x": uint64(9), "y": uint64(2)}}},
		{"tags", "[!!str yes, !!str 1, !!int '2', !!float '1', !!bool 'no', !!null x, ! yes, !!seq [a], !!map {a: b}]",
			[]any{"yes", "1", int64(2), 1.0, false, nil, "yes", []any{"a"}, map[string]any{"a": "b"}}},
		{"a tag that an anchor names too", "[&x !!str 1, *x]", []any{"1", "1"}},
		{"bytes that are text", "!!binary aGk=", "hi"},
	} {
		got, err := Read([]byte(c.in))
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%s: Read = %v (-want +got):\n%s", c.name, err, d)
		}
	}
	got, err := Read([]byte("a: !!binary /w==\n"))
	m, _ := got.(map[string]any)
	if b, ok := m["a"].(Bytes); err != nil || !ok || string(b.Bytes()) != "\xff" || b.Place() != "1:4" {
		t.Errorf("Read of bytes = %v, %v", got, err)
	}
	if _, err := Read([]byte("[" + strings.Repeat("*a, ", 9) + "]")); err == nil ||
		!strings.HasSuffix(err.Error(), "; and 4 more faults") {
		t.Errorf("Read of many faults = %v", err)
	}
}

// FuzzRead has any bytes be a document: the same gives the same, and an error has one line and a place.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"a: &x yes\nb: *x\n", "a: {<<: [*b]}", "!!binary aGk=", "&a !!str b",
		"- !!int 0o7\n- 1e3", "? a\n: b", "a: \"\\0\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		one, err := Read(b)
		two, err2 := Read(b)
		if fmt.Sprint(one, err) != fmt.Sprint(two, err2) {
			t.Fatalf("Read(%q) = %v, %v, then %v, %v", b, one, err, two, err2)
		}
		var line, column int
		if err == nil {
			return
		}
		if n, _ := fmt.Sscanf(err.Error(), "%d:%d: ", &line, &column); n != 2 || line < 1 || column < 1 ||
			strings.ContainsAny(err.Error(), "\r\n") {
			t.Fatalf("Read(%q) = %q, want LINE:COLUMN: and one line", b, err)
		}
	})
}
