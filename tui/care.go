package tui

import (
	tea "github.com/charmbracelet/bubbletea"

	"griddle/tui/care"
)

// Installed is sent when the first pool of an installed system was found, or the last one is gone. While there is one,
// the start and the welcome page offer its maintenance and its recovery, also without a server.
type Installed struct{ Is bool }

// openCare opens the pages of package care.
func (m Model) openCare(recovery bool) (Model, tea.Cmd) {
	var cmd tea.Cmd
	m.before, m.page = m.page, pageCare
	m.care, cmd = m.care.Open(recovery)
	return m, cmd
}

// onCare passes a key on, and takes the page before back when the user is done.
func (m Model) onCare(k tea.KeyMsg) (Model, tea.Cmd) {
	var cmd tea.Cmd
	if m.care, cmd = m.care.Key(k); m.care.Left() {
		m.page = m.before
	}
	return m, cmd
}

// caring are the lines of the menu for an installed system.
func (m Model) caring() []choice {
	if !m.installed {
		return nil
	}
	open := func(recovery bool) func(Model) (Model, tea.Cmd) {
		return func(m Model) (Model, tea.Cmd) { return m.openCare(recovery) }
	}
	return []choice{{"m", "Maintenance of the installed system", open(false)},
		{"v", "Recovery of the installed system", open(true)}}
}

// careMessage takes the answers to what the pages of package care asked for.
func (m Model) careMessage(msg tea.Msg) Model {
	switch msg := msg.(type) {
	case care.Pools:
		m.care = m.care.Looked(msg)
	case care.Ended:
		m.care = m.care.Over(msg)
	case Installed:
		m.installed = msg.Is
	}
	return m
}
