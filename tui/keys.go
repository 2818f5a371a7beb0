package tui

import (
	"fmt"
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
	"griddle/tui/way"
)

// key handles one key press. Ctrl-L repaints on every page: a terminal that is attached to a serial line late shows
// only what changes.
func (m Model) key(k tea.KeyMsg) (Model, tea.Cmd) {
	if k.Type == tea.KeyCtrlL {
		return m, tea.ClearScreen
	}
	m.notice = ""
	if m.page == pageCare {
		return m.onCare(k)
	}
	if next, moved := m.place.Key(k, m.draw(), m.theme, m.columns, m.rows); moved {
		m.place = next
		return m, nil
	}
	switch m.page {
	case pageStart:
		return m.onStart(k)
	case pageWelcome, pageResult:
		return m.onMenu(k)
	case pageImage:
		return m.onList(k, len(m.images()), pageWelcome, Model.pickImage)
	case pageDisk:
		return m.onList(k, len(m.disks()), pageImage, Model.pickDisk)
	case pageMethod:
		return m.onMethod(k)
	case pageConfirm:
		return m.onConfirm(k)
	case pageProgress:
		switch {
		case m.asksForHook():
			return m.onMenu(k)
		case m.isWaiting():
			return m.onStart(k)
		}
	}
	return m, nil // nothing interrupts an install
}

// isWaiting says whether the job waits for an operator. Nothing was written, so the machine may be switched off.
func (m Model) isWaiting() bool { return m.page == pageProgress && m.waiting.Code != "" }

// onStart offers the rescue shell while no server answers, so that the user can look for the cause, and while a job
// waits.
func (m Model) onStart(k tea.KeyMsg) (Model, tea.Cmd) {
	switch k.String() {
	case "s":
		return m.power(Shell)
	case "r":
		return m.power(Reboot)
	case "p":
		return m.power(Off)
	}
	for _, c := range m.caring() {
		if c.key == k.String() {
			return c.do(m)
		}
	}
	return m, nil
}

type choice struct {
	key, label string
	do         func(Model) (Model, tea.Cmd)
}

// choices are the lines of the menu on the welcome, result and hook pages.
func (m Model) choices() []choice {
	if m.asksForHook() {
		return m.hookChoices()
	}
	power := func(p Power) func(Model) (Model, tea.Cmd) {
		return func(m Model) (Model, tea.Cmd) { return m.power(p) }
	}
	reboot := choice{"r", "Reboot", power(Reboot)}
	off := choice{"p", "Power off", power(Off)}
	shell := choice{"s", "Rescue shell", power(Shell)}
	if m.page == pageWelcome {
		install := choice{"i", "Install an image on this machine", func(m Model) (Model, tea.Cmd) {
			switch {
			case m.found.unapproved():
				m.notice = "An operator must approve this machine first. See above."
			case len(m.found.Welcome.Images) == 0:
				m.notice = "The server has no image yet. Publish one: griddle publish SOURCE IMAGE"
			case len(m.found.Inventory.Disks) == 0:
				m.notice = "This machine has no disk to install on."
			case !slices.ContainsFunc(m.found.Welcome.Images, installable):
				m.notice = "No image of the server can be installed: none has a kernel. Publish a version with one."
			default:
				m.page = pageImage
			}
			return m, nil
		}}
		again := choice{"a", "Ask the server again", Model.askAgain}
		return append(append(append(m.continuing(), install, again), m.caring()...), shell, reboot, off)
	}
	if m.err != nil {
		again := choice{"a", "Try again from the start", Model.askAgain}
		return []choice{again, shell, reboot, off}
	}
	return []choice{reboot, off, shell}
}

// maxContinuing is how many unfinished installs the page offers: each has a key, and there is no room for more.
const maxContinuing = 2

// continuing are the menu lines for the installs that were started on this machine's screen, whose marks are on the
// disks, and that the server allows to continue.
func (m Model) continuing() (out []choice) {
	for _, d := range m.found.Inventory.Disks {
		for _, u := range m.found.Welcome.Unfinished {
			if u.Job == "" || u.Job != d.Unfinished || len(out) == maxContinuing {
				continue
			}
			c, ref, name := m.choice(d, ""), u.Image, diskName(d, 66)
			c.Continue, c.Erase = u.Job, ""
			in := slices.ContainsFunc(d.Partitions, func(p job.Partition) bool { return p.Unfinished == u.Job })
			label := "Continue the install on " + printable(d.Path, 16) + " (" + job.Bytes(d.Size) +
				"): " + printable(ref, 20)
			out = append(out, choice{string("cd"[len(out)]), label, func(m Model) (Model, tea.Cmd) {
				if m.down {
					return m.notStarted(), nil
				}
				m.page, m.progress, m.target = pageProgress, newProgress(ref), name
				m.progress.before = before{shared: in, layout: in}
				return m, m.choose(c)
			}})
		}
	}
	return out
}

