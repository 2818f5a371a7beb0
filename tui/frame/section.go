package frame

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// Section is a part of a page with a title. One that has less room than lines shows a part of them, and says so.
type Section struct {
	Title string
	Lines []string
	Head  int  // so many of the first Lines are headings and do not scroll
	List  bool // Lines are rows of a list, of which At is chosen
	At    int  // the line that is seen, without Head; for a List
	First int  // the line that is seen first, without Head; for others
	Keep  bool // it gets room before others
	Main  bool // what keys move at first on a page without a List
	// Columns is how wide the section is in a frame with boxes: the next one is at its right side. Zero is all of it.
	Columns int
	Active  bool // the keys that move work on it, and the user chose that

	number int // among the sections of its page
}

// block is sections side by side.
type block struct {
	sections []Section
	rows     int // for lines, without what is around them
}

func (b block) need() int {
	n := 0
	for _, s := range b.sections {
		n = max(n, len(s.Lines))
	}
	return n
}

func (b block) is(f func(Section) bool) bool {
	for _, s := range b.sections {
		if f(s) {
			return true
		}
	}
	return false
}

// blocks shares room rows among sections. Those that there is no room for at all are left out, and hidden counts them.
func blocks(sections []Section, boxed bool, room int) (out []block, hidden int) {
	around := 1
	if boxed {
		around = 2
	}
	sections = slices.Clone(sections)
	for i := range sections {
		sections[i].number = i
	}
	for i := 0; i < len(sections); i++ {
		b := block{sections: sections[i : i+1]}
		if boxed && sections[i].Columns > 0 && i+1 < len(sections) {
			b.sections = sections[i : i+2]
			i++
		}
		out = append(out, b)
	}
	for len(out) > 1 && len(out)*(around+1) > room {
		out = without(out)
		hidden++
	}
	share(out, max(0, room-len(out)*around), boxed)
	return out, hidden
}

// without takes away the block that is needed least: neither the active one nor a list, and one to keep last.
func without(all []block) []block {
	worth := func(b block) int {
		switch {
		case b.is(func(s Section) bool { return s.Active }):
			return 3
		case b.is(func(s Section) bool { return s.List }):
			return 2
		case b.is(func(s Section) bool { return s.Keep }):
			return 1
		}
		return 0
	}
	least := len(all) - 1
	for i := len(all) - 1; i >= 0; i-- {
		if worth(all[i]) < worth(all[least]) {
			least = i
		}
	}
	return slices.Delete(all, least, least+1)
}

// share gives each block a row, those to keep what they need, and then each of the others one row after the other. If
// boxes are to fill the frame, one of them gets what is left.
func share(all []block, room int, filled bool) {
	give := func(b *block, n int) {
		n = min(n, room)
		b.rows, room = b.rows+n, room-n
	}
	for i := range all {
		give(&all[i], min(1, all[i].need()))
	}
	for i := range all {
		if all[i].is(func(s Section) bool { return s.Keep }) {
			give(&all[i], all[i].need()-all[i].rows)
		}
	}
	for given := true; given && room > 0; {
		given = false
		for i := range all {
			if all[i].rows < all[i].need() && room > 0 {
				give(&all[i], 1)
				given = true
			}
		}
	}
	if filled && len(all) > 0 {
		give(&all[spare(all)], room)
	}
}

// spare is the block that gets the rows that none needs: that of the list, else the main one, else one that has no rows
// of its own kept. So what the user does next is at the bottom, beside the keys.
func spare(all []block) int {
	for _, wanted := range []func(Section) bool{
		func(s Section) bool { return s.List && !s.Keep },
		func(s Section) bool { return s.Main },
		func(s Section) bool { return !s.Keep },
	} {
		if i := slices.IndexFunc(all, func(b block) bool { return b.is(wanted) }); i >= 0 {
			return i
		}
	}
	return len(all) - 1
}

// part is the lines of s that rows rows show, and a sign that says which they are if there are more.
func (s Section) part(rows int) (lines []string, sign string) {
	if len(s.Lines) <= rows {
		return s.Lines, ""
	}
	head := min(s.Head, max(0, rows-1))
	body, room := s.Lines[min(s.Head, len(s.Lines)):], max(0, rows-head)
	from := min(max(s.First, 0), max(0, len(body)-room))
	to := min(len(body), from+room)
	if s.List {
		from, to = Window(len(body), s.At, room)
	}
	lines = append(append([]string(nil), s.Lines[:head]...), body[from:to]...)
	if to-from == 1 {
		return lines, fmt.Sprintf("%d of %d", to, len(body))
	}
	return lines, fmt.Sprintf("%d to %d of %d", from+1, to, len(body))
}

// edge is a horizontal line of width cells between two corners, with a title and, at its end, a sign.
func (t Theme) edge(left, right, title, sign string, width int) string {
	if width < 1 {
		return ""
	}
	line := t.border.Top
	inner := width - Cells(left+right)
	if sign != "" {
		sign = " " + sign + " "
	}
	if w := Cells(sign); w+4 > inner {
		sign = Cut(sign, max(0, inner-2))
	}
	if title != "" {
		title = " " + Cut(title, max(0, inner-Cells(sign)-6)) + " "
	}
	rest := inner - Cells(title) - Cells(sign) - 2
	if rest < 0 {
		return t.Faint.Render(Cut(left+strings.Repeat(line, max(0, inner))+right, width))
	}
	out := t.Faint.Render(left + line)
	if title != "" {
		out += t.Head.Render(title)
	}
	out += t.Faint.Render(strings.Repeat(line, rest))
	if sign != "" {
		out += t.Warn.Render(sign)
	}
	return out + t.Faint.Render(line+right)
}

func (s Section) title() string {
	if s.Active {
		return "> " + s.Title
	}
	return s.Title
}

// ruled draws a section below a line with its title.
func (t Theme) ruled(s Section, rows, columns int) []string {
	lines, sign := s.part(rows)
	out := append([]string{t.edge("", "", s.title(), sign, columns)}, lines...)
	for len(out) < rows+1 {
		out = append(out, "")
	}
	return out
}

// boxed draws a section in a box.
func (t Theme) boxed(s Section, rows, columns int) string {
	lines, sign := s.part(rows)
	b := t.border
	out := []string{t.edge(b.TopLeft, b.TopRight, s.title(), "", columns)}
	side := t.Faint.Render(b.Left)
	for i := range rows {
		line := ""
		if i < len(lines) {
			line = lines[i]
		}
		out = append(out, side+Pad(line, columns-2)+side)
	}
	return strings.Join(append(out, t.edge(b.BottomLeft, b.BottomRight, "", sign, columns)), "\n")
}

// body draws sections in room rows, and says how many of them it leaves out.
func (t Theme) body(sections []Section, columns, room int, boxed bool) (lines []string, hidden int) {
	all, hidden := blocks(sections, boxed, room)
	for _, b := range all {
		switch {
		case room == 1: // the title would be all
			lines, _ = b.sections[0].part(1)
		case !boxed:
			lines = append(lines, t.ruled(b.sections[0], b.rows, columns)...)
		case len(b.sections) == 1:
			lines = append(lines, strings.Split(t.boxed(b.sections[0], b.rows, columns), "\n")...)
		default:
			left := min(b.sections[0].Columns, columns-4)
			lines = append(lines, strings.Split(lipgloss.JoinHorizontal(lipgloss.Top,
				t.boxed(b.sections[0], b.rows, left), t.boxed(b.sections[1], b.rows, columns-left)), "\n")...)
		}
	}
	return lines, hidden
}
