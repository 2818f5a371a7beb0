package frame

import (
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// Ink is what a terminal has besides characters.
type Ink int

// The values of Ink.
const (
	Plain  Ink = iota // nothing: no escape sequence is used
	Mono              // bold and reverse
	Colors            // those and the eight colours
)

// Look is what a terminal can draw. The zero value fits all of them.
type Look struct {
	Ink   Ink
	Lines bool // the lines and blocks of the VGA font, as UTF-8
}

// LookOf is the look of a terminal by its TERM, without colours if noColor. Terminals that only exist as devices have
// ASCII alone. An unknown name means one of today's emulators.
func LookOf(term string, noColor bool) Look {
	l := Look{Ink: Colors, Lines: true}
	name, _, _ := strings.Cut(strings.ToLower(term), "-")
	switch name {
	case "dumb", "unknown", "teletype", "tty33":
		return Look{}
	case "vt52", "vt100", "vt102", "vt220", "vt320", "wyse50", "wyse60", "wy50", "wy60", "sun", "adm3a":
		l = Look{Ink: Mono}
	case "ansi", "pcansi", "cons25", "hyperterm":
		l.Lines = false
	}
	if noColor || strings.HasSuffix(strings.ToLower(term), "-m") || strings.HasSuffix(strings.ToLower(term), "-mono") {
		l.Ink = min(l.Ink, Mono)
	}
	return l
}

// Theme is all that pages are drawn with: a few styles and glyphs. A character or a word says all that a
// colour says. Only the colours 1 to 7 are used: with a font of 512 glyphs the Linux console takes the bit of the
// bright ones for the font, and colour 8 is black on black.
type Theme struct {
	Title  lipgloss.Style // the bar at the top
	Chosen lipgloss.Style // the bar of the chosen line, which begins with ">"
	Warn   lipgloss.Style // what the user must not miss, said in words
	Good   lipgloss.Style // what is done
	Head   lipgloss.Style // titles of sections and columns, names of keys
	Faint  lipgloss.Style // borders, and what is less important

	border      lipgloss.Border
	full, empty string // of a progress bar
	ascii       bool
}

// NewTheme makes the theme for a look.
func NewTheme(l Look) Theme {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.Ascii)
	if l.Ink != Plain {
		r.SetColorProfile(termenv.ANSI)
	}
	s := r.NewStyle()
	t := Theme{Title: s.Reverse(true), Chosen: s.Reverse(true), Warn: s.Bold(true), Good: s, Head: s.Bold(true),
		Faint: s, border: lipgloss.ASCIIBorder(), full: "#", empty: "."}
	if l.Ink == Colors {
		color := func(s lipgloss.Style, fore string) lipgloss.Style { return s.Foreground(lipgloss.Color(fore)) }
		t.Title = color(s.Bold(true).Background(lipgloss.Color("4")), "7")
		t.Chosen = color(s.Background(lipgloss.Color("6")), "0")
		t.Warn, t.Good = color(t.Warn, "1"), color(s, "2")
		t.Head, t.Faint = color(t.Head, "6"), color(s, "6")
	}
	if l.Lines {
		t.border, t.full, t.empty = lipgloss.NormalBorder(), "█", "░"
	}
	t.ascii = !l.Lines
	return t
}

// Bar draws percent of width cells.
func (t Theme) Bar(percent, width int) string {
	width = max(0, width)
	n := min(max(percent, 0), 100) * width / 100
	return t.Good.Render(strings.Repeat(t.full, n)) + t.Faint.Render(strings.Repeat(t.empty, width-n))
}

// Row is one line of a list, width cells wide. The chosen one is a bar that begins with ">".
func (t Theme) Row(chosen bool, text string, width int) string {
	if chosen {
		return t.Chosen.Render(Pad(" > "+text, width))
	}
	return Cut("   "+text, width)
}
