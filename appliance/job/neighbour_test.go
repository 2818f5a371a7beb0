package job

import (
	"strings"
	"testing"
)

func TestNeighbour(t *testing.T) {
	for _, c := range []struct {
		n    Neighbour
		want string
	}{
		{Neighbour{}, ""},
		{Neighbour{Switch: "core-1"}, "core-1"},
		{Neighbour{Switch: "core-1", Port: "Gi1/0/7", Description: "lab 1, desk 7"},
			"core-1, port Gi1/0/7 (lab 1, desk 7)"},
		{Neighbour{Switch: "a\x1b[2J", Port: "\u202e1\n2", Description: "\x00"}, "a [2J, port 1 2"},
	} {
		if got := c.n.String(); got != c.want {
			t.Errorf("%+v is %q, want %q", c.n, got, c.want)
		}
	}
	long := strings.Repeat("ü", 200)
	if n := (Neighbour{long, long, long}).bounded(); len(n.Switch) > maxText || n.Port != n.Switch ||
		n.Description != n.Switch {
		t.Errorf("bounded() = %+v", n)
	}
}
