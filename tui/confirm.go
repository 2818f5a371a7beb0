package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
	"griddle/tui/frame"
	"griddle/tui/way"
)

func (m Model) methodPage() []frame.Section {
	if m.found.Layouts {
		return m.way.Sections(m.theme, m.columns, m.rows, m.place.Row)
	}
	width := m.inner()
	row := "Whole disk: create a new partition table; everything on the disk is lost"
	if width < 76 {
		row = "Whole disk: everything is lost"
	}
	return []frame.Section{
		{Title: "How to use the disk", List: true, Lines: []string{m.theme.Row(m.place.Row == 0, row, width)}},
		{Title: "Whole disk", Lines: frame.Wrap("The disk gets a new partition table: a boot partition for "+
			"BIOS, one for UEFI, and a btrfs pool for images, roots, /home and /persistent on the rest. This also "+
			"deletes /home and /persistent of an earlier install.", 1, min(width, 100))}}
}

// onMethod chooses how the disk is used. Without layouts there is one way.
func (m Model) onMethod(k tea.KeyMsg) (Model, tea.Cmd) {
	confirm := func(m Model) Model { m.page, m.typed = pageConfirm, ""; return m }
	if !m.found.Layouts {
		return m.onList(k, 1, pageDisk, confirm)
	}
	if k.Type == tea.KeyEsc {
		before, is := m.way.Back()
		if m.way = before; !is {
			m.page = pageDisk
		}
		return m, nil
	}
	return m.onList(k, m.way.Len(), pageDisk, func(m Model) Model {
		next, decided, refused := m.way.Pick(m.place.Row)
		if m.way, m.notice = next, refused; decided {
			return confirm(m)
		}
		return m
	})
}

// asksName says whether the name of the disk has to be typed: something on it is lost, or may be.
func (m Model) asksName() bool { return !m.found.Layouts || m.way.Loses() }

func (m Model) confirmPage() []frame.Section {
	d, img, width := m.found.Inventory.Disks[m.disk], m.found.Welcome.Images[m.image], m.inner()
	what := fact("Install", job.Sentence(img.Ref), width)
	for _, on := range m.targets() {
		what = append(what, fact("onto", diskName(on, 2*width), width)...)
	}
	title, lines := "What will be lost", m.loss(d, width)
	if m.found.Layouts {
		title, lines = "The plan", m.way.PlanLines(m.theme, width)
	}
	input := m.ask(width)
	if m.rows >= Rows {
		lines = append(append(what, ""), lines...)
	} else { // what matters most is seen first
		lines = append(lines, what...)
	}
	return []frame.Section{{Title: title, Lines: lines},
		{Title: "Confirm", Lines: input, Keep: true, First: len(input)}}
}

// loss says what is lost if d gets a new partition table.
func (m Model) loss(d job.Disk, width int) []string {
	holds := d.Holds()
	if len(holds) == 0 {
		return frame.Wrap("This disk is "+way.Blank(d)+". Data that was not sampled will be lost.", 1, width)
	}
	out := []string{m.theme.Warn.Render(" EVERYTHING ON THIS DISK WILL BE LOST:")}
	for _, h := range holds {
		out = append(out, frame.Wrap(h, 3, width)...)
	}
	return out
}

// targets are the disks that may lose something.
func (m Model) targets() []job.Disk {
	if several := m.way.Disks(); m.found.Layouts && len(several) > 1 {
		return several
	}
	return []job.Disk{m.found.Inventory.Disks[m.disk]}
}

// ask says what has to be typed, and shows what was typed.
func (m Model) ask(width int) []string {
	if !m.asksName() {
		text := "Nothing on the disk is lost. Press i to install."
		if m.way.Shrinks() {
			text = "Nothing is lost, but files of the other system are moved: have a copy of those that you need. " +
				"Press i to install."
		}
		return frame.Wrap(text, 1, width)
	}
	disks := m.targets()
	names := m.names(disks[0])
	ask := "To install, type the disk's name (" + names[0] + ")"
	if len(names) > 2 {
		ask += " or its serial (" + names[2] + ")"
	}
	if m.columns < 60 {
		ask = "Type " + strings.Join(append(names[:1:1], names[2:]...), " or ")
	}
	if len(disks) > 1 {
		var all []string
		for _, d := range disks {
			all = append(all, deviceName(d))
		}
		ask = "To install, type the names of all disks that lose everything (" + strings.Join(all, " ") + ")"
		if m.columns < 60 {
			ask = "Type " + strings.Join(all, " ")
		}
	}
	typed := []rune(job.Sentence(m.typed))
	if room := max(1, width-6); len(typed) > room { // what is typed last is what is seen
		typed = append([]rune(".."), typed[len(typed)-room+2:]...)
	}
	out := frame.Wrap(ask+", then press Enter:", 1, width)
	if m.rows >= Rows {
		out = append(out, "")
	}
	return append(out, m.theme.Head.Render(" > "+string(typed)+"_"))
}

