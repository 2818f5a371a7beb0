package way

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/lipgloss"

	"griddle/appliance/job"
	"griddle/appliance/layout/plan"
	"griddle/tui/frame"
)

// wide is how many columns a frame has that has the rows and what is chosen side by side.
const wide = 120

// Sections draws the page with a row of it chosen: the rows, all about the chosen one, and the disk today and tomorrow.
func (m Model) Sections(t frame.Theme, columns, rows, row int) []frame.Section {
	l := m.now()
	if len(l.options) == 0 {
		return nil
	}
	row = max(0, min(row, len(l.options)-1))
	left, width, side := frame.Halves(columns, rows, 55, wide)
	list := l.list(t, width, row)
	list.Columns = left
	o, disks := l.options[row], []plan.Disk{today(m.disk)}
	if len(o.plan.Disks) > 0 {
		disks = o.plan.Disks
	}
	var pictures []string
	for _, d := range disks {
		pictures = append(append(pictures, above(t, d, disks)...), picture(t, d, frame.Inner(columns, rows))...)
	}
	return []frame.Section{list, {Title: o.name, Lines: o.all(t, side)}, {Title: "Today and tomorrow", Lines: pictures}}
}

// above is the line above one of several disks.
func above(t frame.Theme, d plan.Disk, all []plan.Disk) []string {
	if len(all) < 2 {
		return nil
	}
	return []string{t.Head.Render(" " + job.Printable(d.Path))}
}

// list draws the rows.
func (l level) list(t frame.Theme, width, row int) frame.Section {
	names := forNew - 1
	s := frame.Section{Title: l.title, List: true}
	if l.heading == "" {
		names = 0
		for _, o := range l.options {
			names = max(names, min(frame.Cells(o.name), 36, width*2/5))
		}
	} else {
		s.Head, s.Lines = 1, []string{t.Head.Render("   " + l.heading)}
	}
	for i, o := range l.options {
		text := frame.CutMiddle(o.name, max(1, names))
		text += strings.Repeat(" ", max(0, names-frame.Cells(text))) + " "
		if len(o.why) == 0 {
			s.Lines = append(s.Lines, t.Row(i == row, text+o.says, width))
			continue
		}
		line := t.Row(i == row, text+"no: "+o.why[0], width)
		if i != row {
			line = t.Faint.Render(line)
		}
		s.Lines = append(s.Lines, line)
	}
	return s
}

// all is the whole of an option, in lines of width cells.
func (o option) all(t frame.Theme, width int) []string {
	if len(o.why) == 0 {
		return frame.Wrap(o.about, 1, min(width, 100))
	}
	out := warn(t, frame.Wrap("This disk does not offer that:", 1, width))
	for _, why := range o.why {
		out = append(out, frame.Wrap(why, 3, min(width, 100))...)
	}
	return append(append(out, ""), frame.Wrap(o.about, 1, min(width, 100))...)
}

func warn(t frame.Theme, lines []string) []string {
	return each(lines, func(l string) string { return t.Warn.Render(l) })
}

// Today draws a disk to scale, in lines of width cells.
func Today(t frame.Theme, d job.Disk, width int) []string { return picture(t, today(d), width) }

// today is a disk without a plan.
func today(of job.Disk) plan.Disk {
	d := plan.Disk{Identity: plan.Identity{Size: of.Size}}
	for _, p := range of.Partitions {
		fate := plan.Stays
		if p.Type == "extended" {
			fate = plan.Extended
		}
		d.Before = append(d.Before, plan.Part{Number: p.Number, Start: p.Start, Size: p.Size, Type: p.Type,
			Filesystem: p.Filesystem, Label: p.Label, Fate: fate})
	}
	return d
}

// picture draws a disk today and tomorrow to scale, in lines of width cells; only today if it has no tomorrow.
func picture(t frame.Theme, d plan.Disk, width int) []string {
	out := bar(t, "today", d, d.Before, width, false)
	if len(d.After) > 0 {
		out = append(out, bar(t, "tomorrow", d, d.After, width, true)...)
	}
	return out
}

// bar draws a disk as a row of boxes, with its name at the side, or above it if the lines are short.
func bar(t frame.Theme, name string, d plan.Disk, parts []plan.Part, width int, tomorrow bool) (out []string) {
	const names = 12
	room := width - 2
	if width >= 60 {
		room -= names - 1
	} else {
		out = []string{" " + name}
	}
	var boxes []frame.Box
	for _, c := range d.Cells(parts, room) {
		text, style := fate(t, c, tomorrow)
		boxes = append(boxes, frame.Box{Columns: c.Width, Lines: []string{c.Text, text}, Style: style})
	}
	for i, line := range t.Boxes(boxes, 2) {
		before := " "
		if width >= 60 {
			before = strings.Repeat(" ", names)
		}
		if i == 1 && width >= 60 {
			before = frame.Pad(" "+name, names)
		}
		out = append(out, before+line)
	}
	return out
}

