// Package remote is the screen of a machine at another place: what a Model draws becomes a job.ScreenFrame, lines of
// text with a closed set of looks, and an operator's key becomes a job.ScreenKey.
//
// On the machine, Lines reads a drawn view, Changed finds what differs from the view before, and KeyMsg makes a key
// for the Model. At the operator, View draws a job.ScreenPicture, and Key names a key.
//
// A frame comes from a machine, and nothing that a machine sends reaches a terminal: View writes printable characters
// and the sequences of Sequence, and nothing else, whatever the frame has.
package remote

import (
	"slices"
	"strconv"
	"strings"

	"griddle/appliance/job"
	"griddle/tui/frame"
)

// Lines are the lines of a view that package frame drew: text, and sequences that select how it looks (ECMA-48 section
// 8.3.117, SGR). Others are left out.
func Lines(view string) []job.ScreenLine {
	var out []job.ScreenLine
	var look job.ScreenLook
	for row, line := range strings.Split(view, "\n") {
		runs := []job.ScreenRun{}
		for line != "" {
			text, rest, found := strings.Cut(line, "\x1b[")
			if text != "" {
				runs = append(runs, job.ScreenRun{Text: text, Look: look})
			}
			if line = ""; found {
				end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
				if end < 0 {
					break
				}
				if rest[end] == 'm' {
					look = change(look, rest[:end])
				}
				line = rest[end+1:]
			}
		}
		out = append(out, job.ScreenLine{Row: row, Runs: runs})
	}
	return out
}

// change is look after the parameters of SGR.
func change(look job.ScreenLook, parameters string) job.ScreenLook {
	for p := range strings.SplitSeq(parameters, ";") {
		n, err := strconv.Atoi(p)
		fore, back := look.Colors()
		switch {
		case p == "" || err == nil && n == 0:
			look = 0
			continue
		case err != nil:
			continue
		case n == 1:
			look |= job.ScreenBold
		case n == 7:
			look |= job.ScreenReverse
		case n >= 30 && n <= 37:
			fore = n - 30
		case n >= 40 && n <= 47:
			back = n - 40
		case n == 39:
			fore = -1
		case n == 49:
			back = -1
		}
		look = look&(job.ScreenBold|job.ScreenReverse) | job.ScreenColors(fore, back)
	}
	return look
}

// Sequence is the escape sequence that selects a look: one of a closed set.
func Sequence(l job.ScreenLook) string {
	out := "\x1b[0"
	if l&job.ScreenBold != 0 {
		out += ";1"
	}
	if l&job.ScreenReverse != 0 {
		out += ";7"
	}
	fore, back := l.Colors()
	if fore >= 0 {
		out += ";" + strconv.Itoa(30+fore)
	}
	if back >= 0 {
		out += ";" + strconv.Itoa(40+back)
	}
	return out + "m"
}

// Changed are the lines of now that differ from those of before; all of them if there is another number of lines.
func Changed(before, now []job.ScreenLine) []job.ScreenLine {
	if len(before) != len(now) {
		return now
	}
	var out []job.ScreenLine
	for i := range now {
		if now[i].Row != before[i].Row || !slices.Equal(now[i].Runs, before[i].Runs) {
			out = append(out, now[i])
		}
	}
	return out
}

// View draws the upper left part of a picture that a terminal of this size has room for.
func View(p job.ScreenPicture, columns, rows int, plain bool) string {
	var out strings.Builder
	for row := range min(p.Rows, max(0, rows)) {
		if row > 0 {
			out.WriteByte('\n')
		}
		left := columns
		for _, r := range p.Line(row) {
			text := frame.Cut(visible(r.Text), max(0, left))
			left -= frame.Cells(text)
			switch {
			case plain || r.Look == 0:
				out.WriteString(text)
			default:
				out.WriteString(Sequence(r.Look) + text + "\x1b[0m")
			}
		}
	}
	return out.String()
}

// visible is what a terminal gets of a text, whoever sent it.
func visible(s string) string {
	line := job.ScreenLine{Runs: []job.ScreenRun{{Text: s}}}
	f, err := job.ScreenFrame{Columns: job.MaxScreenColumns, Rows: job.LeastScreenRows,
		Lines: []job.ScreenLine{line}}.Bounded()
	if err != nil || len(f.Lines) == 0 || len(f.Lines[0].Runs) == 0 {
		return ""
	}
	return f.Lines[0].Runs[0].Text
}
