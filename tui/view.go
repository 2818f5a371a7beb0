package tui

import "griddle/tui/frame"

// View implements tea.Model: always Rows lines, none wider than Columns.
func (m Model) View() string {
	title, body, keys := m.draw()
	return m.theme.Page(Columns, Rows, " Griddle "+m.version+"  "+title, body, m.warning(), keys)
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
	switch m.page {
	case pageWelcome:
		return m.found.title("this machine"), m.welcomePage(), "Up/Down move   Enter select   or press the letter"
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
		return m.found.title("installing"), m.progressPage(), "Do not switch this machine off. No key is needed."
	case pageResult:
		return m.found.title("result"), m.resultPage(), "Up/Down move   Enter select   or press the letter"
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
