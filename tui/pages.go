package tui

import (
	"fmt"
	"strings"

	"griddle/appliance/job"
	"griddle/tui/frame"
)

// printable is job.Printable cut to width cells.
func printable(s string, width int) string { return cut(job.Printable(s), width) }

func (m Model) startPage() []string {
	out := []string{" This machine booted from the network. It is looking for the Griddle server.", ""}
	mark := map[StepState]string{StepRunning: " .. ", StepDone: " ok ", StepFailed: "FAIL"}
	for _, s := range m.steps {
		out = append(out,
			cut(fmt.Sprintf(" [%s] %-20s %s", mark[s.State], printable(s.Name, 20), clean(s.Detail)), Columns))
		if s.State == StepFailed && s.Hint != "" {
			for _, l := range wrap(clean(s.Hint), 7) {
				out = append(out, m.theme.Warn.Render(l))
			}
		}
	}
	return out
}

func (m Model) facts() []string {
	id, inv := m.found.Identity, m.found.Inventory
	fact := func(name, value string) string {
		if value == "" {
			value = "unknown"
		}
		return fmt.Sprintf(" %-10s %s", name, printable(value, Columns-13))
	}
	cpu := job.Printable(inv.CPU)
	if inv.CPUs > 0 {
		cpu = strings.TrimSpace(fmt.Sprintf("%d x %s", inv.CPUs, cpu))
	}
	memory := ""
	if inv.Memory > 0 {
		memory = job.Bytes(inv.Memory)
	}
	if inv.Memory > 0 && inv.Memory < job.MemoryNeeds {
		memory += ", too little: an install needs 512 MiB"
	}
	out := []string{
		fact("Machine", strings.TrimSpace(id.Vendor+" "+id.Product)),
		fact("Serial", id.Serial),
		fact("Processor", cpu),
		fact("Memory", memory),
		fact("Firmware", strings.ToUpper(inv.Firmware)),
	}
	for i, n := range inv.NICs {
		if i == 3 {
			out = append(out, fmt.Sprintf(" %-10s and %d more", "", len(inv.NICs)-i))
			break
		}
		state := "no link"
		switch {
		case n.Address != "" && n.Carrier:
			state = n.Address
		case n.Address != "":
			state = n.Address + ", no link"
		case n.Carrier:
			state = "link, no address"
		}
		out = append(out, fact("Network", n.Name+"  "+n.MAC+"  "+state))
	}
	disks := fmt.Sprintf("%d", len(inv.Disks))
	if len(inv.Disks) == 0 {
		disks = "none found"
	}
	return append(out, fact("Disks", disks),
		fact("Images", fmt.Sprintf("%d on the server", len(m.found.Welcome.Images))))
}

func (m Model) menu() []string {
	var out []string
	for i, c := range m.choices() {
		line := fmt.Sprintf("   %s  %s", c.key, c.label)
		if i == m.cursor {
			line = m.theme.Chosen.Render(" > " + line[3:])
		}
		out = append(out, line)
	}
	return out
}

func (m Model) welcomePage() []string {
	if m.found.unapproved() {
		return append(append(m.approval(), ""), m.menu()...)
	}
	facts, menu := m.facts(), m.menu()
	if room := frame.Room(Rows) - len(menu) - 1; len(facts) > room {
		facts = facts[:room] // all of the menu is on the page
	}
	return append(append(facts, ""), menu...)
}

// unapproved says whether an operator has to approve this boot.
func (f Found) unapproved() bool { return f.Welcome.Approval != nil && f.Welcome.Job == nil }

// approval shows the code of this boot, and what to do with it.
func (m Model) approval() []string {
	code := m.found.Welcome.Approval.Code
	if code == "" {
		return wrap("The server gives this machine a job only after an operator has approved it, but this boot has no "+
			"code. Reboot; if that does not help, make a new boot image with `make boot`.", 1)
	}
	return append([]string{" The server gives this machine a job only after an operator has approved it.", ""},
		m.approve(code)...)
}

