package sysroot

import (
	"slices"
	"strings"
	"testing"
)

// Whatever an image has in its hosts, there is one line of the host's own afterwards, the others stay in their order,
// and nothing changes the second time.
func FuzzSetHostLine(f *testing.F) {
	f.Add("127.0.0.1 localhost\n127.0.1.1 x\n127.0.1.1\n")
	f.Add("\x00\r\n# 127.0.1.1 y\n127.0.0.1")
	f.Fuzz(func(t *testing.T, text string) {
		got := string(SetHostLine([]byte(text), "a.b"))
		if again := string(SetHostLine([]byte(got), "a.b")); again != got {
			t.Errorf("%q became %q, and then %q", text, got, again)
		}
		rest := slices.Collect(strings.Lines(got))
		if mine := slices.DeleteFunc(slices.Clone(rest), func(l string) bool { return !own(l) }); len(mine) != 1 ||
			mine[0] != "127.0.1.1\ta.b a\n" {
			t.Errorf("%q became %q", text, got)
		}
		for line := range strings.Lines(text) {
			if own(line) {
				continue
			}
			i := slices.Index(rest, strings.TrimRight(line, "\n")+"\n")
			if i < 0 {
				t.Fatalf("%q became %q, without the line %q", text, got, line)
			}
			rest = rest[i+1:]
		}
	})
}

// own reports whether a line is of the address of the host itself.
func own(line string) bool {
	f := strings.Fields(line)
	return len(f) > 0 && f[0] == "127.0.1.1"
}
