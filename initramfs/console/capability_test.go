package console

import (
	"bytes"
	"reflect"
	"testing"
)

func TestTold(t *testing.T) {
	for line, want := range map[string]struct {
		term    string
		noColor bool
	}{
		"":                                    {},
		"console=ttyS0 quiet\n":               {},
		"console=ttyS0 TERM=vt100 NO_COLOR=1": {"vt100", true},
		"TERM=xterm-256color TERM=dumb":       {"dumb", false},
		"TERM= NO_COLOR= TERM=\x1b[2J TERM=a/../b": {},
		"XTERM=vt100 NO_COLORS=1":                  {},
	} {
		if term, noColor := configured(line); term != want.term || noColor != want.noColor {
			t.Errorf("configured(%q) = %q, %v, want %+v", line, term, noColor, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		in, keys string
		want     []Answer
	}{
		{"abc\r", "abc\r", nil},
		{"\x1b[A\x1b[5~", "\x1b[A\x1b[5~", nil},
		{"\x1b[1;2R\x1b[24;80R", "", []Answer{{UTF8: true}, {Columns: 80, Rows: 24}}},
		{"x\x1b[1;3Ry\x1b[50;160Rz", "xyz", []Answer{{}, {Columns: 160, Rows: 50}}},
		{"\x1b[24;80", "\x1b[24;80", nil},
		{"\x1b[0;0R\x1b[65536;1R\x1b[9999;9999R\x1b[R\x1b[;R\x1b[1;1R", "", nil},
		{"\x1b", "\x1b", nil},
		{"\x1b\x1b[1;2R", "\x1b", []Answer{{UTF8: true}}},
	} {
		keys, answers := Answers([]byte(c.in))
		if string(keys) != c.keys || !reflect.DeepEqual(answers, c.want) {
			t.Errorf("Answers(%q) = %q, %+v, want %q, %+v", c.in, keys, answers, c.keys, c.want)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("x\x1b[1;3Ry\x1b[50;160Rz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, answers := Answers(bytes.Clone(b))
		if len(answers) == 0 && len(keys) > len(b) || len(keys) > len(b) {
			t.Errorf("Answers(%q) makes the keys %q", b, keys)
		}
		for _, a := range answers {
			if a.Columns < 0 || a.Columns > mostSize || a.Rows < 0 || a.Rows > mostSize {
				t.Errorf("Answers(%q) has a size of %dx%d", b, a.Columns, a.Rows)
			}
		}
	})
}
