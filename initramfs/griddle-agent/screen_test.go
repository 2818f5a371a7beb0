package main

import "testing"

// A key that arrives in pieces must not be cut where its beginning is a key of its own.
func TestUnfinished(t *testing.T) {
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"a", false}, {"\x1b", true}, {"\x1b[", true}, {"\x1b[1;5", true}, {"\x1b[A", false}, {"\x1b[11~", false},
		{"\x1bO", true}, {"\x1bOP", false}, {"\x1bx", false}, {"\x1b[A\x1b", true}, {"\x1b[Ax", false}, {"", false},
	} {
		if got := unfinished([]byte(c.in)); got != c.want {
			t.Errorf("unfinished(%q) = %t, want %t", c.in, got, c.want)
		}
	}
}
