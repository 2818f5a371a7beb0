// Package tui draws the agent's screens: the machine, the images, the disks, what will be lost, the progress and the
// result.
//
// Call New, pass the Model to a tea.Program, and send it the messages of this package: Step while the machine looks for
// the server, Found when the server has answered, Happened for every event of a job, Ended when the job is over. The
// user's decisions come back through Actions, called from a tea.Cmd and never from Update.
//
// The Model is a pure bubbletea model. It uses no file, socket or clock, so the same Model draws the machine's
// consoles, an operator's terminal and the frames of the tests. On gives the same Model for another terminal: frames
// have its size, and use what it can draw (package frame). What does not fit is scrolled to, and the page says that
// there is more. Colour is never the only sign; the chosen line starts with ">". Strings of hardware and programs
// pass through job.Printable before they are drawn.
package tui

import (
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
	"griddle/tui/care"
	"griddle/tui/frame"
	"griddle/tui/place"
	"griddle/tui/way"
)

// Columns and Rows are the size of a frame before a tea.WindowSizeMsg or On, in character cells.
const (
	Columns = 80
	Rows    = 24
)

// Power is what the machine does when there is nothing to install.
type Power int

// The values of Power, offered by the start, welcome and result pages.
const (
	Reboot Power = iota
	Off
	Shell
)

// Actions are called with the user's decisions. Nil functions are not called.
type Actions struct {
	// Choose is called when the user has confirmed the last page. Choice.Erase names the disk whose content may be
	// lost. With Found.Layouts the choice has a layout and the hash of its plan instead.
	Choose func(job.Choice)
	// Power is called for reboot, power off and shell. The caller draws the screen again when the shell has ended.
	Power func(Power)
	// Hook is called with the answer to HookFailed.
	Hook func(HookAnswer)
	// Retry is called when the user asks the server again, on the welcome page or after a failure.
	Retry func()
	// Care is what the pages for maintenance and recovery of an installed system ask for. The answers are messages of
	// package care.
	Care care.Actions
}

// Step is sent while the machine looks for the server. A Step with the name of an earlier one replaces it.
type Step struct {
	Name   string // "Network interfaces", "Address", "Server"…
	State  StepState
	Detail string // what the agent does or has found: "enp1s0: 10.77.0.12/24"
	Hint   string // with StepFailed: what the user should do
}

// StepState is the state of a Step.
type StepState int

// The states of a Step.
const (
	StepRunning StepState = iota
	StepDone
	StepFailed // the agent tries again; Hint says what helps
)

// Found is sent when the server has answered. If Welcome has a job, the progress page appears at once and needs no key;
// if not, the questions begin.
type Found struct {
	Welcome   job.Welcome
	Identity  job.Identity
	Inventory job.Inventory
	// Layouts says that the agent and the server carry out layouts. Then each way to use a disk is offered that the
	// disk has (package way); otherwise the whole disk alone.
	Layouts bool
	// Mirror says that they also carry out a layout whose pool is on two disks.
	Mirror bool
}

// Asking is sent while the agent asks the server again and waits for the answer. The choices so far may be out of date,
// so the screen shows the steps until Found is sent.
type Asking struct{}

// Link is sent when the connection to the server changes while the user reads or chooses. NICs replaces the NICs of
// Found.
// Lost says what is wrong and what helps; it is "" when the connection works again. While Down is true, the user cannot
// confirm an install.
type Link struct {
	NICs []job.NIC
	Lost string
	Down bool
}

// Happened is sent for every event of the job, including those that the agent makes.
type Happened struct{ Event job.Event }

// Waiting is sent while a job waits for an operator to approve this boot: its machine has settings with secrets. Code
// is what the operator compares, "" when the wait is over. Lost says what is wrong with the connection to the server,
// "" for nothing.
type Waiting struct{ Code, Lost string }

// Ended is sent when the job is over. Err is nil if the machine is installed.
type Ended struct{ Err error }

// Countdown is sent every second before the machine reboots by itself. Zero means now.
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
	pageCare // maintenance and recovery: package care
)

// Model is the state of the screen. Its zero value is not usable: call New.
type Model struct {
	actions Actions
	theme   frame.Theme
	version string

	columns   int // of the terminal
	rows      int
	page      page
	steps     []Step
	found     Found
	place     place.Place // on the present page
	image     int         // chosen, index into found.Welcome.Images
	disk      int         // chosen, index into found.Inventory.Disks
	way       way.Model   // how the disk is used, with Found.Layouts
	typed     string
	notice    string // why the last key had no effect
	lost      string // what is wrong with the connection to the server
	down      bool   // there is no link
	target    string // the disk that is being written, for the progress page
	progress  progress
	hook      *HookFailed // what the progress page asks about instead
	waiting   Waiting     // what the progress page shows instead of the progress
	err       error
	countdown int // seconds, -1 when none runs

	away      bool // the key, or who looks, is not at the machine
	installed bool // there is an installed system
	care      care.Model
	before    page // the page to which those of care go back
}

