package state

import (
	"os"
	"strings"
	"testing"
)

func TestParseState(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"version":1,"stack":"demo"`, "line 1: unexpected end"},
		{"{\"version\":1,\n\"stack\":7}", "line 2: "},
		{`{"version":2,"stack":"demo"}`, "it has version 2, and this griddle knows 1"},
		{`{"version":1,"stack":"demo","new":1}`, `unknown field "new"`},
		{`{"version":1,"stack":"demo"} {}`, "line 1: invalid character '{'"},
		{`{"version":1,"stack":"../x"}`, `"../x" is not a valid name`},
		{`{"version":1,"stack":"demo","servers":{"a/b":{"private":"","phase":"booted"}}}`, `"a/b" is not a valid name`},
		{`{"version":1,"stack":"demo","servers":{"a":null}}`, "server a is empty"},
		{`{"version":1,"stack":"demo","servers":{"a":{"private":"fe80::1","phase":"x"}}}`, `phase "x" is unknown`},
		{`{"version":1,"stack":"demo","scale":{"w":-1}}`, `role "w" has -1 servers`},
		{strings.Repeat(" ", MaxSize+1), "are more than"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseState(%.80q) = %v, want %q in it", c.text, err, c.want)
		}
	}
}

func FuzzParseState(f *testing.F) {
	if b, err := os.ReadFile("../testdata/state.json"); err == nil {
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"stack":"demo","servers":{"a":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil {
			t.Errorf("what was read from %q cannot be read again: %v", b, err)
		}
	})
}
