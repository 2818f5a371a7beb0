package tui

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"griddle/appliance/job"
	"griddle/tui/frame"
	"griddle/tui/way"
)

// column is one of a list.
type column struct {
	name  string
	width int
	right bool // numbers
	cells []string
}

// table is the heading and the rows of a list, with one of them chosen. Columns that do not fit are left out, the last
// first.
func (m Model) table(title string, columns []column, width int) frame.Section {
	used := 3
	for i, c := range columns {
		if used += c.width + 1; i > 0 && used > width+1 {
			columns = columns[:i]
			break
		}
	}
	line := func(cell func(column) string) string {
		var parts []string
		for _, c := range columns {
			text := frame.CutMiddle(cell(c), c.width)
			if gap := strings.Repeat(" ", max(0, c.width-frame.Cells(text))); c.right {
				text = gap + text
			} else {
				text += gap
			}
			parts = append(parts, text)
		}
		return strings.TrimRight(strings.Join(parts, " "), " ")
	}
	s := frame.Section{Title: title, Head: 1, List: true,
		Lines: []string{m.theme.Head.Render("   " + line(func(c column) string { return c.name }))}}
	for i := range columns[0].cells {
		cells := line(func(c column) string { return c.cells[i] })
		s.Lines = append(s.Lines, m.theme.Row(i == m.place.Row, cells, width))
	}
	return s
}

// each makes the cells of a column.
func each[T any](rows []T, cell func(T) string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = cell(r)
	}
	return out
}

// longest is the width of the widest of some texts, between least and most.
func longest(texts []string, least, most int) int {
	n := least
	for _, t := range texts {
		n = max(n, frame.Cells(t))
	}
	return max(1, min(n, max(least, most)))
}

// wide is how many columns a frame has that has a list and what is chosen side by side.
const wide = 120

func (m Model) imagePage() []frame.Section {
	columns, width, side := m.halves(60, wide)
	all := m.found.Welcome.Images
	var images []job.ImageChoice
	for _, i := range m.images() {
		images = append(images, all[i])
	}
	ref := func(g job.ImageChoice) string { return g.Ref }
	names := longest(each(images, func(g job.ImageChoice) string { return frame.Visible(g.Ref) }), min(40, max(10,
		width-4)), width-38)
	list := []column{{"IMAGE", names, false, frame.Names(images, ref, names)},
		{"SIZE", 10, true, each(images, func(g job.ImageChoice) string { return job.Bytes(g.Size) })},
		{"TRANSFER", 10, true, each(images, func(g job.ImageChoice) string { return job.Bytes(g.Wire) })},
		{" PUBLISHED", 11, false, each(images, func(g job.ImageChoice) string {
			return " " + m.found.Welcome.Zone.At(g.Published).Format("2006-01-02")
		})}}
	out := []frame.Section{m.table("Images", list, width)}
	if len(images) == 0 {
		out[0].Lines = []string{" No image matches the filter."}
		out[0].Head = 0
	} else {
		out = append(out, frame.Section{Title: "The chosen image", Keep: true,
			Lines: chosenImage(images[min(m.place.Row, len(images)-1)], side)})
		out[0].Columns = columns
	}
	if lines := notOffered(all, m.inner()); len(lines) > 0 {
		out = append(out, frame.Section{Title: "Cannot be installed", Lines: lines})
	}
	return out
}

func chosenImage(g job.ImageChoice, width int) []string {
	out := fact("Image", job.Sentence(g.Ref), width)
	if d := job.Printable(g.Description); d != "" {
		out = append(out, fact("About", d, width)...)
	}
	out = append(out, fact("Size", job.Exact(g.Size), width)...)
	return append(out, fact("Transfer", job.Exact(g.Wire), width)...)
}

// notOffered are the images that cannot be installed, and why.
func notOffered(all []job.ImageChoice, width int) []string {
	var images []job.ImageChoice
	for _, g := range all {
		if !installable(g) {
			images = append(images, g)
		}
	}
	names := frame.Names(images, func(g job.ImageChoice) string { return g.Ref }, max(10, min(48, width-14)))
	var out []string
	for _, n := range names {
		out = append(out, " "+n+": no kernel")
	}
	if len(out) > 0 {
		out = append(out, frame.Wrap("A machine needs an image with a kernel. Publish a version that has one.", 1,
			width)...)
	}
	return out
}

