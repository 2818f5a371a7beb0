package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Tone is what a word in a table means. Colors only repeat what the word says, so that nothing is lost without them.
type Tone int

// The tones.
const (
	Plain  Tone = iota
	Good        // as it should be
	Notice      // a person may want to look
	Bad         // a person has to do something
)

var colors = map[Tone]string{Good: "\x1b[32m", Notice: "\x1b[33m", Bad: "\x1b[31m"}

const (
	bold     = "\x1b[1m"
	noColors = "\x1b[0m"
)

// Colors says whether text for w may have colors: on a terminal that has them, unless the user does not want them.
func (e *Env) Colors(w io.Writer) bool {
	return !e.Out.noColor && e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb" && IsTerminal(w)
}

// table is text in columns.
type table struct {
	head  []string
	rows  [][]string
	tones [][]Tone // of the cells; rows and cells may be missing
}

// write writes the table. Columns are two spaces apart, and trailing spaces are left out.
func (t table) write(w io.Writer, colors bool) error {
	all := t.rows
	if len(t.head) > 0 {
		all = append([][]string{t.head}, t.rows...)
	}
	var widths []int
	for _, row := range all {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for r, row := range all {
		line, pad := "", ""
		for i, c := range row {
			color := t.color(r, i)
			if !colors || c == "" {
				color = ""
			}
			if c != "" {
				line += pad + color + c
				pad = ""
			}
			if color != "" {
				line += noColors
			}
			pad += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2)
		}
		fmt.Fprintln(&b, line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// color begins that of a cell; empty for none. Row 0 is the head, where there is one.
func (t table) color(row, column int) string {
	if len(t.head) > 0 {
		if row--; row < 0 {
			return bold
		}
	}
	if row < len(t.tones) && column < len(t.tones[row]) {
		return colors[t.tones[row][column]]
	}
	return ""
}

// WriteTable writes rows under a head in columns.
func (e *Env) WriteTable(w io.Writer, head []string, rows [][]string) error {
	return table{head: head, rows: rows}.write(w, e.Colors(w))
}
