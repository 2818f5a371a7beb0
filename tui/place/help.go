package place

import (
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"griddle/tui/frame"
)

// moving are the keys that each page has.
func moving(page frame.Page) []key.Binding {
	all := []key.Binding{frame.Key("Up, Down", "move, or scroll"), frame.Key("Page Up, Page Down", "move by a page"),
		frame.Key("Home, End", "move to the first line, to the last line")}
	if page.Filters {
		all = append(all, frame.Key("/", "show only the lines with the text that you type next; Esc shows all"))
	}
	if len(page.Sections) > 1 && !page.Types {
		all = append(all, frame.Key("Tab", "go to the next part of the page"))
	}
	return append(all, frame.Key("Ctrl-L", "draw the screen again"))
}

// Help is the page that explains another one.
func (p Place) Help(page frame.Page, t frame.Theme, columns, rows int) frame.Page {
	width := frame.Inner(columns, rows)
	lines := frame.Wrap(page.About, 1, min(width, 100))
	lines = append(lines, "")
	const names = 20
	for _, b := range append(page.Keys[:len(page.Keys):len(page.Keys)], moving(page)...) {
		name := frame.Pad(b.Help().Key, names)
		text := frame.Wrap(b.Help().Desc, 0, max(20, width-names-1))
		if width < 2*names {
			lines = append(lines, " "+t.Head.Render(b.Help().Key))
			lines = append(lines, frame.Wrap(b.Help().Desc, 3, width)...)
			continue
		}
		for i, l := range text {
			if i > 0 {
				name = strings.Repeat(" ", names)
			}
			lines = append(lines, " "+t.Head.Render(name)+l)
		}
	}
	return frame.Page{Title: page.Title, Keys: []key.Binding{frame.Key("Esc", "back to the page")},
		Sections: []frame.Section{{Title: "Help", Lines: lines, First: p.first}}}
}

// help scrolls the help, and every other key closes it.
func (p Place) help(k tea.KeyMsg, page frame.Page, t frame.Theme, columns, rows int) Place {
	if next, moved := p.move(k, p.Help(page, t, columns, rows), t, columns, rows); moved {
		return next
	}
	return Place{Row: p.Row, Filter: p.Filter}
}
