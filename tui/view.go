package tui

import "griddle/tui/frame"

// resize takes the size of a terminal. Pages are made for Columns and Rows: more is not used, and in less their ends
// are cut, but for the hook page, which fits.
func (m Model) resize(width, height int) Model {
	m.width, m.height = min(max(width, 20), Columns), min(max(height, 10), Rows)
	return m
}

// View implements tea.Model: as many lines as the terminal has, at most Rows, none wider than it or than Columns.
func (m Model) View() string {
	if m.page == pageCare {
		return m.care.Size(m.width, m.height).View()
	}
	title, body, keys := m.draw()
	return m.theme.Page(m.width, m.height, " Griddle "+m.version+"  "+title, body, m.warning(), keys)
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
		return clean(m.waiting.Lost)
	}
	return m.notice
}

func (m Model) draw() (title string, body []string, keys string) {
	const list, powerKeys = "Up/Down move   Enter select   Esc back", "s rescue shell   r reboot   p power off"
	const menuKeys = "Up/Down move   Enter select   or press the letter"
	switch m.page {
	case pageWelcome:
		return m.found.title("this machine"), m.welcomePage(), menuKeys
	case pageImage:
		return m.found.title("1 of 4: image"), m.imagePage(), list
	case pageDisk:
		return m.found.title("2 of 4: disk"), m.diskPage(), list
	case pageMethod:
		return m.found.title("3 of 4: method"), m.methodPage(), list
	case pageConfirm:
		return m.found.title("4 of 4: what will be lost"), m.confirmPage(), "Enter install   Esc back   Ctrl-U clear"
	case pageProgress:
		if m.isWaiting() {
			return m.found.title("waiting for approval"), m.waitingPage(), powerKeys
		}
		if m.asksForHook() {
			return m.found.title("hook failed"), m.hookPage(), "Up/Down and Enter, or press the letter"
		}
		return m.found.title(m.progress.words().title), m.progressPage(),
			"Do not switch this machine off. No key is needed."
	case pageResult:
		return m.found.title("result"), m.resultPage(), menuKeys
	}
	if m.installed {
		return "starting", m.startPage(), powerKeys + "   m maintenance   v recovery"
	}
	return "starting", m.startPage(), powerKeys
}

func (f Found) title(s string) string {
	if f.Welcome.Machine == "" {
		return s
	}
	return printable(f.Welcome.Machine, 30) + "  " + s
}

// What pages are drawn with.
var cut, pad, clean, window = frame.Cut, frame.Pad, frame.Clean, frame.Window

// wrap breaks s at words into lines of a frame.
func wrap(s string, indent int) []string { return frame.Wrap(s, indent, Columns) }