// fate says what becomes of a part of the disk, in as many words as there is room for.
func fate(t frame.Theme, c plan.Cell, tomorrow bool) (string, lipgloss.Style) {
	word, sign, style := "", "", t.Faint.UnsetForeground()
	switch {
	case c.Fate == plan.Lost || c.Fate == plan.Emptied && !tomorrow:
		word, sign, style = "LOST", strings.Repeat("x", c.Width), t.Warn
	case c.Fate == plan.Made || c.Fate == plan.Emptied:
		word, sign, style = "new", "new", t.Good
	case c.Fate == plan.Shrunk && tomorrow:
		word, sign, style = "smaller", strings.Repeat("<", c.Width), t.Head
	}
	size := job.Bytes(c.Bytes)
	for _, text := range []string{strings.TrimSpace(word + " " + size), word} {
		if text != "" && len(text) <= c.Width {
			return text, style
		}
	}
	return sign, style
}

// PlanLines draws what was decided on in lines of width cells, what is lost first: what becomes of the disk in words,
// the disk today and tomorrow, its partitions, and the steps.
func (m Model) PlanLines(t frame.Theme, width int) []string {
	_, p := m.Decision()
	if len(p.Disks) == 0 {
		return nil
	}
	named := func(name string, lines []string) []string { return words(name, p.Disks, lines, width) }
	out := append(warn(t, named("LOST", p.Losses)), warn(t, named("smaller", p.Shrinks))...)
	for _, d := range m.Disks() {
		if d.Blank() {
			out = append(out, named("note", []string{"the disk is " + Blank(d) + "; data that was not sampled will " +
				"be lost"})...)
		}
	}
	for _, d := range p.Disks {
		out = append(append(append(out, above(t, d, p.Disks)...), picture(t, d, width)...), table(t, d, width)...)
	}
	out = append(append(append(out, ""), named("stays", p.Keeps)...), named("note", p.Notes)...)
	var steps []string
	for i, s := range p.Steps {
		of := ""
		if len(p.Disks) > 1 {
			of = "disk " + s.Disk + ": "
		}
		steps = append(steps, fmt.Sprintf("%d. %s%s", i+1, of, s))
	}
	return append(out, named("steps", steps)...)
}

// words are lines below each other, with a name before the first one. People know a disk by its device file, and the
// plan of one disk needs no name of it.
func words(name string, disks []plan.Disk, lines []string, width int) (out []string) {
	const names = 12
	for _, l := range lines {
		for _, d := range disks {
			shown := ""
			if len(disks) > 1 {
				shown = job.Printable(d.Path) + ": "
			}
			l = strings.Replace(l, "disk "+d.ID+": ", shown, 1)
		}
		wrapped := frame.Wrap(frame.Clean(l), names, width)
		if len(out) == 0 {
			wrapped[0] = frame.Pad(" "+name, names) + wrapped[0][names:]
		}
		out = append(out, wrapped...)
	}
	return out
}

// table has a line for each partition that is lost, and for each one of tomorrow.
func table(t frame.Theme, d plan.Disk, width int) []string {
	line := func(word string, p plan.Part) string {
		number, sizes := "-", fmt.Sprintf("%9s", job.Bytes(p.Size))
		if p.Number > 0 {
			number = fmt.Sprint(p.Number)
		}
		if width >= 76 {
			sizes += fmt.Sprintf("  %9s", job.Binary(p.Size))
		}
		return frame.Cut(fmt.Sprintf(" %-9s %3s %s  %s", word, number, sizes, p.Holds()), width)
	}
	var out []string
	for _, p := range d.Before {
		if p.Fate == plan.Lost || p.Fate == plan.Emptied {
			out = append(out, t.Warn.Render(line("LOST", p)))
		}
	}
	fates := map[plan.Fate]string{plan.Made: "new", plan.Emptied: "new", plan.Shrunk: "smaller"}
	for _, p := range d.After {
		word := fates[p.Fate]
		if word == "" {
			word = string(p.Fate)
		}
		out = append(out, line(word, p))
	}
	return out
}

// Blank says what the samples of a blank disk showed.
func Blank(d job.Disk) string {
	if d.Sampled == job.Ones {
		return "blank: all sampled bytes are 0xff"
	}
	return "blank: all sampled bytes are zero"
}

// Loses says whether something on the disk is lost, or may be: a new table is for a disk of which samples were read.
func (m Model) Loses() bool {
	_, p := m.Decision()
	for _, s := range p.Steps {
		if s.Do == plan.MakeTable {
			return true
		}
	}
	return len(p.Losses) > 0
}

// Shrinks says whether the files of another system are moved.
func (m Model) Shrinks() bool {
	_, p := m.Decision()
	return len(p.Shrinks) > 0
}
