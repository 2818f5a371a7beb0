package tui

import (
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
)

// theme is the few styles that the screens use. Bold and reverse exist on every console; colours only add.
type theme struct{ title, chosen, warn, faint lipgloss.Style }

func newTheme(color bool) theme {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.Ascii)
	if color {
		r.SetColorProfile(termenv.ANSI)
	}
	s := r.NewStyle()
	return theme{
		title:  s.Reverse(true),
		chosen: s.Bold(true),
		warn:   s.Bold(true).Foreground(lipgloss.Color("1")),
		faint:  s.Foreground(lipgloss.Color("6")),
	}
}

// View implements tea.Model: always Rows lines, none wider than Columns.
func (m Model) View() string {
	title, body, keys := m.draw()
	lines := []string{m.theme.title.Render(pad(" Griddle "+m.version+"  "+title, Columns)), ""}
	room := Rows - 5
	if len(body) > room {
		body = body[:room]
	}
	lines = append(lines, body...)
	for len(lines) < Rows-3 {
		lines = append(lines, "")
	}
	lines = append(lines, m.theme.warn.Render(cut(" "+m.warning(), Columns)), strings.Repeat("─", Columns),
		m.theme.faint.Render(cut(" "+keys, Columns)))
	for i := range lines {
		lines[i] = strings.TrimRight(cut(lines[i], Columns), " ")
	}
	return strings.Join(lines, "\n")
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

// cut ends a text that is too long with two dots: the VGA font has no ellipsis.
func cut(s string, width int) string { return ansi.Truncate(s, width, "..") }

func pad(s string, width int) string {
	s = cut(s, width)
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}

// wrap breaks s at words into lines that are set in by indent cells and leave one free at their end.
func wrap(s string, indent int) []string {
	var out []string
	for _, l := range strings.Split(ansi.Wrap(s, Columns-indent-1, " /"), "\n") {
		out = append(out, strings.Repeat(" ", indent)+strings.TrimSpace(l))
	}
	return out
}
