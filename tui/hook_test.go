package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
)

// installing is a machine that carries out a job.
func installing(a Actions) Model {
	f := lab()
	f.Welcome.Job = &job.Spec{Disk: "largest", Image: job.Image{Ref: "web:20261121.2@amd64"}}
	return send(send(New("1.0", false, a), f), running()...)
}

func joinFailed() HookFailed {
	return HookFailed{Name: "20-join", Origin: "settings", Reason: "it ended with exit status 3", Last: []string{
		"Resolving ipa.example.org", "Connecting to ipa.example.org port 443",
		"Requesting a certificate for lab-07.example.org",
		"ipa: ERROR: Kerberos error: Cannot contact any KDC for realm 'EXAMPLE.ORG', " +
			"and this line is longer than any screen",
		"joining the domain failed"}}
}

func TestHookFrames(t *testing.T) {
	m := installing(Actions{})
	secret := HookFailed{Name: "30-key", Origin: "settings", Reason: "it took longer than 10m and was killed",
		Secret: true}
	evil := HookFailed{Name: "\x1b[2J" + strings.Repeat("n", 300), Origin: "image",
		Reason: strings.Repeat("why\n ", 99)}
	for i := range 40 {
		evil.Last = append(evil.Last, fmt.Sprintf("\x1b[H\u202eline %d\xff", i))
	}
	for name, msg := range map[string]HookFailed{"hook-failed": joinFailed(), "hook-secret": secret,
		"hook-silent":  {Name: "10-first", Origin: "image", Reason: "it was ended by a signal: killed"},
		"hook-hostile": evil} {
		t.Run(name, func(t *testing.T) {
			shown := send(m, msg)
			golden(t, name, shown)
			small := send(shown, tea.WindowSizeMsg{Width: 40, Height: 12}).View()
			for _, c := range shown.hookChoices() {
				if !strings.Contains(small, c.key+"  "+c.label) {
					t.Errorf("the small page has no %q", c.label)
				}
			}
		})
	}
}

// Each answer is given by its letter, or with the arrows and Enter, and goes out once. The page stays only for a shell.
func TestHookAnswers(t *testing.T) {
	for _, c := range []struct {
		keys  []string
		want  []HookAnswer
		stays bool
	}{
		{[]string{"r"}, []HookAnswer{HookRetry}, false},
		{[]string{"enter", "enter", "k"}, []HookAnswer{HookRetry}, false},
		{[]string{"down", "enter"}, []HookAnswer{HookSkip}, false},
		{[]string{"s", "s"}, []HookAnswer{HookShell, HookShell}, true},
		{[]string{"s", "g"}, []HookAnswer{HookShell, HookGiveUp}, false},
		{[]string{"down", "down", "down", "down", "enter"}, []HookAnswer{HookGiveUp}, false},
		{[]string{"x", "p", "esc", "i"}, nil, true},
	} {
		var got []HookAnswer
		m := send(installing(Actions{Hook: func(a HookAnswer) { got = append(got, a) }}), joinFailed())
		m = press(t, m, c.keys...)
		if !slices.Equal(got, c.want) || strings.Contains(m.View(), "hook failed") != c.stays {
			t.Errorf("%q gave %v, want %v, on the page\n%s", c.keys, got, c.want, m.View())
		}
	}
	m := send(installing(Actions{}), joinFailed())
	if m = press(t, m, "k"); !strings.Contains(m.View(), "installing") {
		t.Errorf("without Actions.Hook, a key leads to\n%s", m.View())
	}
}

// Events and the server's answers do not take the page away; the end of the job does.
func TestHookPageStays(t *testing.T) {
	m := send(installing(Actions{}), joinFailed())
	m = send(m, append(running(), Asking{}, lab())...)
	if !strings.Contains(m.View(), "Hook 20-join of the settings failed") {
		t.Errorf("the page is\n%s", m.View())
	}
	m = send(m, Ended{errors.New("an operator ended the job")})
	if view := m.View(); !strings.Contains(view, "NOT INSTALLED") || strings.Contains(view, "20-join of") {
		t.Errorf("after the end the page is\n%s", view)
	}
}
