// Package frame draws text for consoles: lines that are cut, filled or wrapped to a width, and a page of a title, a
// body and the keys.
//
// Call Page for a whole screen. All frames use the glyphs of the VGA text font with 256 glyphs, and colour is never the
// only sign. The package is pure.
package frame

import (
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"griddle/appliance/job"
)

// Theme is the few styles that screens use. Bold and reverse exist on every console; colours only add.
type Theme struct{ Title, Chosen, Warn, Faint lipgloss.Style }

// NewTheme makes the styles. Without color, frames have no escape sequences.
func NewTheme(color bool) Theme {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.Ascii)
	if color {
		r.SetColorProfile(termenv.ANSI)
	}
	s := r.NewStyle()
	return Theme{
		Title:  s.Reverse(true),
		Chosen: s.Bold(true),
		Warn:   s.Bold(true).Foreground(lipgloss.Color("1")),
		Faint:  s.Foreground(lipgloss.Color("6")),
	}
}

// Page is a screen of exactly rows lines, none wider than columns. What does not fit in the body is left out; notice is
// the line above the keys.
func (t Theme) Page(columns, rows int, title string, body []string, notice, keys string) string {
	lines := []string{t.Title.Render(Pad(title, columns)), ""}
	if room := Room(rows); len(body) > room {
		body = body[:room]
	}
	lines = append(lines, body...)
	for len(lines) < rows-3 {
		lines = append(lines, "")
	}
	lines = append(lines, t.Warn.Render(Cut(" "+notice, columns)), strings.Repeat("─", columns),
		t.Faint.Render(Cut(" "+keys, columns)))
	for i := range lines {
		lines[i] = strings.TrimRight(Cut(lines[i], columns), " ")
	}
	return strings.Join(lines, "\n")
}

// Room is how many lines the body of a page of rows lines has.
func Room(rows int) int { return max(0, rows-5) }

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
	for _, l := range strings.Split(ansi.Wrap(s, max(1, columns-indent-1), " /"), "\n") {
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
