package care

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/key"

	"griddle/tui/frame"
)

// View draws the page.
func (m Model) View() string {
	p := m.draw()
	if m.place.Helping {
		p = m.place.Help(p, m.theme, m.columns, m.rows)
	}
	return m.theme.Draw(p, m.columns, m.rows)
}

// inner is how many cells a line has.
func (m Model) inner() int { return frame.Inner(m.columns, m.rows) }

// draw is the present page, with the user's place marked.
func (m Model) draw() frame.Page {
	p := m.present()
	name := "Maintenance"
	if m.recovery {
		name = "Recovery"
	}
	if p.Title != "" {
		name += ": " + p.Title
	}
	p.Title = " " + m.head + "  " + name
	p.Notice = m.notice
	p.Sections = m.place.Mark(p.Sections)
	return p
}

func (m Model) present() frame.Page {
	back := frame.Key("Esc", "back")
	list := []key.Binding{frame.Key("Enter", "select"), back}
	text := func(does string) []key.Binding {
		return []key.Binding{frame.Key("Enter", does), back, frame.Key("Ctrl-U", "clear")}
	}
	switch m.page {
	case pagePools:
		return frame.Page{Title: "which disk", Sections: m.poolsPage(), Keys: list, About: aboutPools}
	case pageForms:
		return frame.Page{Sections: m.formsPage(), Keys: list, About: aboutForms}
	case pageForm:
		enter := "next"
		if m.line >= len(m.typed)-1 {
			enter = "do it"
		}
		return frame.Page{Title: m.forms[m.form].Title, Sections: m.formPage(), Keys: text(enter), Types: true,
			About: aboutForm}
	case pageList:
		return frame.Page{Sections: m.listPage(), Keys: list, Filters: true, About: aboutList}
	case pageEntry:
		return frame.Page{Sections: m.entryPage(), Keys: list, About: aboutEntry}
	case pageConfirm:
		return frame.Page{Title: "what will be lost", Sections: m.confirmPage(), Keys: text("delete"), Types: true,
			About: aboutConfirm}
	case pageWorking:
		return frame.Page{Title: "working", Sections: m.says("Working",
			"This is being done. Do not switch the machine off."),
			Keys: []key.Binding{frame.Key("No key", "is needed.")}, About: aboutWorking}
	case pageResult:
		return frame.Page{Title: "result", Sections: m.resultPage(), Keys: []key.Binding{frame.Key("Enter", "back")},
			About: aboutResult}
	}
	return frame.Page{Title: "looking", Sections: m.says("Looking", "Reading the pools of this machine."),
		Keys: []key.Binding{back}, About: aboutLooking}
}

func (m Model) wrap(s string) []string { return frame.Wrap(frame.Clean(s), 1, m.inner()) }

// warn is a text that stands out.
func (m Model) warn(s string) []string {
	out := m.wrap(s)
	for i := range out {
		out[i] = m.theme.Warn.Render(out[i])
	}
	return out
}

// says is a page of one text.
func (m Model) says(title, text string) []frame.Section {
	return []frame.Section{{Title: title, Lines: m.wrap(text)}}
}

// choices is a section of rows, of which the user chooses one.
func (m Model) choices(title string, rows []string) frame.Section {
	s := frame.Section{Title: title, List: true}
	for i, r := range rows {
		s.Lines = append(s.Lines, m.theme.Row(i == m.place.Row, r, m.inner()))
	}
	return s
}

func (m Model) poolsPage() []frame.Section {
	names := frame.Names(m.pools, func(p Pool) string { return p.Name }, max(10, m.inner()-4))
	return []frame.Section{m.choices("Several disks have a pool", names)}
}

func (m Model) formsPage() []frame.Section {
	p := m.now()
	system := "System  " + frame.Clean(p.System)
	if !p.Here {
		system += " on " + frame.Clean(p.Name)
	}
	about := m.wrap(system)
	if p.Problem != "" {
		about = append(about, m.warn(p.Problem)...)
	}
	var rows []string
	for _, f := range m.forms {
		rows = append(rows, f.Title)
	}
	return []frame.Section{{Title: "Installed system", Lines: about}, m.choices("What to change", rows)}
}

// formPage is the lines of the form.
func (m Model) formPage() []frame.Section {
	f, all, width := m.forms[m.form], m.inputs(), m.inner()
	var lines []string
	for i, in := range all {
		label := in.Label
		if in.again {
			label = "once more"
		}
		typed := printable(m.typed[i])
		if in.Secret {
			typed = m.masked(m.typed[i])
		}
		end := ""
		if i == m.line {
			end = "_"
		}
		names := min(14, width/3)
		line := frame.Pad(label, names) + " " + ending(typed, width-names-6) + end
		lines = append(lines, m.theme.Row(i == m.line, line, width))
	}
	help := m.wrap("Press Enter to do it.")
	if len(all) > 0 {
		in := all[m.line]
		text := in.Label + ": " + in.Help
		if !in.Required {
			text += " (not needed)"
		}
		help = m.wrap(text)
	}
	out := []frame.Section{{Title: f.Title, Lines: append(help, m.wrap(f.About)...)}}
	if len(all) > 0 {
		out = append(out, frame.Section{Title: "Values", Lines: lines, First: max(0, m.line-1), Keep: true})
	}
	return out
}

