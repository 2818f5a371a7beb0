package frame

import (
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
)

// Box is one of a row of boxes.
type Box struct {
	Columns int            // inside it
	Lines   []string       // what has no room is cut off
	Style   lipgloss.Style // of the Theme
}

// Boxes draws boxes side by side, each with rows lines in it. Neighbours share an edge, so that all of them have the
// sum of their columns, and one more for each and for the first edge.
func (t Theme) Boxes(boxes []Box, rows int) []string {
	b := t.border
	edge := func(left, middle, right string) string {
		parts := make([]string, len(boxes))
		for i, x := range boxes {
			parts[i] = strings.Repeat(b.Top, max(0, x.Columns))
		}
		return t.Faint.Render(left + strings.Join(parts, middle) + right)
	}
	out := []string{edge(b.TopLeft, b.MiddleTop, b.TopRight)}
	side := t.Faint.Render(b.Left)
	for n := range rows {
		line := side
		for _, x := range boxes {
			text := ""
			if n < len(x.Lines) {
				text = ansi.Truncate(x.Lines[n], max(0, x.Columns), "")
			}
			line += x.Style.Render(text) + strings.Repeat(" ", max(0, x.Columns-Cells(text))) + side
		}
		out = append(out, line)
	}
	return append(out, edge(b.BottomLeft, b.MiddleBottom, b.BottomRight))
}