// notStarted is the page with a notice: without a link, no install starts.
func (m Model) notStarted() Model {
	m.notice = "Not started. " + clean(m.lost)
	return m
}

func (m Model) choose(c job.Choice) tea.Cmd {
	choose := m.actions.Choose
	if choose == nil {
		return nil
	}
	return func() tea.Msg { choose(c); return nil }
}

func (m Model) onMenu(k tea.KeyMsg) (Model, tea.Cmd) {
	items := m.choices()
	if k.Type == tea.KeyEnter {
		return items[min(m.place.Row, len(items)-1)].do(m)
	}
	for _, c := range items {
		if c.key == k.String() {
			return c.do(m)
		}
	}
	return m, nil
}

func (m Model) onList(k tea.KeyMsg, n int, back page, pick func(Model) Model) (Model, tea.Cmd) {
	switch k.Type {
	case tea.KeyEsc:
		m.page = back
	case tea.KeyEnter:
		if m.place.Row < n {
			return pick(m), nil
		}
	}
	return m, nil
}

func (m Model) pickImage() Model {
	m.image, m.disk = m.images()[m.place.Row], -1
	m.page = pageDisk
	return m
}

func (m Model) pickDisk() Model {
	at := m.disks()[m.place.Row]
	if why := m.unfit(m.found.Inventory.Disks[at]); why != "" {
		m.notice = "You cannot install on this disk: " + why + "."
		return m
	}
	m.disk = at
	m.page = pageMethod
	if d := m.found.Inventory.Disks[at]; m.found.Layouts {
		m.way = way.Of(d, m.found.Inventory.Disks, way.Computer{BIOS: m.found.Inventory.Firmware == "bios",
			Need: job.DiskNeeds(m.found.Welcome.Images[m.image].Size), Mirror: m.found.Mirror})
	}
	return m
}

// installable reports whether an image can be installed.
func installable(g job.ImageChoice) bool { return !g.NoKernel }

// images are the places, among those of the server, of the images that are offered: they can be installed, and the
// filter leaves them.
func (m Model) images() (out []int) {
	for i, g := range m.found.Welcome.Images {
		if installable(g) && m.place.Takes(job.Sentence(g.Ref), job.Printable(g.Description)) {
			out = append(out, i)
		}
	}
	return out
}

// disks are the places, among those of the machine, of the disks that the filter leaves.
func (m Model) disks() (out []int) {
	for i, d := range m.found.Inventory.Disks {
		if m.place.Takes(job.Printable(d.Path), job.Printable(d.Model), job.Sentence(d.Serial), job.Printable(d.Bus)) {
			out = append(out, i)
		}
	}
	return out
}

// unfit says why the chosen image cannot be installed on d; "" if it can.
func (m Model) unfit(d job.Disk) string {
	if d.ReadOnly {
		return "it is read-only, or it could not be read"
	}
	if need := job.DiskNeeds(m.found.Welcome.Images[m.image].Size); d.Size < need {
		return fmt.Sprintf("it has %s and the image needs %s", job.Bytes(d.Size), job.Bytes(need))
	}
	return ""
}

func (m Model) power(p Power) (Model, tea.Cmd) {
	if p == Shell && m.away {
		m.notice = onlyHere
		return m, nil
	}
	if m.actions.Power == nil {
		return m, nil
	}
	return m, func() tea.Msg { m.actions.Power(p); return nil }
}

// askAgain leaves the page at once: it shows the previous answer, and the user must not choose from that while the next
// one is on its way.
func (m Model) askAgain() (Model, tea.Cmd) {
	m.page, m.lost, m.down = pageStart, "", false
	for _, s := range m.steps {
		if s.State == StepFailed {
			s.State, s.Detail, s.Hint = StepRunning, "asking again", ""
			m.steps = setStep(m.steps, s)
		}
	}
	return m, m.retry()
}

func (m Model) retry() tea.Cmd {
	if m.actions.Retry == nil {
		return nil
	}
	return func() tea.Msg { m.actions.Retry(); return nil }
}
