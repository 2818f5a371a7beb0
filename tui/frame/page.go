package frame

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/help"
	"github.com/charmbracelet/bubbles/key"
)

// Page is what a screen shows.
type Page struct {
	Title    string
	Sections []Section
	Notice   string // above the keys: what the user must not miss
	Hint     string // in its place while there is none
	Keys     []key.Binding
	About    string // what Help says of the page
	Filters  bool   // its list can be filtered
	Types    bool   // its keys are text, so that only F1 helps
}

// Key names a key and what it does.
func Key(name, does string) key.Binding {
	return key.NewBinding(key.WithKeys(name), key.WithHelp(name, does))
}

// The least frame in which a page can be read.
const minColumns, minRows = 16, 3

// From these sizes on, sections are in boxes. Below, each cell is needed, and text has nothing at its sides that would
// be copied with it.
const boxColumns, boxRows = 100, 30

// Boxed reports whether the sections of a frame are in boxes.
func Boxed(columns, rows int) bool { return columns >= boxColumns && rows >= boxRows }

// Inner is how many cells a line of a section has that is as wide as the frame.
func Inner(columns, rows int) int {
	if Boxed(columns, rows) {
		return columns - 2
	}
	return columns
}

// Halves divides a frame with boxes, of least columns or more, into a section of percent of it and one at its side. It
// gives the columns of the first, and the cells of a line of each; zero columns if they are one below the other.
func Halves(columns, rows, percent, least int) (left, first, second int) {
	if !Boxed(columns, rows) || columns < least {
		return 0, Inner(columns, rows), Inner(columns, rows)
	}
	left = columns * percent / 100
	return left, left - 2, columns - left - 2
}

// edges is how a frame is divided: the lines above the keys, and the rows that are left for the sections.
func (t Theme) edges(p Page, columns, rows int) (notice []string, room int) {
	style, text := t.Warn, p.Notice
	if text == "" {
		style, text = t.Faint, p.Hint
	}
	most := max(1, rows/6)
	notice = Wrap(text, 1, columns)
	if len(notice) > most {
		notice = append(notice[:most-1:most-1], Cut(" "+strings.TrimSpace(strings.Join(notice[most-1:], "")), columns))
	}
	for i := range notice {
		notice[i] = style.Render(notice[i])
	}
	switch {
	case rows < 8:
		return notice, rows - 2
	case Boxed(columns, rows):
		return notice, rows - 2 - len(notice)
	}
	return notice, rows - 3 - len(notice)
}

// Draw draws a page of exactly rows lines, none wider than columns. Nothing is left out without a sign.
func (t Theme) Draw(p Page, columns, rows int) string {
	columns, rows = max(1, columns), max(1, rows)
	if columns < minColumns || rows < minRows {
		lines := Wrap(fmt.Sprintf("Too small: %dx%d is needed.", minColumns, minRows), 0, columns+1)
		return t.fill(lines[:min(len(lines), rows)], columns, rows)
	}
	notice, room := t.edges(p, columns, rows)
	lines := []string{t.Title.Render(Pad(p.Title, columns))}
	body, hidden := t.body(p.Sections, columns, room, Boxed(columns, rows))
	lines = append(lines, body[:min(len(body), room)]...)
	for len(lines) < 1+room {
		lines = append(lines, "")
	}
	if rows >= 8 {
		lines = append(lines, notice...)
		if !Boxed(columns, rows) {
			lines = append(lines, t.edge("", "", "", "", columns))
		}
	} else if p.Notice != "" {
		return t.fill(append(lines, notice[0]), columns, rows)
	}
	return t.fill(append(lines, t.keys(p, hidden, columns)), columns, rows)
}

// keys is the line of the keys. What helps is always there, and Tab if it leads to a section that is not drawn.
func (t Theme) keys(p Page, hidden, columns int) string {
	const between = "   "
	all := p.Keys
	if p.Filters {
		all = append(all[:len(all):len(all)], Key("/", "filter"))
	}
	h := help.Model{ShortSeparator: between, Ellipsis: "..", Styles: help.Styles{Ellipsis: t.Faint, ShortKey: t.Head,
		ShortSeparator: t.Faint}}
	last := []key.Binding{Key("?", "help")}
	if p.Types {
		last[0] = Key("F1", "help")
	}
	if hidden > 0 {
		last = append([]key.Binding{Key("Tab", fmt.Sprintf("%d more", hidden))}, last...)
	}
	end := h.ShortHelpView(last)
	h.Width = columns - 1 - len(between) - Cells(end)
	if len(all) == 0 || h.Width < 8 {
		return Cut(" "+end, columns)
	}
	return Cut(" "+h.ShortHelpView(all)+between+end, columns)
}

// Rows is how many lines each section of a page shows that scroll; zero for those that are not drawn.
func (t Theme) Rows(p Page, columns, rows int) []int {
	_, room := t.edges(p, columns, rows)
	all, _ := blocks(p.Sections, Boxed(columns, rows), room)
	out := make([]int, len(p.Sections))
	for _, b := range all {
		for _, s := range b.sections {
			out[s.number] = b.rows - min(s.Head, max(0, b.rows-1))
		}
	}
	return out
}

// fill makes rows lines of at most columns cells. What a terminal without lines lacks becomes "?".
func (t Theme) fill(lines []string, columns, rows int) string {
	for len(lines) < rows {
		lines = append(lines, "")
	}
	for i := range lines {
		lines[i] = strings.TrimRight(Cut(lines[i], columns), " ")
	}
	out := strings.Join(lines[:rows], "\n")
	if t.ascii {
		out = ASCII(out)
	}
	return out
}

// ASCII is s with "?" in each cell of a character that is not ASCII.
func ASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x7f {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Repeat("?", Cells(string(r))))
		}
	}
	return b.String()
}
