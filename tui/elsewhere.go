package tui

import (
	tea "github.com/charmbracelet/bubbletea"
)

// Elsewhere is sent for a key that an operator pressed who is not at the machine. It does what the key does, but opens
// no shell: that would be on a terminal of the machine, where anyone may be.
type Elsewhere struct{ Key tea.KeyMsg }

// onlyHere is why a key had no effect.
const onlyHere = "A shell opens only at the machine itself."

func (m Model) elsewhere(k tea.KeyMsg) (Model, tea.Cmd) {
	m.away, m.care = true, m.care.Away(true)
	next, cmd := m.key(k)
	next.away, next.care = false, next.care.Away(false)
	return next, cmd
}

// Away is the Model as it is shown to an operator who is not at the machine. It has no code by which an operator
// proves to be in front of the machine, and nothing of what is typed into masked fields, not even how long it is.
func (m Model) Away() Model {
	m.away, m.care = true, m.care.Away(true)
	return m
}

// Page says which page is shown: another value means another page.
func (m Model) Page() any { return [2]any{m.shows(), m.care.Page()} }
