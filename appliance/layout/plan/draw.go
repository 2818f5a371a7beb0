package plan

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"griddle/appliance/job"
)

// Text is the plan for people, for a terminal of so many columns: each disk today and tomorrow, drawn to scale, what is
// lost, what shrinks, what stays, and the steps.
func (p Plan) Text(columns int) string {
	var b strings.Builder
	for _, d := range p.Disks {
		name := job.Disk{Path: d.Path, Size: d.Size, Serial: d.Serial, Model: d.Model}.String()
		fmt.Fprintf(&b, "disk %s: %s\n", d.ID, name)
		fmt.Fprintf(&b, "  today     %s\n", d.bar(d.Before, columns-12))
		fmt.Fprintf(&b, "  tomorrow  %s\n\n", d.bar(d.After, columns-12))
		for _, row := range d.rows() {
			b.WriteString(strings.TrimRight(row, " ") + "\n")
		}
		b.WriteString("\n")
	}
	for _, row := range p.volumeRows() {
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	if len(p.Volumes) > 0 {
		b.WriteString("\n")
	}
	for _, list := range []struct {
		title string
		lines []string
	}{{"LOST", p.Losses}, {"smaller", p.Shrinks}, {"stays", p.Keeps}, {"note", p.Notes}, {"steps", p.sentences()}} {
		for i, line := range list.lines {
			title := list.title
			if i > 0 {
				title = ""
			}
			fmt.Fprintf(&b, "%-8s %s\n", title, line)
		}
	}
	fmt.Fprintf(&b, "plan     %s\n", p.Hash)
	return b.String()
}

// rows lists the partitions of a disk, those that are lost first.
func (d Disk) rows() (out []string) {
	line := func(p Part) {
		number := "-"
		if p.Number > 0 {
			number = fmt.Sprint(p.Number)
		}
		out = append(out, fmt.Sprintf("  %3s  %10s  %-40s  %s", number, job.Bytes(p.Size), p.Holds(), p.Fate))
	}
	for _, p := range d.Before {
		if p.Fate == Lost {
			line(p)
		}
	}
	for _, p := range d.After {
		line(p)
	}
	return out
}

// Holds is what the partition holds and where the system has it, for people.
func (p Part) Holds() string {
	if p.Mount == "" {
		return p.what()
	}
	return p.what() + " at " + job.Printable(p.Mount)
}

// what is what the partition holds, for people.
func (p Part) what() string {
	kind := job.Printable(p.Filesystem)
	if p.Inside != "" {
		kind = "encrypted " + job.Printable(p.Inside)
	}
	if kind == "" || p.Type == "EFI system" || p.Type == "Windows recovery" {
		kind = job.Printable(p.Type)
	}
	if kind == "" {
		kind = "unknown content"
	}
	if l := job.Printable(p.Label); l != "" && l != kind {
		kind += fmt.Sprintf(" %q", l)
	}
	return kind
}

// bar draws a disk to scale in one line of so many columns.
func (d Disk) bar(parts []Part, columns int) string {
	var b strings.Builder
	for _, c := range d.Cells(parts, columns) {
		text := c.Text
		if r := []rune(text); len(r) > c.Width {
			text = string(r[:c.Width])
		}
		b.WriteString("|" + text + strings.Repeat(" ", c.Width-utf8.RuneCountInString(text)))
	}
	return b.String() + "|"
}

// sentences are the steps, numbered.
func (p Plan) sentences() (out []string) {
	for i, s := range p.Steps {
		out = append(out, fmt.Sprintf("%2d. %s: %s", i+1, s.Of(), s))
	}
	if len(out) == 0 {
		out = []string{"none"}
	}
	return out
}

// Of is what the step is about, in words: a disk or a volume.
func (s Step) Of() string {
	if s.Volume != "" {
		return "volume " + job.Printable(s.Volume)
	}
	return "disk " + s.Disk
}

// String says what the step does.
func (s Step) String() string {
	of := fmt.Sprintf("partition %d", s.Number)
	if s.Volume != "" {
		of = "it"
	}
	if s.Do == MakeFilesystem && s.Unlock != "" {
		of = "the encrypted " + of
	}
	named := job.Printable(s.Filesystem)
	if s.Label != "" {
		named += fmt.Sprintf(" %q", job.Printable(s.Label))
	}
	switch s.Do {
	case CheckFilesystem:
		return fmt.Sprintf("check the %s of %s, and try to shrink it to %s", named, of, job.Bytes(s.Size))
	case SaveTable:
		return "save a copy of the partition table"
	case ShrinkFilesystem:
		return fmt.Sprintf("shrink the %s of %s to %s (%d bytes)", named, of, job.Bytes(s.Size), s.Size)
	case SetSize:
		return fmt.Sprintf("make %s as small as its filesystem", of)
	case MakeTable:
		return fmt.Sprintf("make an empty table of kind %s", s.Table)
	case AddEntry:
		return fmt.Sprintf("add %s, %s, %s from byte %d on", of, s.Type, job.Bytes(s.Size), s.Start)
	case SetType:
		return fmt.Sprintf("give %s the type %s", of, job.Printable(s.Type))
	case Clear:
		return fmt.Sprintf("clear %s of old signatures", of)
	case Encrypt:
		return fmt.Sprintf("encrypt %s, opened by %s", of, strings.ReplaceAll(s.Unlock, " ", " or "))
	case MakeFilesystem:
		return fmt.Sprintf("make %s in %s", named, of)
	case MakeMirror:
		for _, m := range s.With {
			of += fmt.Sprintf(" and in partition %d of disk %s", m.Number, m.Disk)
		}
		return fmt.Sprintf("make %s, which has all data twice, in %s", named, of)
	case MakeVolume:
		return fmt.Sprintf("make the %s, %s", s.Kind.name(), job.Bytes(s.Size))
	}
	return string(s.Do)
}
