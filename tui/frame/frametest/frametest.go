// Package frametest holds the frames of pages to what a console can draw, for tests.
//
// Call Goldens with each page, and Check with each frame that has no golden.
package frametest

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"griddle/tui/frame"
)

// Check fails t unless text is a frame: UTF-8 without control characters, of exactly rows rows with at most columns
// cells each.
func Check(t testing.TB, text string, columns, rows int) {
	t.Helper()
	lines := strings.Split(text, "\n")
	if len(lines) != rows {
		t.Errorf("frame has %d rows, want %d", len(lines), rows)
	}
	if !utf8.ValidString(text) {
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

// CheckASCII fails t unless ascii is the same frame as lines, with other glyphs for lines and blocks alone.
func CheckASCII(t testing.TB, lines, ascii string) {
	t.Helper()
	same := strings.NewReplacer("─", "-", "│", "|", "┌", "+", "┐", "+", "└", "+", "┘", "+", "┬", "+",
		"┴", "+", "█", "#", "░", ".")
	if got := frame.ASCII(same.Replace(lines)); got != ascii {
		t.Errorf("without lines the frame is\n%s\nwant\n%s", ascii, got)
	}
}

// trimmed is a frame without blanks at the ends of its lines.
func trimmed(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