// approve shows a code, and what an operator does with it.
func (m Model) approve(code string) []string {
	out := []string{" Code       " + m.theme.Chosen.Render(printable(code, 20)), "",
		" Read the code from this screen and type it on the server:", ""}
	return append(append(out, wrap(fmt.Sprintf("griddle machine approve %s %s",
		printable(m.found.Welcome.Machine, 40), printable(code, 20)), 4)...), "",
		fmt.Sprintf(" %-10s %s", "Serial", printable(m.found.Identity.Serial, Columns-13)))
}

// waitingPage shows that the job waits for an operator.
func (m Model) waitingPage() []string {
	out := wrap("The settings of this machine have secrets. An operator must approve this machine before it gets "+
		"them. The install waits; nothing was written to disk.", 1)
	return append(append(out, "", " Image      "+cutMiddle(job.Sentence(m.progress.ref), Columns-13)),
		m.approve(m.waiting.Code)...)
}

func (m Model) line(i int, text string) string {
	if i == m.cursor {
		return m.theme.Chosen.Render(cut(" > "+text, Columns))
	}
	return cut("   "+text, Columns)
}

func (m Model) imagePage() []string {
	images := m.found.Welcome.Images
	out := []string{" Select the image to install on this machine.", "",
		fmt.Sprintf("   %-40s %10s %10s  %s", "IMAGE", "SIZE", "TRANSFER", "PUBLISHED")}
	from, to := window(len(images), m.cursor, 11)
	refs := namesOf(images, func(g job.ImageChoice) string { return g.Ref }, 40)
	for i := from; i < to; i++ {
		g := images[i]
		out = append(out, m.line(i, fmt.Sprintf("%s %10s %10s  %s", pad(refs[i], 40),
			job.Bytes(g.Size), job.Bytes(g.Wire), g.Published.UTC().Format("2006-01-02"))))
	}
	out = append(out, scrolled(from, to, len(images)))
	if full := job.Sentence(images[m.cursor].Ref); full != refs[m.cursor] {
		out = append(append(out, ""), wrap(full, 1)...)
	}
	if d := job.Printable(images[m.cursor].Description); d != "" {
		out = append(append(out, ""), wrap(d, 1)...)
	}
	if images[m.cursor].NoKernel {
		out = append(append(out, ""), wrap("This image has no kernel, so it cannot be installed on a machine. "+
			"Publish a version that has a kernel.", 1)...)
	}
	return out
}

// scrolled says that a list goes on where it does.
func scrolled(from, to, n int) string {
	if from == 0 && to == n {
		return ""
	}
	return fmt.Sprintf("   %d to %d of %d", from+1, to, n)
}

func (m Model) diskPage() []string {
	disks := m.found.Inventory.Disks
	out := []string{" Select the disk. Nothing is written before you confirm the last page.", "",
		fmt.Sprintf("   %-14s %9s  %-6s %-22s %s", "DISK", "SIZE", "BUS", "MODEL", "SERIAL")}
	from, to := window(len(disks), m.cursor, 7)
	paths := namesOf(disks, func(d job.Disk) string { return d.Path }, 14)
	models := namesOf(disks, func(d job.Disk) string { return d.Model }, 22)
	serials := namesOf(disks, func(d job.Disk) string { return d.Serial }, 20)
	for i := from; i < to; i++ {
		d := disks[i]
		out = append(out, m.line(i, fmt.Sprintf("%s %9s  %s %s %s", pad(paths[i], 14), job.Bytes(d.Size),
			pad(job.Printable(d.Bus), 6), pad(models[i], 22), serials[i])))
	}
	d := disks[m.cursor]
	out = append(out, scrolled(from, to, len(disks)),
		" "+cutMiddle("On "+job.Printable(d.Path)+full(d.Serial, serials[m.cursor])+":", Columns-2))
	holds := d.Holds()
	if len(holds) == 0 {
		holds = []string{blank(d)}
	}
	for i, h := range holds {
		if i == 4 && len(holds) > 5 {
			out = append(out, fmt.Sprintf("   and %d more", len(holds)-i))
			break
		}
		out = append(out, cut("   "+h, Columns))
	}
	for _, w := range d.Warnings(disks) {
		out = append(out, m.theme.Warn.Render(cut(" Warning: "+w, Columns)))
	}
	if why := m.unfit(d); why != "" {
		out = append(out, m.theme.Warn.Render(cut(" You cannot install on it: "+why+".", Columns)))
	}
	return out
}

