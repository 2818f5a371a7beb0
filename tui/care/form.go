package care

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// input is one line of a form on the screen: a secret field has two.
type input struct {
	Field
	again bool
}

// onlyHere is why a key had no effect.
const onlyHere = "A shell opens only at the machine itself."

func (m Model) inputs() []input {
	var out []input
	for _, f := range m.forms[m.form].Fields {
		out = append(out, input{Field: f})
		if f.Secret {
			out = append(out, input{Field: f, again: true})
		}
	}
	return out
}

func (m Model) openForm() (Model, tea.Cmd) {
	if m.now().System == "" {
		m.notice = "Not possible: no system of this pool can be changed."
		return m, nil
	}
	if m.away && m.forms[m.place.Row].Here {
		m.notice = onlyHere
		return m, nil
	}
	m.form, m.line = m.place.Row, 0
	m = m.to(pageForm, 0)
	m.typed = make([]string, len(m.inputs()))
	return m, nil
}

// leads reports whether a key goes from one value of a form to another.
func leads(k tea.KeyMsg) bool {
	return k.Type == tea.KeyUp || k.Type == tea.KeyDown || k.Type == tea.KeyTab || k.Type == tea.KeyShiftTab
}

func (m Model) onForm(k tea.KeyMsg) (Model, tea.Cmd) {
	n := len(m.typed)
	switch k.Type {
	case tea.KeyEsc:
		return m.to(pageForms, m.form), nil
	case tea.KeyUp, tea.KeyShiftTab:
		m.line = max(0, m.line-1)
	case tea.KeyDown, tea.KeyTab:
		m.line = max(0, min(n-1, m.line+1))
	case tea.KeyEnter:
		if m.line < n-1 {
			m.line++
			return m, nil
		}
		return m.submit()
	default:
		if n > 0 {
			m.typed = append([]string(nil), m.typed...)
			m.typed[m.line] = edit(m.typed[m.line], k)
		}
	}
	return m, nil
}

// submit carries the form out, if all that is required was typed.
func (m Model) submit() (Model, tea.Cmd) {
	if m.away && m.forms[m.form].Here {
		m.notice = onlyHere
		return m, nil
	}
	values := map[string]string{}
	for i, in := range m.inputs() {
		typed := m.typed[i]
		if !in.Secret {
			typed = strings.TrimSpace(typed)
		}
		switch {
		case in.again && typed != values[in.Name]:
			m.line, m.notice = i, in.Label+": the two are not the same."
			return m, nil
		case in.Required && typed == "":
			m.line, m.notice = i, in.Label+" is missing."
			return m, nil
		case typed != "":
			values[in.Name] = typed
		}
	}
	return m.do(Request{Verb: Change, Disk: m.now().Disk, Name: m.forms[m.form].Name, Values: values})
}
