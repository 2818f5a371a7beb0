package remote

import (
	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
)

// keys are the keys that have names.
var keys = map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "up": tea.KeyUp, "down": tea.KeyDown,
	"left": tea.KeyLeft, "right": tea.KeyRight, "tab": tea.KeyTab, "shift+tab": tea.KeyShiftTab,
	"backspace": tea.KeyBackspace, "delete": tea.KeyDelete, "home": tea.KeyHome, "end": tea.KeyEnd,
	"pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "ctrl+u": tea.KeyCtrlU}

// KeyMsg is a key for a Model, and false if it is not a key that job.ScreenKey.Check admits. Text is one key for each
// character, as if someone typed it there.
func KeyMsg(k job.ScreenKey) ([]tea.KeyMsg, bool) {
	if k.Check() != nil {
		return nil, false
	}
	if k.Name != "" {
		t, ok := keys[k.Name]
		return []tea.KeyMsg{{Type: t}}, ok
	}
	var out []tea.KeyMsg
	for _, r := range k.Text {
		key := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}}
		if r == ' ' {
			key = tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{r}}
		}
		out = append(out, key)
	}
	return out, true
}

// Key names a key of an operator's terminal, and false if machines take no such key.
func Key(k tea.KeyMsg) (job.ScreenKey, bool) {
	if k.Alt || k.Paste {
		return job.ScreenKey{}, false
	}
	if k.Type == tea.KeyRunes || k.Type == tea.KeySpace {
		out := job.ScreenKey{Text: string(k.Runes)}
		if k.Type == tea.KeySpace {
			out.Text = " "
		}
		return out, out.Check() == nil
	}
	for name, t := range keys {
		if t == k.Type {
			return job.ScreenKey{Name: name}, true
		}
	}
	return job.ScreenKey{}, false
}
