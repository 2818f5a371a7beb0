package tui

import (
	"fmt"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
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
			if a == HookShell && m.away {
				m.notice = onlyHere
				return m, nil
			}
			if a != HookShell {
				m.hook = nil
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

func (m Model) hookPage() []frame.Section {
	h, width := *m.hook, m.inner()
	out := frame.Wrap(fmt.Sprintf("Hook %s of the %s failed: %s.", printable(h.Name, 64), printable(h.Origin, 20),
		clean(h.Reason)), 1, width)
	out = append(append(out, h.output(width)...), "")
	// Hooks run before anything that starts the new system is written.
	out = append(out, frame.Wrap("The install waits for your answer. If you give up, it leaves "+
		m.progress.leaves(job.PhaseVerify)+".", 1, width)...)
	return []frame.Section{{Title: "Hook", Lines: out}, m.menu("Answer")}
}

// output is what the hook printed last.
func (h HookFailed) output(width int) []string {
	switch {
	case h.Secret:
		return []string{" The hook is secret: no output."}
	case len(h.Last) == 0:
		return []string{" It printed nothing."}
	}
	out := []string{" Its last lines of output:"}
	for _, l := range h.Last {
		out = append(out, frame.Wrap(clean(l), 3, width)...)
	}
	return out
}