// masked is what is shown of a secret.
func (m Model) masked(typed string) string {
	if m.away {
		return "(only at the machine)"
	}
	return strings.Repeat("*", len([]rune(typed)))
}

// ending is the end of what is typed: what is typed last is what is seen.
func ending(s string, width int) string {
	r := []rune(s)
	at, used := len(r), 0
	for at > 0 {
		if used += frame.Cells(string(r[at-1])); used > max(0, width) {
			break
		}
		at--
	}
	if at > 0 && len(r)-at > 2 {
		return ".." + string(r[at+2:])
	}
	return string(r[at:])
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

// listed are the places, among the entries, of those that the filter leaves.
func (m Model) listed() (out []int) {
	for i, e := range m.entries() {
		if m.place.Takes(e.Name, e.State, e.Made) {
			out = append(out, i)
		}
	}
	return out
}

func (m Model) listPage() []frame.Section {
	p, width, all := m.now(), m.inner(), m.entries()
	var shown []Entry
	for _, i := range m.listed() {
		shown = append(shown, all[i])
	}
	const made, state = 17, 16
	wide := width >= 70
	room := width - 3 - 7 - 1
	if wide {
		room = min(60, room-made-state)
	}
	names := frame.Names(shown, func(e Entry) string { return e.Name }, max(10, room))
	var rows []string
	for at, i := range m.listed() {
		kind := "root "
		if i >= len(p.Roots) {
			kind = "image"
		}
		line := kind + "  " + names[at]
		if wide {
			line = kind + "  " + frame.Pad(names[at], room) + " " + frame.Pad(all[i].Made, made-1) + " " + all[i].State
		} else if all[i].State != "" {
			state := " (" + all[i].State + ")"
			line = kind + "  " + frame.CutMiddle(names[at], max(8, width-10-frame.Cells(state))) + state
		}
		rows = append(rows, line)
	}
	about := m.wrap(p.Name + ": " + p.Free)
	if p.Problem != "" {
		about = append(about, m.warn(p.Problem)...)
	}
	switch {
	case len(all) == 0:
		about = append(about, m.wrap("There are no roots and no images.")...)
	case len(rows) == 0:
		about = append(about, m.wrap("Nothing matches the filter.")...)
	default:
		e := shown[min(m.place.Row, len(shown)-1)]
		if full := frame.Visible(e.Name); full != names[min(m.place.Row, len(shown)-1)] {
			about = append(about, m.wrap("Chosen: "+full)...)
		}
	}
	return []frame.Section{{Title: "Pool", Lines: about}, m.choices("Roots and images, with times in UTC", rows)}
}

func (m Model) entryPage() []frame.Section {
	all := m.entries()
	if m.entry >= len(all) {
		return nil
	}
	e, width := all[m.entry], m.inner()
	kind := "Image"
	if m.isRoot() {
		kind = "Root"
	}
	about := frame.Wrap(printable(e.Name), 8, width)
	about[0] = fmt.Sprintf(" %-6s %s", kind, strings.TrimLeft(about[0], " "))
	if e.Made != "" {
		about = append(about, frame.Cut(" Made   "+e.Made, width))
	}
	if e.State != "" {
		about = append(about, frame.Cut(" State  "+e.State, width))
	}
	verbs := m.verbs()
	var rows []string
	for _, v := range verbs {
		label := v.label
		if v.why != "" {
			label += " (not possible)"
		}
		rows = append(rows, label)
	}
	if why := verbs[min(m.place.Row, len(verbs)-1)].why; why != "" {
		about = append(about, m.warn("Not possible: "+why+".")...)
	}
	list := m.choices("What to do", rows)
	list.Keep = true
	return []frame.Section{{Title: kind, Lines: about}, list}
}

func (m Model) confirmPage() []frame.Section {
	e, width := m.entries()[m.entry], m.inner()
	ask := append(m.wrap("To delete it, type its name:"), frame.Wrap(printable(e.Name), 1, width)...)
	ask = append(ask, m.theme.Head.Render(" > "+ending(printable(m.typed[0]), width-5)+"_"))
	lost := m.warn("THIS WILL BE LOST:")
	for _, l := range e.Lost {
		lost = append(lost, frame.Wrap(frame.Clean(l), 3, width)...)
	}
	return []frame.Section{{Title: "What will be lost", Lines: lost},
		{Title: "Confirm", Lines: ask, Keep: true, First: len(ask)}}
}

func (m Model) resultPage() []frame.Section {
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
	return []frame.Section{{Title: "Result", Lines: out}}
}
