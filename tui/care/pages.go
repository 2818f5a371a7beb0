package care

import (
	"fmt"
	"strings"

	"griddle/tui/frame"
)

// View draws the page.
func (m Model) View() string {
	title, body, keys := m.draw()
	return m.theme.Page(m.columns, m.rows, " "+m.head+"  "+title, body, m.notice, keys)
}

func (m Model) draw() (title string, body []string, keys string) {
	const list = "Up/Down move   Enter select   Esc back"
	switch m.page {
	case pagePools:
		return m.title("which disk"), m.poolsPage(), list
	case pageForms:
		return m.title(""), m.formsPage(), list
	case pageForm:
		enter := "Enter next"
		if m.line >= len(m.typed)-1 {
			enter = "Enter do it"
		}
		return m.title(m.forms[m.form].Title), m.formPage(), enter + "   Esc back   Ctrl-U clear"
	case pageList:
		return m.title(""), m.listPage(), list
	case pageEntry:
		return m.title(""), m.entryPage(), list
	case pageConfirm:
		return m.title("what will be lost"), m.confirmPage(), "Enter delete   Esc back   Ctrl-U clear"
	case pageWorking:
		return m.title("working"), []string{" This is being done. Do not switch the machine off."}, "No key is needed."
	case pageResult:
		return m.title("result"), m.resultPage(), "Enter back"
	}
	return m.title("looking"), []string{" Reading the pools of this machine."}, "Esc back"
}

func (m Model) title(s string) string {
	name := "Maintenance"
	if m.recovery {
		name = "Recovery"
	}
	if s == "" {
		return name
	}
	return name + ": " + s
}

// row is one line of a list.
func (m Model) row(i int, text string) string {
	if i == m.cursor {
		return m.theme.Chosen.Render(frame.Cut(" > "+text, m.columns))
	}
	return frame.Cut("   "+text, m.columns)
}

func (m Model) wrap(s string) []string { return frame.Wrap(frame.Clean(s), 1, m.columns) }

// warn is a text that stands out.
func (m Model) warn(s string) []string {
	var out []string
	for _, l := range m.wrap(s) {
		out = append(out, m.theme.Warn.Render(l))
	}
	return out
}

// under adds a part of the rows of a list, as many as fit below what is there, with left lines free at the end.
func (m Model) under(out []string, rows []string, left int) []string {
	room := max(1, frame.Room(m.rows)-len(out)-left)
	if len(rows) > room && room > 1 {
		room-- // for the line that counts
	}
	at := m.cursor
	from, to := frame.Window(len(rows), at, room)
	out = append(out, rows[from:to]...)
	if from > 0 || to < len(rows) {
		out = append(out, fmt.Sprintf("   %d to %d of %d", from+1, to, len(rows)))
	}
	return out
}

func (m Model) poolsPage() []string {
	var rows []string
	for i, p := range m.pools {
		rows = append(rows, m.row(i, frame.Clean(p.Name)))
	}
	return m.under([]string{" Several disks have a pool.", ""}, rows, 0)
}

func (m Model) formsPage() []string {
	p := m.now()
	system := " System  " + frame.Clean(p.System)
	if !p.Here {
		system += " on " + frame.Clean(p.Name)
	}
	out := []string{frame.Cut(system, m.columns)}
	if p.Problem != "" {
		out = append(out, m.warn(p.Problem)...)
	}
	var rows []string
	for i, f := range m.forms {
		rows = append(rows, m.row(i, f.Title))
	}
	return m.under(append(out, ""), rows, 0)
}

// formPage is the lines of the form. Where the page is low, what the form is for is left out.
func (m Model) formPage() []string {
	f, all := m.forms[m.form], m.inputs()
	var out, lines []string
	for i, in := range all {
		label := in.Label
		if in.again {
			label = "once more"
		}
		typed := m.typed[i]
		if in.Secret {
			typed = strings.Repeat("*", len([]rune(typed)))
		}
		const width = 14
		mark, end := "   ", ""
		if i == m.line {
			mark, end = " > ", "_"
		}
		room := m.columns - len(mark) - width - 2
		// What is typed last is what is seen.
		if r := []rune(printable(typed)); len(r) > room-1 {
			typed = ".." + string(r[len(r)-room+3:])
		} else {
			typed = string(r)
		}
		line := mark + frame.Pad(label, width) + " " + typed + end
		if i == m.line {
			line = m.theme.Chosen.Render(line)
		}
		lines = append(lines, line)
	}
	help := []string{" Press Enter to do it."}
	if len(all) > 0 {
		in := all[m.line]
		text := in.Label + ": " + in.Help
		if !in.Required {
			text += " (not needed)"
		}
		help = m.wrap(text)
	}
	if about := m.wrap(f.About); len(about)+len(lines)+len(help)+2 <= frame.Room(m.rows) {
		out = append(about, "")
	}
	return append(append(append(out, lines...), ""), help...)
}