func (m Model) diskPage() []frame.Section {
	columns, width, side := m.halves(60, wide)
	var disks []job.Disk
	for _, i := range m.disks() {
		disks = append(disks, m.found.Inventory.Disks[i])
	}
	const paths, models = 14, 22
	serial := func(d job.Disk) string { return d.Serial }
	model := width >= 3*paths+models
	left := width - 4 - paths - 10 // A serial tells disks apart: it has all the room that is left.
	if model {
		left -= 8 + models + 1
	}
	shown := each(disks, func(d job.Disk) string { return frame.Visible(d.Serial) })
	binary := width >= 96 || model && longest(shown, 6, width) <= left-10
	if binary {
		left -= 10
	}
	serials := longest(shown, min(10, left), left)
	named := each(disks, func(d job.Disk) string { return job.Printable(d.Bus) })
	list := []column{
		{"DISK", paths, false, frame.Names(disks, func(d job.Disk) string { return d.Path }, paths)},
		{"SIZE", 9, true, each(disks, func(d job.Disk) string { return job.Bytes(d.Size) })}}
	if binary {
		list = append(list, column{"", 9, true, each(disks, func(d job.Disk) string { return job.Binary(d.Size) })})
	}
	if model {
		list = append(list, column{" BUS", 7, false, each(named, func(s string) string { return " " + s })},
			column{"MODEL", models, false, frame.Names(disks, func(d job.Disk) string { return d.Model }, models)})
	}
	list = append(list, column{"SERIAL", serials, false, frame.Names(disks, serial, serials)})
	out := []frame.Section{m.table("Disks: nothing is written before you confirm the last page", list, width)}
	if len(disks) == 0 {
		out[0].Lines, out[0].Head = []string{" No disk matches the filter."}, 0
		return out
	}
	out[0].Columns = columns
	d := disks[min(m.place.Row, len(disks)-1)]
	out = append(out, frame.Section{Title: "On " + job.Printable(d.Path), Lines: m.chosenDisk(d, side)})
	if len(d.Partitions) > 0 {
		out = append(out, frame.Section{Title: "Today", Lines: way.Today(m.theme, d, m.inner())})
	}
	return out
}

func (m Model) chosenDisk(d job.Disk, width int) []string {
	var out []string
	if why := m.unfit(d); why != "" {
		for _, l := range frame.Wrap("You cannot install on it: "+why+".", 1, width) {
			out = append(out, m.theme.Warn.Render(l))
		}
	}
	for _, w := range d.Warnings(m.found.Inventory.Disks) {
		for _, l := range frame.Wrap("Warning: "+w, 1, width) {
			out = append(out, m.theme.Warn.Render(l))
		}
	}
	var names []string
	for _, name := range []string{job.Printable(d.Model), job.Printable(d.Bus)} {
		if name != "" {
			names = append(names, name)
		}
	}
	if s := job.Sentence(d.Serial); s != "" {
		names = append(names, "serial "+s)
	}
	out = append(out, fact("Disk", strings.Join(names, ", "), width)...)
	out = append(out, fact("Size", job.Exact(d.Size), width)...)
	out = append(out, content(d, width)...)
	for _, h := range d.Shrinkable() {
		out = append(out, frame.Wrap(h, 1, width)...)
	}
	return out
}

// content is what is on a disk, in lines of width cells: what it has as a whole, then a line for each partition.
func content(d job.Disk, width int) (out []string) {
	holds := d.Holds()
	whole := len(holds) - len(d.Partitions)
	switch {
	case len(holds) == 0:
		return fact("Content", way.Blank(d), width)
	case whole == 0:
		out = fact("Content", fmt.Sprintf("%s, %s:", strings.ToUpper(job.Printable(d.Table)),
			job.Count(len(d.Partitions), "partition")), width)
	}
	for i, h := range holds {
		if i < whole {
			out = append(out, fact("Content", h, width)...)
			continue
		}
		p := d.Partitions[i-whole]
		before := fmt.Sprintf("%4d  %9s  %9s  ", p.Number, job.Bytes(p.Size), job.Binary(p.Size))
		if width < 2*len(before) {
			out = append(out, frame.Wrap(h, 3, width)...)
			continue
		}
		lines := frame.Wrap(p.Describe(), len(before), width)
		lines[0] = before + strings.TrimLeft(lines[0], " ")
		out = append(out, lines...)
	}
	return out
}

// diskName names a disk in one line of width cells. Its model is cut first, its serial only in the middle.
func diskName(d job.Disk, width int) string {
	known := d
	known.Model = ""
	if ansi.StringWidth(known.String()) > width {
		return frame.CutMiddle(known.String(), width)
	}
	return cut(d.String(), width)
}

// deviceName is the name of a disk's device file without its folder.
func deviceName(d job.Disk) string { return strings.TrimPrefix(job.Printable(d.Path), "/dev/") }