// New makes the model of a machine that has just started. The title shows version. If color is false, the frames
// contain no escape sequences. Forms are what the page for maintenance changes.
func New(version string, color bool, a Actions, forms ...care.Form) Model {
	look := frame.Look{Lines: true}
	if color {
		look.Ink = frame.Colors
	}
	theme := frame.NewTheme(look)
	return Model{actions: a, theme: theme, version: version, countdown: -1, image: -1, disk: -1,
		columns: Columns, rows: Rows, care: care.New("Griddle "+version, theme, forms, a.Care)}
}

// On is the Model on a terminal of columns by rows cells, drawn with theme.
func (m Model) On(theme frame.Theme, columns, rows int) Model {
	m.theme, m.columns, m.rows = theme, max(1, columns), max(1, rows)
	m.care = m.care.On(theme, m.columns, m.rows)
	return m
}

// Init implements tea.Model.
func (m Model) Init() tea.Cmd { return nil }

// Update implements tea.Model. Another page begins at its beginning, or at what was chosen on it before.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	next, cmd := m.update(msg)
	if next.shows() != m.shows() {
		next.place = place.Place{Row: next.chosen()}
	}
	return next, cmd
}

// shows is which page is drawn, and what in its place.
func (m Model) shows() [4]any { return [4]any{m.page, m.asksForHook(), m.isWaiting(), m.way.Depth()} }

// chosen is the row of the page that was chosen before.
func (m Model) chosen() int {
	switch m.page {
	case pageImage:
		return max(0, slices.Index(m.images(), m.image))
	case pageDisk:
		return max(0, slices.Index(m.disks(), m.disk))
	case pageMethod:
		return m.way.Row()
	}
	return 0
}

func (m Model) update(msg tea.Msg) (Model, tea.Cmd) {
	switch msg := msg.(type) {
	case Step:
		m.steps = setStep(m.steps, msg)
	case Found:
		m = m.welcome(msg)
	case Asking:
		switch m.page {
		case pageProgress:
		case pageCare: // it needs no server
			m.before, m.lost, m.down = pageStart, "", false
		default:
			m.page, m.notice, m.lost, m.down = pageStart, "", "", false
		}
	case care.Pools, care.Ended, Installed:
		m = m.careMessage(msg)
	case Link:
		m.found.Inventory.NICs, m.lost, m.down = msg.NICs, msg.Lost, msg.Down
	case Happened:
		m = m.happened(msg.Event)
	case Waiting:
		m.waiting = msg
	case Ended:
		m.page, m.err, m.notice, m.waiting = pageResult, msg.Err, "", Waiting{}
		m.progress.ended = true
		m.hook = nil
	case HookFailed:
		m.hook, m.place = &msg, place.Place{}
	case tea.WindowSizeMsg:
		m = m.On(m.theme, msg.Width, msg.Height)
	case Countdown:
		m.countdown = msg.Seconds
	case tea.KeyMsg:
		return m.key(msg)
	case Elsewhere:
		return m.elsewhere(msg.Key)
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

// welcome takes the server's answer: with a job it goes straight to the progress page, else to the first question. It
// never replaces a running install.
func (m Model) welcome(f Found) Model {
	if m.page == pageProgress {
		return m
	}
	caring := m.page == pageCare && f.Welcome.Job == nil
	m.found, m.notice, m.err = f, "", nil
	m.image, m.disk, m.way, m.typed, m.countdown = -1, -1, way.Model{}, "", -1
	m.page, m.lost, m.down = pageWelcome, "", false
	if j := f.Welcome.Job; j != nil {
		m.page = pageProgress
		m.progress, m.target = newProgress(j.Image.Ref), string(j.Disk)
		m.progress.kind, m.progress.before = j.Kind, beforeJob(*j, job.Disk{}, f.Inventory.Disks)
		switch {
		case j.Kind == job.Update:
			m.target = "that of the installed system; its data stay"
		case j.Kind == job.Erase:
			m.target = j.Erase
		case m.progress.before.layout:
			m.target = "as the layout of the job says"
		}
	}
	m.place = place.Place{}
	if caring {
		m.page, m.before = pageCare, pageWelcome
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
		if len(named) == 1 { // with several, the screen must not name one
			m.target = diskName(named[0], 66)
			if j := m.found.Welcome.Job; j != nil {
				m.progress.before = beforeJob(*j, named[0], m.found.Inventory.Disks)
			}
		}
	}
	m.progress = m.progress.add(e)
	return m
}
