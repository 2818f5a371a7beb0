package layout

import "strings"

// Mistake is one thing that is wrong in a document.
type Mistake struct {
	Place string // such as disks[0].partitions[2].size
	Text  string // what is wrong
	Hint  string // what to do about it; may be empty
}

// Error is "PLACE: TEXT; HINT".
func (m Mistake) Error() string {
	text := m.Text
	if m.Hint != "" {
		text += "; " + m.Hint
	}
	if m.Place == "" {
		return text
	}
	return m.Place + ": " + text
}

// Mistakes are all of a document.
type Mistakes []Mistake

// Error has a line for each mistake.
func (all Mistakes) Error() string {
	lines := make([]string, len(all))
	for i, m := range all {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}
