package care

import tea "github.com/charmbracelet/bubbletea"

// Alone is the pages as a program of its own. It ends when the user closes them.
type Alone struct {
	Model
	first tea.Cmd
}

// NewAlone opens the pages of recovery, or of maintenance.
func NewAlone(m Model, recovery bool) Alone {
	m, first := m.Open(recovery)
	return Alone{m, first}
}

// Init implements tea.Model.
func (a Alone) Init() tea.Cmd { return a.first }

// Update implements tea.Model.
func (a Alone) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		a.Model = a.On(a.theme, msg.Width, msg.Height)
	case Pools:
		a.Model = a.Looked(msg)
	case Ended:
		a.Model = a.Over(msg)
	case tea.KeyMsg:
		if msg.Type == tea.KeyCtrlC && !a.Busy() {
			return a, tea.Quit
		}
		a.Model, cmd = a.Key(msg)
	}
	if a.Left() {
		return a, tea.Quit
	}
	return a, cmd
}