// maxTyped bounds the confirmation, in bytes: the longest serials of two disks are far shorter.
const maxTyped = 256

func (m Model) onConfirm(k tea.KeyMsg) (Model, tea.Cmd) {
	if k.Type == tea.KeyEsc {
		m.page = pageMethod
		return m, nil
	}
	if !m.asksName() {
		switch k.String() {
		case "i":
			return m.start()
		case "enter":
			m.notice = "Press i to install."
		}
		return m, nil
	}
	switch k.Type {
	case tea.KeyBackspace, tea.KeyDelete:
		if r := []rune(m.typed); len(r) > 0 {
			m.typed = string(r[:len(r)-1])
		}
	case tea.KeyCtrlU:
		m.typed = ""
	case tea.KeySpace:
		m.typed += " "
	case tea.KeyRunes:
		if len(m.typed)+len(string(k.Runes)) <= maxTyped && !k.Alt {
			m.typed += string(k.Runes)
		}
	case tea.KeyEnter:
		return m.confirm()
	}
	return m, nil
}

// names are what may be typed to confirm d: its bare name, its path, and its serial as the screen shows it. A serial
// that another disk has too names neither of them.
func (m Model) names(d job.Disk) []string {
	names := []string{deviceName(d), job.Printable(d.Path)}
	if m.unique(d) {
		names = append(names, job.Sentence(d.Serial))
	}
	return names
}

// unique says whether d has a serial, and no other disk one that looks the same or another name that reads so.
func (m Model) unique(d job.Disk) bool {
	serial := job.Sentence(d.Serial)
	alike := 0
	for _, o := range m.found.Inventory.Disks {
		if job.Sentence(o.Serial) == serial || o.Path != d.Path && o.Named(serial) {
			alike++
		}
	}
	return serial != "" && alike == 1
}

// choice names the chosen disk by something that stays the same from boot to boot, if it has that: a power cut may
// interrupt the job, and device names can change at the next boot.
func (m Model) choice(d job.Disk, image string) job.Choice {
	rule, name := d.NameAmong(m.found.Inventory.Disks)
	if strings.HasPrefix(string(rule), "serial:") && !m.unique(d) {
		rule, name = job.DiskRule("path:"+d.Path), d.Path
	}
	return job.Choice{Image: image, Disk: rule, Erase: name}
}

// confirm starts the install if what was typed names the disk.
func (m Model) confirm() (Model, tea.Cmd) {
	typed := strings.TrimSpace(m.typed)
	switch {
	case m.named(typed, m.targets()):
		return m.start()
	case typed == "":
		m.notice = "Type the name of the disk first."
	default:
		m.notice = fmt.Sprintf("%q is not the name of this disk.", job.Printable(typed))
		if len(m.targets()) > 1 {
			m.notice = fmt.Sprintf("%q does not name each of these disks once.", job.Printable(typed))
		}
	}
	return m, nil
}

// named says whether what was typed names each of disks once, in any order, with blanks between them.
func (m Model) named(typed string, disks []job.Disk) bool {
	for i, d := range disks {
		others := slices.Delete(slices.Clone(disks), i, i+1)
		for _, name := range m.names(d) {
			if len(others) == 0 && typed == name {
				return true
			}
			rest, is := strings.CutPrefix(typed, name+" ")
			if is && len(others) > 0 && m.named(strings.TrimLeft(rest, " "), others) {
				return true
			}
		}
	}
	return false
}

// start hands over what was chosen.
func (m Model) start() (Model, tea.Cmd) {
	if m.down {
		return m.notStarted(), nil
	}
	d, ref := m.found.Inventory.Disks[m.disk], m.found.Welcome.Images[m.image].Ref
	c := m.choice(d, ref)
	m.page, m.progress, m.target = pageProgress, newProgress(ref), diskName(d, 66)
	m.progress.before = before{blank: d.Blank()}
	if m.found.Layouts {
		doc, p := m.way.Decision()
		c = job.Choice{Image: ref, Layout: doc, Plan: p.Hash}
		m.progress.before = beforeJob(job.Spec{Layout: doc}, d, m.found.Inventory.Disks)
		if several := m.targets(); len(several) > 1 {
			m.target = "mirror of " + job.Printable(several[0].Path) + " and " + job.Printable(several[1].Path)
		}
	}
	return m, m.choose(c)
}
