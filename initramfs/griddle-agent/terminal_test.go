package main

import (
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
	"griddle/tui"
	"griddle/tui/frame"
)

// One model is drawn on consoles of several sizes, and moves by the pages of the one that a key came from.
func TestConsolesOfSeveralSizes(t *testing.T) {
	var shown tui.Model
	redrawn := 0
	columns, rows := 80, 24
	var m tea.Model = shared{Model: tui.New("1.0", false, tui.Actions{}), show: func(m tui.Model, _ bool) { shown = m },
		at:     func() (frame.Theme, int, int) { return frame.NewTheme(frame.Look{}), columns, rows },
		redraw: func() { redrawn++ }}
	found := tui.Found{Inventory: job.Inventory{Disks: []job.Disk{{Path: "/dev/vda", Size: 1e12}}}}
	for range 100 {
		found.Welcome.Images = append(found.Welcome.Images, job.ImageChoice{Ref: "web:1@amd64"})
	}
	m, _ = m.Update(found)
	m, _ = m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("i")})
	m, _ = m.Update(tea.KeyMsg{Type: tea.KeyCtrlL})
	if redrawn != 1 || m.View() != "" {
		t.Errorf("Ctrl-L drew %d times, and the shared model draws %q", redrawn, m.View())
	}
	rows = 12
	m, _ = m.Update(tea.KeyMsg{Type: tea.KeyPgDown})
	small := shown
	rows = 50
	_, _ = m.Update(tea.KeyMsg{Type: tea.KeyPgDown})
	var p tea.Model = picture{model: small, theme: frame.NewTheme(frame.Look{}), columns: 80, rows: 24}
	first := p.View()
	p, _ = p.Update(shown)
	p, _ = p.Update(frame.NewTheme(frame.Look{Lines: true}))
	p, _ = p.Update(tea.WindowSizeMsg{Width: 160, Height: 50})
	second := p.View()
	if len(strings.Split(first, "\n")) != 24 || len(strings.Split(second, "\n")) != 50 ||
		!strings.Contains(second, "┌─ Images") || strings.Contains(first, "─") || first == second {
		t.Errorf("the consoles show\n%s\nand\n%s", first, second)
	}
}
