package tui

import (
	"fmt"
	"strings"

	"griddle/appliance/job"
	"griddle/tui/frame"
	"griddle/tui/way"
)

// printable is job.Printable cut to width cells.
func printable(s string, width int) string { return cut(job.Printable(s), width) }

// fact is a name and its value, below each other where the value needs more than a line of width cells.
func fact(name, value string, width int) []string {
	if value == "" {
		value = "unknown"
	}
	const names = 12
	if width < 3*names {
		return append([]string{" " + name}, frame.Wrap(value, 3, width)...)
	}
	out := frame.Wrap(value, names, width)
	out[0] = fmt.Sprintf(" %-10s %s", name, out[0][names:])
	return out
}

func (m Model) startPage() []frame.Section {
	width := m.inner()
	out := frame.Wrap("This machine booted from the network. It is looking for the Griddle server.", 1, width)
	out = append(out, "")
	for _, s := range m.steps {
		mark, style := " .. ", m.theme.Head
		switch s.State {
		case StepDone:
			mark, style = " ok ", m.theme.Good
		case StepFailed:
			mark, style = "FAIL", m.theme.Warn
		}
		lines := frame.Wrap(fmt.Sprintf("%-20s %s", printable(s.Name, 20), clean(s.Detail)), 8, width)
		lines[0] = " " + style.Render("["+mark+"]") + " " + strings.TrimLeft(lines[0], " ")
		out = append(out, lines...)
		if s.State == StepFailed && s.Hint != "" {
			for _, l := range frame.Wrap(clean(s.Hint), 8, width) {
				out = append(out, m.theme.Warn.Render(l))
			}
		}
	}
	return []frame.Section{{Title: "Start", Lines: out}}
}

// facts are what the machine is, in lines of width cells.
func (m Model) facts(width int) []string {
	id, inv := m.found.Identity, m.found.Inventory
	cpu := job.Printable(inv.CPU)
	if inv.CPUs > 0 {
		cpu = strings.TrimSpace(fmt.Sprintf("%d x %s", inv.CPUs, cpu))
	}
	memory := ""
	if inv.Memory > 0 {
		memory = job.Bytes(inv.Memory) + ", " + job.Binary(inv.Memory)
	}
	if inv.Memory > 0 && inv.Memory < job.MemoryNeeds {
		memory += ", too little: an install needs 512 MiB"
	}
	disks := fmt.Sprintf("%d", len(inv.Disks))
	if len(inv.Disks) == 0 {
		disks = "none found"
	}
	var out []string
	for _, f := range [][2]string{
		{"Machine", job.Printable(strings.TrimSpace(id.Vendor + " " + id.Product))},
		{"Serial", job.Printable(id.Serial)}, {"Processor", cpu}, {"Memory", memory},
		{"Firmware", strings.ToUpper(job.Printable(inv.Firmware))}, {"Disks", disks},
		{"Images", fmt.Sprintf("%d on the server", len(m.found.Welcome.Images))},
	} {
		out = append(out, fact(f[0], f[1], width)...)
	}
	for _, n := range inv.NICs {
		state := "no link"
		switch {
		case n.Address != "" && n.Carrier:
			state = n.Address
		case n.Address != "":
			state = n.Address + ", no link"
		case n.Carrier:
			state = "link, no address"
		}
		out = append(out, fact("Network", clean(n.Name+"  "+n.MAC+"  "+state), width)...)
	}
	return out
}

// menu are the choices of a page.
func (m Model) menu(title string) frame.Section {
	width := m.inner()
	s := frame.Section{Title: title, List: true, Keep: true}
	for i, c := range m.choices() {
		s.Lines = append(s.Lines, m.theme.Row(i == m.place.Row, c.key+"  "+c.label, width))
	}
	return s
}

func (m Model) welcomePage() []frame.Section {
	menu := m.menu("What to do")
	if m.found.unapproved() {
		return []frame.Section{{Title: "Approval", Lines: m.approval()}, menu}
	}
	columns, width, side := m.halves(50, wide)
	machine := frame.Section{Title: "This machine", Lines: m.facts(width), Columns: columns}
	if columns == 0 {
		return []frame.Section{machine, menu}
	}
	return []frame.Section{machine, {Title: "Its disks", Lines: m.disksInShort(side)}, menu}
}

// disksInShort has two lines of width cells for each disk.
func (m Model) disksInShort(width int) []string {
	var out []string
	for _, d := range m.found.Inventory.Disks {
		out = append(out, frame.CutMiddle(" "+d.String(), width))
		what := d.Loss()
		if d.Blank() {
			what = way.Blank(d)
		}
		out = append(out, cut("   "+what, width))
	}
	return out
}

func (m Model) resultPage() []frame.Section {
	p, width := m.progress, m.inner()
	var out []string
	if m.err == nil {
		out = append(fact(p.words().done, job.Sentence(p.ref), width), fact("on", job.Sentence(m.target), width)...)
		if p.kind == job.Erase {
			out = fact(p.words().done, job.Sentence(m.target), width)
			if n := len(p.log); n > 0 {
				out = append(out, frame.Wrap(p.log[n-1].text, 1, width)...)
			}
		}
		if !p.began.IsZero() {
			out = append(out, fact("in", duration(p.now.Sub(p.began)), width)...)
		}
	} else {
		for _, l := range frame.Wrap(p.words().notDone, 1, width) {
			out = append(out, m.theme.Warn.Render(l))
		}
		if phase := p.name(p.phase); phase != "" {
			out = append(out, " It failed at: "+phase)
		}
		out = append(out, "")
		for l := range strings.Lines(m.err.Error()) {
			out = append(out, frame.Wrap(clean(l), 1, width)...)
		}
		out = append(append(out, ""), frame.Wrap("It leaves "+p.leaves(p.phase)+".", 1, width)...)
	}
	if m.countdown >= 0 && m.err == nil {
		out = append(append(out, ""), frame.Wrap(fmt.Sprintf("Rebooting in %d s. Press s for a shell instead.",
			m.countdown), 1, width)...)
	}
	return []frame.Section{{Title: "Result", Lines: out}, m.menu("What to do")}
}
