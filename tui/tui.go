// Package tui draws the agent's screens: what the machine is, which image, which disk, what will be lost, how far it
// is, how it ended. It is a pure bubbletea model: no file, socket or clock is touched here, so the same Model
// draws the machine's console, an operator's terminal and the frames of the tests.
//
// Call New, hand the Model to a tea.Program, and send it the messages of this package as things happen: Step while
// the machine finds its way, Found once the appliance has answered, Happened for every event of a job, Ended when
// the job is over. What a person decides comes back through Actions, called from a tea.Cmd and never from Update.
//
// Every frame is at most 80 columns by 24 rows whatever the terminal says, in glyphs that the 256-glyph VGA text
// font has: light lines, full and light blocks, ASCII. Nothing is said by colour alone; the chosen line starts
// with ">". Hardware strings pass through job.Printable before they are drawn.
package tui

import (
	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
)

// Columns and Rows are the size of every frame, in character cells.
const (
	Columns = 80
	Rows    = 24
)

// Power is what a person wants of the machine once nothing more is to be installed.
type Power int

// The choices of the welcome and result pages.
const (
	Reboot Power = iota
	Off
	Shell
)

// Actions are called with what a person chose. Nil functions are not called.
type Actions struct {
	// Choose is called once the last page has been confirmed. Choice.Erase is what was typed there.
	Choose func(job.Choice)
	// Power is called for reboot, power off and shell. After Shell ends the program draws the screen again.
	Power func(Power)
	// Retry is called from the page that says what went wrong: ask the appliance again.
	Retry func()
}

// Step is sent while the machine finds its way to the appliance. A Step with the name of an earlier one replaces it.
type Step struct {
	Name   string // "Network interfaces", "Address", "Appliance"…
	State  StepState
	Detail string // what is being done or was found: "enp1s0: 10.77.0.12/24"
	Hint   string // where State is StepFailed: what a person should do
}

// StepState says how a Step stands.
type StepState int

// The states of a Step.
const (
	StepRunning StepState = iota
	StepDone
	StepFailed // it is being retried; Hint says what would help
)

// Found is sent once the appliance has answered. With a job in Welcome the progress page is shown at once and no key
// is asked for; without one the questions begin.
type Found struct {
	Welcome   job.Welcome
	Identity  job.Identity
	Inventory job.Inventory
}

// Asking is sent while the appliance is asked again and does not answer at once: what was chosen until now may not be true any more, so
// the screen shows the steps until Found comes.
type Asking struct{}

// Link is sent when the way to the appliance changes while a person reads or chooses. NICs takes the place of Found's. Lost says what is
// wrong and what helps; it is "" when all is well again. With Down, nothing can be confirmed.
type Link struct {
	NICs []job.NIC
	Lost string
	Down bool
}

// Happened is sent for every event of the job, the agent's own included.
type Happened struct{ Event job.Event }

// Ended is sent when the job is over. Err is nil where the machine is installed.
type Ended struct{ Err error }

// Countdown is sent once a second before the machine reboots by itself. Zero means now.
type Countdown struct{ Seconds int }

type page int

const (
	pageStart page = iota
	pageWelcome
	pageImage
	pageDisk
	pageMethod
	pageConfirm
	pageProgress
	pageResult
)

// Model is the state of the screen. Its zero value is not usable: call New.
type Model struct {
	actions Actions
	theme   theme
	version string

	page      page
	steps     []Step
	found     Found
	cursor    int // of the list on the present page
	image     int // chosen, index into found.Welcome.Images
	disk      int // chosen, index into found.Inventory.Disks
	typed     string
	notice    string // why the last key was not obeyed
	lost      string // what is wrong with the way to the appliance
	down      bool   // there is no link
	unasked   bool   // the job came from the appliance
	target    string // the disk that is being written, for the progress page
	progress  progress
	err       error
	countdown int // seconds, -1 when none runs
}

// New makes the model of a machine that has just started. Version is shown in the title. With color false the
// frames hold no escape sequences at all.
func New(version string, color bool, a Actions) Model {
	return Model{actions: a, theme: newTheme(color), version: version, countdown: -1, image: -1, disk: -1}
}

// Init implements tea.Model.
func (m Model) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case Step:
		m.steps = setStep(m.steps, msg)
	case Found:
		m = m.welcome(msg)
	case Asking:
		if m.page != pageProgress {
			m.page, m.notice, m.lost, m.down = pageStart, "", "", false
		}
	case Link:
		m.found.Inventory.NICs, m.lost, m.down = msg.NICs, msg.Lost, msg.Down
	case Happened:
		m = m.happened(msg.Event)
	case Ended:
		m.page, m.err, m.cursor, m.notice = pageResult, msg.Err, 0, ""
		m.progress.ended = true
	case Countdown:
		m.countdown = msg.Seconds
	case tea.KeyMsg:
		return m.key(msg)
	}
	return m, nil
}

func setStep(steps []Step, s Step) []Step {
	out := append([]Step(nil), steps...)
	for i := range out {
		if out[i].Name == s.Name {
			out[i] = s
			return out
		}
	}
	return append(out, s)
}

// welcome takes the appliance's answer: straight to the progress page with a job, else to the first question. It
// never takes a running install off the screen.
func (m Model) welcome(f Found) Model {
	if m.page == pageProgress {
		return m
	}
	m.found, m.cursor, m.notice, m.err = f, 0, "", nil
	m.image, m.disk, m.typed, m.countdown = -1, -1, "", -1
	m.page, m.lost, m.down = pageWelcome, "", false
	if j := f.Welcome.Job; j != nil {
		m.page, m.unasked = pageProgress, true
		m.progress = newProgress(j.Image.Ref)
		m.target = string(j.Disk)
	}
	return m
}

func (m Model) happened(e job.Event) Model {
	if e.Job != "" && m.page != pageProgress && m.page != pageResult {
		ref := m.progress.ref
		if m.image >= 0 {
			ref = m.found.Welcome.Images[m.image].Ref
		}
		m.page, m.progress = pageProgress, newProgress(ref)
	}
	if e.State == job.Started && e.Disk != "" {
		m.target = e.Disk
		var named []job.Disk
		for _, d := range m.found.Inventory.Disks {
			if d.Named(e.Disk) {
				named = append(named, d)
			}
		}
		if len(named) == 1 { // else the screen must not say which
			m.target = called(named[0], 66)
		}
	}
	m.progress = m.progress.add(e)
	return m
}
