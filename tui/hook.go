package tui

import (
	"fmt"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/tui/frame"
)

// HookFailed is sent when a deploy hook has failed and the install waits for a decision. Actions.Hook gets the answer.
// The page stays until then, or until Ended; after HookShell it stays too.
type HookFailed struct {
	Name   string // "20-join"
	Origin string // "image" or "settings"
	Reason string // "it ended with exit status 3"
	Last   []string
	Secret bool // the output is not shown
}

// HookAnswer is the user's decision about a hook that failed.
type HookAnswer int

// The values of HookAnswer.
const (
	HookRetry HookAnswer = iota
	HookSkip
	HookShell
	HookGiveUp
)

// asksForHook says whether the hook page is in place of the progress page.
func (m Model) asksForHook() bool { return m.page == pageProgress && m.hook != nil }

// hookChoices are the lines of the hook page's menu.
func (m Model) hookChoices() []choice {
	answer := func(a HookAnswer) func(Model) (Model, tea.Cmd) {
		return func(m Model) (Model, tea.Cmd) {
			if a != HookShell {
				m.hook, m.cursor = nil, 0
			}
			tell := m.actions.Hook
			if tell == nil {
				return m, nil
			}
			return m, func() tea.Msg { tell(a); return nil }
		}
	}
	return []choice{{"r", "Run the hook again", answer(HookRetry)},
		{"k", "Skip it and install the rest", answer(HookSkip)},
		{"s", "Shell in the new system", answer(HookShell)},
		{"g", "Give up: the job fails", answer(HookGiveUp)}}
}

// hookPage fits into any size from 40 columns by 12 rows on. What there is no room for is left out: explanations first,
// then the older lines of output.
func (m Model) hookPage() []string {
	h, menu := *m.hook, m.menu()
	room := frame.Room(m.height) - len(menu)
	out := frame.Wrap(fmt.Sprintf("Hook %s of the %s failed: %s.", printable(h.Name, 64), printable(h.Origin, 20),
		clean(h.Reason)), 1, m.width)
	out = out[:min(len(out), room-1)]
	if room-len(out) >= 8 {
		out = append(out, "", " The install waits for your answer.")
	}
	if left := room - len(out); left < 5 {
		out = append(out, h.output(left, m.width)...)
	} else {
		out = append(append(append(out, ""), h.output(left-2, m.width)...), "")
	}
	return append(out, menu...)
}

// output is what the hook printed last, in at most room lines.
func (h HookFailed) output(room, width int) []string {
	switch {
	case h.Secret:
		return []string{" The hook is secret: no output."}
	case len(h.Last) == 0:
		return []string{" It printed nothing."}
	}
	var out []string
	if room > 1 {
		out = append(out, " Its last lines of output:")
		room--
	}
	for _, l := range h.Last[max(0, len(h.Last)-room):] {
		out = append(out, cut("   "+clean(l), width))
	}
	return out
}
