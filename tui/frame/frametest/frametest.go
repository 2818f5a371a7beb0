// Package frametest holds the frames of pages to what a console can draw, for tests.
//
// Call Check with each frame.
package frametest

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Check fails t unless frame is UTF-8 without control characters, of exactly rows rows with at most columns cells each.
func Check(t testing.TB, frame string, columns, rows int) {
	t.Helper()
	lines := strings.Split(frame, "\n")
	if len(lines) != rows {
		t.Errorf("frame has %d rows, want %d", len(lines), rows)
	}
	if !utf8.ValidString(frame) {
		t.Error("frame is not UTF-8")
	}
	for i, l := range lines {
		if w := ansi.StringWidth(l); w > columns {
			t.Errorf("row %d has %d columns, want at most %d: %q", i, w, columns, l)
		}
		for _, r := range l {
			if r < ' ' || r == 0x7f {
				t.Errorf("row %d has the control character %q", i, r)
			}
		}
	}
}
