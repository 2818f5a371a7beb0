package tui

import (
	"fmt"
	"strings"

	"griddle/appliance/job"
	"griddle/tui/frame"
)

// unapproved says whether an operator has to approve this boot.
func (f Found) unapproved() bool { return f.Welcome.Approval != nil && f.Welcome.Job == nil }

// approval shows the code of this boot, and what to do with it.
func (m Model) approval() []string {
	code := m.found.Welcome.Approval.Code
	if code == "" {
		return frame.Wrap("The server gives this machine a job only after an operator has approved it, but this boot "+
			"has no code. Reboot; if that does not help, make a new boot image with `make boot`.", 1, m.inner())
	}
	return append(append(frame.Wrap("The server gives this machine a job only after an operator has approved it.", 1,
		m.inner()), ""), m.approve(code)...)
}

// approve shows a code, and what an operator does with it.
func (m Model) approve(code string) []string {
	width := m.inner()
	if m.away {
		return frame.Wrap("The code is only on the screen of the machine: someone has to read it there.", 1, width)
	}
	out := []string{" Code       " + m.theme.Head.Render(printable(code, 20)), ""}
	out = append(append(out, frame.Wrap("Read the code from this screen and type it on the server:", 1, width)...), "")
	out = append(out, frame.Wrap(fmt.Sprintf("griddle machine approve %s %s",
		printable(m.found.Welcome.Machine, 40), printable(code, 20)), 4, width)...)
	return append(append(out, ""), fact("Serial", job.Printable(m.found.Identity.Serial), width)...)
}

// waitingPage shows that the job waits for an operator.
func (m Model) waitingPage() []frame.Section {
	out := frame.Wrap("The settings of this machine have secrets. An operator must approve this machine before it "+
		"gets them. The install waits; nothing was written to disk.", 1, m.inner())
	out = append(append(out, ""), fact("Image", job.Sentence(m.progress.ref), m.inner())...)
	return []frame.Section{{Title: "Approval", Lines: append(out, m.approve(m.waiting.Code)...)}}
}

// messages is the title of the messages. It says by which clocks they have their times.
func (m Model) messages() string {
	zone, _ := m.found.Welcome.Zone.At(m.progress.now).Zone()
	return "Messages, with times in " + zone
}

func (m Model) progressPage() []frame.Section {
	p, width := m.progress, m.inner()
	var what []string
	if p.kind != job.Erase {
		what = fact("Image", job.Sentence(p.ref), width)
	}
	if p.kind != job.Relay {
		what = append(what, fact("Disk", job.Sentence(m.target), width)...)
	}
	columns, _, side := m.halves(35, 0)
	var log []string
	for _, l := range p.log {
		style, text := m.theme.Faint.UnsetForeground(), l.text
		if l.level == job.Warning || l.level == job.Error {
			style, text = m.theme.Warn, strings.ToUpper(string(l.level))+" "+text
		}
		const stamp = "15:04:05"
		lines := frame.Wrap(text, 3+len(stamp), width)
		lines[0] = " " + m.found.Welcome.Zone.At(l.at).Format(stamp) + "  " + strings.TrimLeft(lines[0], " ")
		for _, line := range lines {
			log = append(log, style.Render(line))
		}
	}
	return []frame.Section{
		{Title: "Job", Lines: what},
		{Title: "Steps", Lines: m.phaseList(), Columns: columns, Keep: true, First: max(0, p.at())},
		{Title: "Progress", Lines: m.meter(side), Keep: true},
		{Title: m.messages(), Lines: log, First: len(log), Main: true},
	}
}
