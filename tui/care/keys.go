package care

import (
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/tui/frame"
)

// Key handles one key press.
func (m Model) Key(k tea.KeyMsg) (Model, tea.Cmd) {
	m.notice = ""
	if m.place.Helping || m.page != pageForm || !leads(k) {
		if next, moved := m.place.Key(k, m.draw(), m.theme, m.columns, m.rows); moved {
			m.place = next
			return m, nil
		}
	}
	switch m.page {
	case pageLooking:
		if k.Type == tea.KeyEsc {
			m.left = true
		}
	case pagePools:
		return m.list(k, len(m.pools), func(m Model) Model { m.left = true; return m },
			func(m Model) (Model, tea.Cmd) { return m.choose(m.place.Row), nil })
	case pageForms:
		return m.list(k, len(m.forms), Model.close, Model.openForm)
	case pageList:
		return m.list(k, len(m.listed()), Model.close, func(m Model) (Model, tea.Cmd) {
			m.entry = m.listed()[m.place.Row]
			return m.to(pageEntry, 0), nil
		})
	case pageEntry:
		return m.list(k, len(m.verbs()), Model.backToList, func(m Model) (Model, tea.Cmd) {
			return m.verbs()[m.place.Row].do(m)
		})
	case pageForm:
		return m.onForm(k)
	case pageConfirm:
		return m.onConfirm(k)
	case pageResult:
		if k.Type == tea.KeyEnter || k.Type == tea.KeyEsc {
			return m.afterResult(), nil
		}
	}
	return m, nil // nothing interrupts what is being done
}

// list goes back, or on with what is chosen in a list of n.
func (m Model) list(k tea.KeyMsg, n int, back func(Model) Model, pick func(Model) (Model, tea.Cmd)) (Model, tea.Cmd) {
	switch k.Type {
	case tea.KeyEsc:
		return back(m), nil
	case tea.KeyEnter:
		if m.place.Row < n {
			return pick(m)
		}
	}
	return m, nil
}

// close leaves the first page of a pool.
func (m Model) close() Model {
	if len(m.pools) > 1 {
		return m.to(pagePools, m.pool)
	}
	m.left = true
	return m
}

func (m Model) backToList() Model {
	return m.to(pageList, m.entry)
}

// afterResult is the page after that of a result.
func (m Model) afterResult() Model {
	if m.pool < 0 || len(m.pools) == 0 {
		m.left = true
		return m
	}
	form := m.form
	m = m.choose(m.pool)
	if !m.recovery {
		m.place.Row = form
	}
	return m
}

// verb is what can be done with an entry.
type verb struct {
	label string
	why   string // it cannot be done
	do    func(Model) (Model, tea.Cmd)
}

func (m Model) verbs() []verb {
	all := m.entries()
	if m.entry >= len(all) {
		return nil
	}
	e := all[m.entry]
	refuse := func(why string, do func(Model) (Model, tea.Cmd)) func(Model) (Model, tea.Cmd) {
		if why == "" {
			return do
		}
		return func(m Model) (Model, tea.Cmd) { m.notice = "Not possible. See above."; return m, nil }
	}
	remove := func(v Verb) verb {
		return verb{"Delete it", e.Keep, refuse(e.Keep, func(m Model) (Model, tea.Cmd) {
			m.typed = []string{""}
			m.asked = Request{Verb: v, Disk: m.now().Disk, Name: e.Name}
			return m.to(pageConfirm, 0), nil
		})}
	}
	if !m.isRoot() {
		return []verb{remove(DeleteImage)}
	}
	return []verb{
		{"Let it boot from the next start on", e.NoBoot, refuse(e.NoBoot, func(m Model) (Model, tea.Cmd) {
			return m.do(Request{Verb: Boot, Disk: m.now().Disk, Name: e.Name})
		})},
		{"Enter it: a shell in this system", e.NoIn, refuse(e.NoIn, func(m Model) (Model, tea.Cmd) {
			if m.away {
				m.notice = onlyHere
				return m, nil
			}
			return m.do(Request{Verb: Enter, Disk: m.now().Disk, Name: e.Name})
		})},
		remove(DeleteRoot),
	}
}

// do carries a request out.
func (m Model) do(r Request) (Model, tea.Cmd) {
	m.asked = r
	m = m.to(pageWorking, 0)
	if m.actions.Do == nil {
		return m, nil
	}
	return m, func() tea.Msg { m.actions.Do(r); return nil }
}

// maxTyped is the size of the longest line that can be typed, in bytes.
const maxTyped = 4096

// edit changes a line that is typed.
func edit(line string, k tea.KeyMsg) string {
	switch k.Type {
	case tea.KeyBackspace, tea.KeyDelete:
		if r := []rune(line); len(r) > 0 {
			return string(r[:len(r)-1])
		}
	case tea.KeyCtrlU:
		return ""
	case tea.KeySpace:
		return line + " "
	case tea.KeyRunes:
		if len(line)+len(string(k.Runes)) <= maxTyped && !k.Alt {
			return line + string(k.Runes)
		}
	}
	return line
}

func (m Model) onConfirm(k tea.KeyMsg) (Model, tea.Cmd) {
	switch k.Type {
	case tea.KeyEsc:
		return m.to(pageEntry, 0), nil
	case tea.KeyEnter:
		switch typed := strings.TrimSpace(m.typed[0]); typed {
		case m.asked.Name:
			return m.do(m.asked)
		case "":
			m.notice = "Type the name first."
		default:
			m.notice = fmt.Sprintf("%q is not the name.", frame.Clean(typed))
		}
		return m, nil
	}
	m.typed = []string{edit(m.typed[0], k)}
	return m, nil
}