// full says a serial once more where the list has only a part of it.
func full(serial, shown string) string {
	if s := visible(serial); s != shown {
		return ", serial " + s
	}
	return ""
}

func (m Model) methodPage() []string {
	return []string{" Select how to use the disk.", "",
		m.line(0, "Whole disk: create a new partition table; everything on the disk is lost"), "",
		"   A boot partition for BIOS, one for UEFI, and a btrfs pool for images,",
		"   roots, /home and /persistent on the rest. This also deletes /home and",
		"   /persistent of an earlier install."}
}

func (m Model) confirmPage() []string {
	d, img := m.found.Inventory.Disks[m.disk], m.found.Welcome.Images[m.image]
	out := []string{" Install  " + cutMiddle(job.Sentence(img.Ref), 68), " onto     " + diskName(d, 68), ""}
	holds := d.Holds()
	if len(holds) == 0 {
		out = append(out, wrap("This disk is "+blank(d)+". Data that was not sampled will be lost.", 1)...)
	} else {
		out = append(out, m.theme.Warn.Render(" EVERYTHING ON THIS DISK WILL BE LOST:"))
		for i, h := range holds {
			if i == 8 && len(holds) > 9 {
				out = append(out, fmt.Sprintf("   and %d more", len(holds)-i))
				break
			}
			out = append(out, cut("   "+h, Columns))
		}
	}
	names := m.names(d)
	ask := "To install, type the disk's name (" + names[0] + ")"
	if len(names) > 2 {
		ask += " or its serial (" + names[2] + ")"
	}
	out = append(append(out, ""), wrap(ask+", then press Enter:", 1)...)
	return append(out, "", " > "+cut(job.Printable(m.typed), Columns-6)+"_")
}

func (m Model) progressPage() []string {
	p := m.progress
	out := []string{" Image  " + cutMiddle(job.Sentence(p.ref), 70),
		" Disk   " + cutMiddle(job.Sentence(m.target), 70), ""}
	out = append(append(out, m.phaseList()...), "")
	meter := p.meter()
	out = append(append(out, meter...), "")
	const room = 7 // lines of the page for the meter and the log
	for _, l := range p.log[max(0, len(p.log)-(room-len(meter))):] {
		text := cut(" "+l.at.UTC().Format("15:04:05")+"  "+l.text, Columns)
		if l.level == job.Warning || l.level == job.Error {
			text = m.theme.Warn.Render(
				cut(" "+l.at.UTC().Format("15:04:05")+"  "+strings.ToUpper(string(l.level))+" "+l.text, Columns))
		}
		out = append(out, text)
	}
	return out
}

func (m Model) resultPage() []string {
	p := m.progress
	var out []string
	if m.err == nil {
		out = append(out, p.words().done+cutMiddle(job.Sentence(p.ref), 66),
			" on         "+cutMiddle(job.Sentence(m.target), 66))
		if !p.began.IsZero() {
			out = append(out, " in         "+duration(p.now.Sub(p.began)))
		}
	} else {
		out = append(out, m.theme.Warn.Render(p.words().notDone))
		phase := phaseNames[p.phase]
		if phase != "" {
			out = append(out, " It failed at: "+phase)
		}
		out = append(out, "")
		lines := strings.Split(m.err.Error(), "\n")
		for i, l := range lines {
			if i == 8 {
				out = append(out, fmt.Sprintf("   and %d more lines", len(lines)-i))
				break
			}
			out = append(out, wrap(clean(l), 1)...)
		}
	}
	out = append(append(out, ""), m.menu()...)
	if m.countdown >= 0 && m.err == nil {
		out = append(out, "", fmt.Sprintf(" Rebooting in %d s. Press s for a shell instead.", m.countdown))
	}
	return out
}
