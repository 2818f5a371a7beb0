package tui

import (
	"github.com/charmbracelet/bubbles/key"

	"griddle/tui/frame"
)

// View implements tea.Model: as many lines as the terminal has, none wider than it.
func (m Model) View() string {
	if m.page == pageCare {
		return m.care.View()
	}
	p := m.draw()
	if m.place.Helping {
		p = m.place.Help(p, m.theme, m.columns, m.rows)
	}
	return m.theme.Draw(p, m.columns, m.rows)
}

// inner is how many cells a line of a section has.
func (m Model) inner() int { return frame.Inner(m.columns, m.rows) }

// halves divides the frame as frame.Halves does.
func (m Model) halves(percent, least int) (columns, first, second int) {
	return frame.Halves(m.columns, m.rows, percent, least)
}

// warning is the line above the keys: why the last key had no effect, else what is wrong with the connection to the
// server.
func (m Model) warning() string {
	switch m.page {
	case pageWelcome, pageImage, pageDisk, pageMethod, pageConfirm:
		if m.notice == "" {
			return clean(m.lost)
		}
	case pageProgress:
		if m.notice == "" {
			return clean(m.waiting.Lost)
		}
	}
	return m.notice
}

// The keys of pages. Each page has those that move and help too.
var (
	listKeys  = []key.Binding{frame.Key("Enter", "select"), frame.Key("Esc", "back")}
	menuKeys  = []key.Binding{frame.Key("Enter", "select"), frame.Key("or press", "the letter")}
	typeKeys  = []key.Binding{frame.Key("Enter", "install"), frame.Key("Esc", "back"), frame.Key("Ctrl-U", "clear")}
	planKeys  = []key.Binding{frame.Key("i", "install"), frame.Key("Esc", "back")}
	powerKeys = []key.Binding{frame.Key("s", "rescue shell"), frame.Key("r", "reboot"), frame.Key("p", "power off")}
	careKeys  = []key.Binding{frame.Key("m", "maintenance"), frame.Key("v", "recovery")}
)

// draw is the present page, with the user's place marked.
func (m Model) draw() frame.Page {
	p := m.present()
	p.Title = " Griddle " + m.version + "  " + p.Title
	p.Notice = m.warning()
	p.Sections = m.place.Mark(p.Sections)
	return p
}

func (m Model) present() frame.Page {
	title := m.found.title
	switch m.page {
	case pageWelcome:
		return frame.Page{Title: title("this machine"), Sections: m.welcomePage(), Keys: menuKeys, About: aboutWelcome}
	case pageImage:
		return frame.Page{Title: title("1 of 4: image"), Sections: m.imagePage(), Keys: listKeys, Filters: true,
			About: aboutImage}
	case pageDisk:
		return frame.Page{Title: title("2 of 4: disk"), Sections: m.diskPage(), Keys: listKeys, Filters: true,
			About: aboutDisk}
	case pageMethod:
		if m.found.Layouts {
			return frame.Page{Title: title("3 of 4: how to use the disk"), Sections: m.methodPage(), Keys: listKeys,
				About: aboutWays}
		}
		return frame.Page{Title: title("3 of 4: method"), Sections: m.methodPage(), Keys: listKeys, About: aboutMethod}
	case pageConfirm:
		if m.found.Layouts {
			return m.presentPlan()
		}
		return frame.Page{Title: title("4 of 4: what will be lost"), Sections: m.confirmPage(), Keys: typeKeys,
			Types: true, About: aboutConfirm}
	case pageProgress:
		return m.presentJob()
	case pageResult:
		return frame.Page{Title: title("result"), Sections: m.resultPage(), Keys: menuKeys, About: aboutResult}
	}
	keys := powerKeys
	if m.installed {
		keys = append(keys[:len(keys):len(keys)], careKeys...)
	}
	return frame.Page{Title: "starting", Sections: m.startPage(), Keys: keys, About: aboutStart}
}

func (m Model) presentPlan() frame.Page {
	p := frame.Page{Title: m.found.title("4 of 4: the plan"), Sections: m.confirmPage(), Keys: typeKeys, Types: true,
		About: aboutPlan}
	if !m.asksName() {
		p.Keys, p.Types = planKeys, false
	}
	return p
}

func (m Model) presentJob() frame.Page {
	title := m.found.title
	switch {
	case m.isWaiting():
		return frame.Page{Title: title("waiting for approval"), Sections: m.waitingPage(), Keys: powerKeys,
			About: aboutWaiting}
	case m.asksForHook():
		return frame.Page{Title: title("hook failed"), Sections: m.hookPage(), Keys: menuKeys, About: aboutHook}
	}
	p := frame.Page{Title: title(m.progress.words().title), Sections: m.progressPage(), About: aboutProgress,
		Keys: []key.Binding{frame.Key("No key", "is needed")}}
	if !m.progress.ended {
		p.Hint = m.progress.left()
	}
	return p
}

func (f Found) title(s string) string {
	if f.Welcome.Machine == "" {
		return s
	}
	return printable(f.Welcome.Machine, 30) + "  " + s
}

// What pages are drawn with.
var cut, clean = frame.Cut, frame.Clean