// printable is what a line may show of what was typed, blanks too.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' {
			return r
		}
		if frame.Clean(string(r)) == "" {
			return -1
		}
		return r
	}, s)
}

func (m Model) listPage() []string {
	p := m.now()
	out := []string{frame.Cut(" "+frame.Clean(p.Name)+": "+p.Free, m.columns)}
	if p.Problem != "" {
		out = append(out, m.warn(p.Problem)...)
	}
	var rows []string
	width := max(12, m.columns-3-7-17-22)
	wide := m.columns >= 70
	for i, e := range m.entries() {
		kind, state := "root ", e.State
		if i >= len(p.Roots) {
			kind = "image"
		}
		line := kind + "  "
		if wide {
			line += frame.Pad(frame.Clean(e.Name), width) + " " + frame.Pad(e.Made, 16) + " " + state
		} else {
			if state != "" {
				state = " (" + state + ")"
			}
			line += frame.Cut(frame.Clean(e.Name), max(8, m.columns-10-len(state))) + state
		}
		rows = append(rows, m.row(i, line))
	}
	if len(rows) == 0 {
		return append(out, "", " There are no roots and no images.")
	}
	return m.under(append(out, ""), rows, 0)
}

func (m Model) entryPage() []string {
	all := m.entries()
	if m.entry >= len(all) {
		return nil
	}
	e := all[m.entry]
	kind := "Image"
	if m.isRoot() {
		kind = "Root"
	}
	out := []string{" " + frame.Pad(kind, 6)}
	if lines := frame.Wrap(printable(e.Name), 8, m.columns); len(lines) > 0 {
		out = append([]string{out[0] + lines[0][7:]}, lines[1:]...)
	}
	low := frame.Room(m.rows) < 10
	if e.Made != "" && !low {
		out = append(out, " Made   "+e.Made)
	}
	if e.State != "" {
		out = append(out, frame.Cut(" State  "+e.State, m.columns))
	}
	if !low {
		out = append(out, "")
	}
	for i, v := range m.verbs() {
		label := v.label
		if v.why != "" {
			label += " (not possible)"
		}
		out = append(out, m.row(i, label))
	}
	if why := m.verbs()[m.cursor].why; why != "" {
		if !low {
			out = append(out, "")
		}
		out = append(out, m.wrap("Not possible: "+why+".")...)
	}
	return out
}

func (m Model) confirmPage() []string {
	e := m.entries()[m.entry]
	ask := append(m.wrap("To delete it, type its name:"), frame.Wrap(printable(e.Name), 1, m.columns)...)
	typed := []rune(printable(m.typed[0]))
	if room := m.columns - 5; len(typed) > room {
		typed = typed[len(typed)-room:]
	}
	ask = append(ask, " > "+string(typed)+"_")
	out := m.warn("THIS WILL BE LOST:")
	var lost []string
	for _, l := range e.Lost {
		lost = append(lost, frame.Wrap(frame.Clean(l), 3, m.columns)...)
	}
	if room := max(1, frame.Room(m.rows)-len(out)-len(ask)); len(lost) > room {
		lost = append(lost[:room-1:room-1], fmt.Sprintf("   and %d more lines", len(lost)-room+1))
	}
	out = append(out, lost...)
	if len(out)+len(ask) < frame.Room(m.rows) {
		out = append(out, "")
	}
	return append(out, ask...)
}

func (m Model) resultPage() []string {
	var out []string
	if m.err != nil {
		out = append(out, m.warn("NOT DONE")...)
		for line := range strings.Lines(m.err.Error()) {
			out = append(out, m.wrap(line)...)
		}
	}
	for _, s := range m.said {
		out = append(out, m.wrap(s)...)
	}
	if len(out) == 0 {
		out = []string{" Done."}
	}
	return out
}
