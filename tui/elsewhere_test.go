package tui

import (
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
	"griddle/tui/care"
)

// press gives m a key of an operator who is elsewhere, and runs what comes of it.
func pressElsewhere(t *testing.T, m Model, key string) Model {
	t.Helper()
	k := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(key)}
	switch key {
	case "enter":
		k = tea.KeyMsg{Type: tea.KeyEnter}
	case "down":
		k = tea.KeyMsg{Type: tea.KeyDown}
	}
	next, cmd := m.Update(Elsewhere{k})
	if cmd != nil {
		cmd()
	}
	return next.(Model)
}

// TestNoShellElsewhere: a key of an operator who is elsewhere opens no shell; the same key at the machine does.
func TestNoShellElsewhere(t *testing.T) {
	var powered []Power
	var answered []HookAnswer
	var done []care.Request
	m := New("1", false, Actions{Power: func(p Power) { powered = append(powered, p) },
		Hook: func(a HookAnswer) { answered = append(answered, a) },
		Care: care.Actions{Do: func(r care.Request) { done = append(done, r) }}},
		care.Form{Name: "shell", Title: "Shell", Here: true})
	update := func(m Model, msg tea.Msg) Model { next, _ := m.Update(msg); return next.(Model) }
	pages := map[string]Model{"start": m, "welcome": update(m, Found{Welcome: job.Welcome{Machine: "lab-1"}}),
		"result": update(m, Ended{}), "approval": update(update(m, Found{Welcome: job.Welcome{Job: &job.Spec{}}}),
			Waiting{Code: "1234-5678"})}
	for name, page := range pages {
		got := pressElsewhere(t, page, "s")
		if len(powered) != 0 || !strings.Contains(got.View(), onlyHere) {
			t.Errorf("%s: %v, and the page says:\n%s", name, powered, got.View())
		}
		if _, cmd := page.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("s")}); cmd == nil {
			t.Errorf("%s: at the machine there is no shell", name)
		}
		if pressElsewhere(t, page, "r"); len(powered) != 1 || powered[0] != Reboot {
			t.Errorf("%s: no reboot: %v", name, powered)
		}
		powered = nil
	}
	hook := update(update(m, Found{Welcome: job.Welcome{Job: &job.Spec{}}}), HookFailed{Name: "20-join"})
	if got := pressElsewhere(t, hook, "s"); len(answered) != 0 || !strings.Contains(got.View(), onlyHere) {
		t.Errorf("a hook opens a shell: %v", answered)
	}
	caring := pressElsewhere(t, update(m, Installed{Is: true}), "m")
	caring = update(caring, care.Pools{Pools: []care.Pool{{Disk: "/dev/vda", System: "web-1",
		Roots: []care.Entry{{Name: "web-1"}}}}})
	if got := pressElsewhere(t, caring, "enter"); len(done) != 0 || !strings.Contains(got.View(), onlyHere) {
		t.Errorf("maintenance opens a shell: %v\n%s", done, got.View())
	}
	// Someone at the machine opened the form; an operator elsewhere presses Enter.
	caring = update(caring, tea.KeyMsg{Type: tea.KeyEnter})
	if got := pressElsewhere(t, caring, "enter"); len(done) != 0 || !strings.Contains(got.View(), onlyHere) {
		t.Errorf("an open form opens a shell: %v\n%s", done, got.View())
	}
	recovering := pressElsewhere(t, update(m, Installed{Is: true}), "v")
	recovering = update(recovering, care.Pools{Pools: []care.Pool{{Disk: "/dev/vda", System: "web-1",
		Roots: []care.Entry{{Name: "web-1"}}}}})
	recovering = pressElsewhere(t, pressElsewhere(t, recovering, "enter"), "down")
	if got := pressElsewhere(t, recovering, "enter"); len(done) != 0 || !strings.Contains(got.View(), onlyHere) {
		t.Errorf("recovery opens a shell: %v\n%s", done, got.View())
	}
}

// TestAwayShowsNoSecret: who looks from elsewhere sees neither codes nor anything of masked fields, which look the same
// whatever is typed.
func TestAwayShowsNoSecret(t *testing.T) {
	const code = "1234-5678"
	m := New("1", false, Actions{}, care.Form{Name: "password", Title: "Password",
		Fields: []care.Field{{Name: "password", Label: "Password", Secret: true}}})
	update := func(m Model, msg tea.Msg) Model { next, _ := m.Update(msg); return next.(Model) }
	for name, page := range map[string]Model{
		"welcome": update(m, Found{Welcome: job.Welcome{Machine: "lab-1", Approval: &job.Settings{Code: code}}}),
		"job":     update(update(m, Found{Welcome: job.Welcome{Job: &job.Spec{}}}), Waiting{Code: code}),
	} {
		here, away := page.View(), page.Away().View()
		if !strings.Contains(here, code) || strings.Contains(away, code) || strings.Contains(away, "1234") {
			t.Errorf("%s: here\n%s\nand away\n%s", name, here, away)
		}
	}
	form := update(update(m, Installed{Is: true}), tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("m")})
	form = update(form, care.Pools{Pools: []care.Pool{{Disk: "/dev/vda", System: "web-1"}}})
	form = update(form, tea.KeyMsg{Type: tea.KeyEnter})
	empty := form.Away().View()
	for _, r := range "hunter2hunter2hunter2" {
		form = update(form, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
		if away := form.Away().View(); away != empty || strings.Contains(away, "**") {
			t.Fatalf("what is typed changes what is seen elsewhere:\n%s", away)
		}
	}
	if !strings.Contains(form.View(), "*****") || !strings.Contains(empty, "only at the machine") {
		t.Errorf("here\n%s\nand away\n%s", form.View(), empty)
	}
}
