package bootreport

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzBootReport(f *testing.F) {
	f.Add([]byte("failed\nfirewall: x\n"))
	f.Add([]byte("\x1b[1mgriddle: first boot failed: web-1\r\ngriddle: x\xff\n"))
	f.Add([]byte(`{"v1": {"errors": ["a\nb"], "init": {"errors": ["c"]}}}`))
	f.Add([]byte(`{"v1": {"errors": 3, "init": [], "modules-final": {"errors": {}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, first, _ := Parse(b)
		failed, second, ok := ParseConsole(b)
		if failed && (!ok || len(second) == 0) {
			t.Errorf("parseConsole(%q) = %v, %q, %v", b, failed, second, ok)
		}
		for _, r := range append(append(first, second...), CloudInitErrors(b)...) {
			if r == "" || len(r) > maxReason+len("…") || !utf8.ValidString(r) || strings.ContainsAny(r, "\n\r\x1b") {
				t.Errorf("a reason is %q", r)
			}
		}
		LastLines(ConsoleLines(b), ShownLines)
	})
}
