// Package place keeps where the user is on a page: the chosen row, the section that the keys move, the filter, the
// help.
//
// Pass each key press to Key first. What it does not take is for the page. Call Mark for the sections that are drawn,
// and Help for the page in their place while Helping is true. A page has its own Place: the zero value is its
// beginning.
//
// The package is pure. A Place fits frames of any size, so that consoles of different sizes show the same.
package place

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/tui/frame"
)

// Place is where the user is on a page.
type Place struct {
	Row     int    // the chosen one of the rows that the filter leaves
	Filter  string // as it was typed
	Typing  bool   // keys go to Filter
	Helping bool   // the help is shown

	tabs     int  // how often Tab went on from the main section
	scrolled bool // the section begins with first, and not where the page has it begin
	first    int
}

// maxFilter is the length of the longest filter, in bytes.
const maxFilter = 64

// main is the section that keys move before Tab is pressed: the list, else the main one, else the first.
func main(sections []frame.Section) int {
	for i, s := range sections {
		if s.List {
			return i
		}
	}
	for i, s := range sections {
		if s.Main {
			return i
		}
	}
	return 0
}

// active is the section that keys move now.
func (p Place) active(sections []frame.Section) int {
	if len(sections) == 0 {
		return 0
	}
	return (main(sections) + p.tabs) % len(sections)
}

// Mark is the sections as the user has moved in them.
func (p Place) Mark(sections []frame.Section) []frame.Section {
	out := append([]frame.Section(nil), sections...)
	at := p.active(out)
	for i := range out {
		if out[i].List {
			out[i].At = p.Row
			out[i].Title += p.filter()
		}
		if i == at {
			out[i].Active = p.tabs > 0
			if p.scrolled {
				out[i].First = p.first
			}
		}
	}
	return out
}

// filter is what the title of a list says of it.
func (p Place) filter() string {
	switch {
	case p.Typing:
		return "  /" + p.Filter + "_"
	case p.Filter != "":
		return "  /" + p.Filter
	}
	return ""
}

// Takes reports whether one of texts has the filter in it. Case does not count.
func (p Place) Takes(texts ...string) bool {
	for _, t := range texts {
		if strings.Contains(strings.ToLower(t), strings.ToLower(p.Filter)) {
			return true
		}
	}
	return p.Filter == ""
}

// Key moves on a page as the key says, in a frame of columns by rows. It reports false for a key that does not move.
func (p Place) Key(k tea.KeyMsg, page frame.Page, t frame.Theme, columns, rows int) (Place, bool) {
	switch {
	case p.Helping:
		return p.help(k, page, t, columns, rows), true
	case p.Typing:
		if next, ok := p.typing(k); ok {
			return next, true
		}
	}
	switch k.String() {
	case "f1", "?":
		if k.Type == tea.KeyF1 || !page.Types {
			return Place{Row: p.Row, Filter: p.Filter, Helping: true}, true
		}
		return p, false
	case "/":
		if page.Filters {
			p.Typing = true
			return p, true
		}
	case "esc":
		if p.Filter != "" {
			return Place{}, true
		}
	case "tab", "shift+tab":
		if n := len(page.Sections); n > 1 {
			step := 1
			if k.Type == tea.KeyShiftTab {
				step = n - 1
			}
			p.tabs, p.scrolled = (p.tabs+step)%n, false
			return p, true
		}
	default:
		return p.move(k, page, t, columns, rows)
	}
	return p, false
}

// move chooses another row of a list, or scrolls another section.
func (p Place) move(k tea.KeyMsg, page frame.Page, t frame.Theme, columns, rows int) (Place, bool) {
	if len(page.Sections) == 0 {
		return p, false
	}
	at := p.active(page.Sections)
	s, shown := page.Sections[at], max(1, t.Rows(page, columns, rows)[at])
	n := len(s.Lines) - s.Head
	now, last := p.Row, n-1
	if !s.List {
		last = max(0, n-shown)
		if now = s.First; p.scrolled {
			now = p.first
		}
	}
	now = max(0, min(now, last))
	switch k.String() {
	case "up":
		now--
	case "down":
		now++
	case "pgup":
		now -= shown
	case "pgdown":
		now += shown
	case "home":
		now = 0
	case "end":
		now = last
	default:
		return p, false
	}
	now = max(0, min(now, last))
	if s.List {
		p.Row = now
	} else {
		p.first, p.scrolled = now, true
	}
	return p, true
}

// typing changes the filter. Keys that move still do.
func (p Place) typing(k tea.KeyMsg) (Place, bool) {
	before := p.Filter
	switch k.Type {
	case tea.KeyEnter:
		p.Typing = false
	case tea.KeyEsc:
		return Place{}, true
	case tea.KeyBackspace, tea.KeyDelete:
		if r := []rune(p.Filter); len(r) > 0 {
			p.Filter = string(r[:len(r)-1])
		}
	case tea.KeyCtrlU:
		p.Filter = ""
	case tea.KeyRunes:
		if typed := frame.Clean(string(k.Runes)); len(p.Filter)+len(typed) <= maxFilter && !k.Alt {
			p.Filter += typed
		}
	default:
		return p, false
	}
	if p.Filter != before {
		p.Row = 0
	}
	return p, true
}
