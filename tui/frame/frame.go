// Package frame draws text for consoles: lines that are cut, filled or wrapped to a width, and pages of sections.
//
// Call LookOf for what a terminal can draw, NewTheme for the styles and glyphs that it gets, and Theme.Draw for a Page.
// A large frame has its sections in boxes:
//
//	 Griddle 1.0  lab-07  1 of 4: image            the title
//	+- Images -----------------------------+
//	|   IMAGE                  SIZE        |       a section: headings, rows,
//	| > web:20261121.2@amd64   301 MB      |       the chosen one with ">"
//	+--------------------- 1 to 20 of 60 --+       a sign that there is more
//	 why a key had no effect                       the notice, or a hint
//	 Enter select   Esc back   ? help              the keys
//
// A smaller one has lines with their titles between them, and a line above the keys. Every size from 1x1 on has a frame
// of exactly its rows. What a section, a text or a frame has no room for is replaced by a sign. The glyphs are ASCII or
// those of the VGA text font with 256 glyphs, and colour is never the only sign. The package is pure.
package frame

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"griddle/appliance/job"
)

// Cells is how many character cells s is wide.
func Cells(s string) int { return ansi.StringWidth(s) }

// Cut ends a text that is too long with two dots: the VGA font has no ellipsis.
func Cut(s string, width int) string { return ansi.Truncate(s, width, "..") }

// Pad is Cut, and fills what is too short with blanks.
func Pad(s string, width int) string {
	s = Cut(s, width)
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}

// Wrap breaks s at words into lines of at most columns cells that are set in by indent cells and leave one free at
// their end.
func Wrap(s string, indent, columns int) []string {
	var out []string
	for _, l := range strings.Split(ansi.Wrap(s, max(1, columns-indent-1), ""), "\n") {
		out = append(out, strings.Repeat(" ", indent)+strings.TrimSpace(l))
	}
	return out
}

// Window is the part of n rows that is shown, room rows high with the cursor in it.
func Window(n, cursor, room int) (from, to int) {
	from = max(0, min(cursor-room/2, n-room))
	return from, min(n, from+room)
}

// Clean is job.Printable for a text longer than a name: word by word, so that only what harms a screen goes.
func Clean(s string) string {
	words := strings.Fields(s)
	for i, w := range words {
		words[i] = job.Printable(w)
	}
	return strings.Join(words, " ")
}
