// Package care draws the pages by which people maintain and recover an installed system: its settings, its roots and
// its images.
//
// Call New, then Open, and pass key presses to Key. Pools answers Actions.Look, and Ended the other actions. While Left
// is true the pages are closed. Alone is the same as a program of its own, for a terminal of the installed system.
//
// The Model is pure, as that of package tui. It draws frames of any size. What deletes is confirmed on a page that says
// what is lost, by the name.
package care

import (
	tea "github.com/charmbracelet/bubbletea"

	"griddle/tui/frame"
	"griddle/tui/place"
)

// Pool is the pool of one installed system.
type Pool struct {
	Disk    string // "/dev/vda"; how actions name the pool
	Name    string // of the disk, for people
	Free    string // "12.0 GB of 20.0 GB are free"
	Problem string // why the pool cannot be read, or what is not known; "" for nothing
	Roots   []Entry
	Images  []Entry

	System string // which system Maintenance changes: "web-20261120.1@amd64"; "" if it cannot change any
	Here   bool   // it is the system that runs
}

// Entry is a root or an image.
type Entry struct {
	Name   string   // as it is shown and typed
	Made   string   // when
	State  string   // "runs, boots"
	Lost   []string // what is lost with it
	Keep   string   // why it cannot be deleted, "" if it can
	NoBoot string   // why it cannot boot
	NoIn   string   // why no shell can be started in it
}

// Form is one thing that Maintenance changes.
type Form struct {
	Name, Title, About string
	Fields             []Field
	Here               bool // it needs the terminal of the machine
}

// Field is a line of a form.
type Field struct {
	Name, Label, Help string
	Required, Secret  bool
}

// Verb is what a Request asks for.
type Verb int

// The verbs.
const (
	Boot Verb = iota
	Enter
	DeleteRoot
	DeleteImage
	Change
)

// Request is what the user decided.
type Request struct {
	Verb   Verb
	Disk   string            // of the pool
	Name   string            // of the root or the image; of the form for Change
	Values map[string]string // of the form, by the names of its fields
}

// Actions are called with the user's decisions, from a tea.Cmd. Nil functions are not called.
type Actions struct {
	Look func()        // read the pools; the answer is Pools
	Do   func(Request) // the answer is Ended
}

// Pools is what there is now.
type Pools struct{ Pools []Pool }

// Ended is sent when a request is over. Said is what was done, Pools what there is now.
type Ended struct {
	Said  []string
	Err   error
	Pools []Pool
}

type page int

const (
	pageLooking page = iota
	pagePools        // choose one of several
	pageForms
	pageForm
	pageList
	pageEntry
	pageConfirm
	pageWorking
	pageResult
)

// Model is the state of the pages. Its zero value is not usable: call New.
type Model struct {
	actions       Actions
	theme         frame.Theme
	forms         []Form
	columns, rows int
	head          string // of the title

	away     bool // the key, or who looks, is not at the machine
	recovery bool // and not maintenance
	left     bool
	page     page
	pools    []Pool
	pool     int
	place    place.Place // on the page
	entry    int         // in the list of roots and then images
	form     int
	line     int      // of the form
	typed    []string // a line each; on the page that confirms, the first
	asked    Request  // that is confirmed or carried out
	notice   string
	said     []string
	err      error
}

// New makes closed pages. The title begins with head.
func New(head string, theme frame.Theme, forms []Form, a Actions) Model {
	return Model{actions: a, theme: theme, forms: forms, head: head, columns: 80, rows: 24, left: true}
}

// On is the Model on a terminal of columns by rows cells, drawn with theme.
func (m Model) On(theme frame.Theme, columns, rows int) Model {
	m.theme, m.columns, m.rows = theme, max(1, columns), max(1, rows)
	return m
}

// Open opens the pages of recovery, or of maintenance.
func (m Model) Open(recovery bool) (Model, tea.Cmd) {
	m.recovery, m.left, m.notice, m.pools = recovery, false, "", nil
	m = m.to(pageLooking, 0)
	return m, m.call(m.actions.Look)
}

// Away is the Model for a key, or for someone who looks, not at the machine: it opens no shell, and shows nothing of
// what is typed into masked fields, not even how long it is.
func (m Model) Away(is bool) Model {
	m.away = is
	return m
}

// Page says which page is shown: another value means another page.
func (m Model) Page() any { return [3]any{m.page, m.left, m.recovery} }

// Left reports whether the user closed the pages.
func (m Model) Left() bool { return m.left }

// Busy reports whether a request is being carried out.
func (m Model) Busy() bool { return m.page == pageWorking }

// to goes to the beginning of a page, or to a row of it.
func (m Model) to(p page, row int) Model {
	m.page, m.place = p, place.Place{Row: row}
	return m
}

func (m Model) call(f func()) tea.Cmd {
	if f == nil {
		return nil
	}
	return func() tea.Msg { f(); return nil }
}

// Looked takes the answer of Look.
func (m Model) Looked(p Pools) Model {
	if m.page != pageLooking {
		return m
	}
	m.pools, m.pool = p.Pools, 0
	switch len(p.Pools) {
	case 0:
		m.said, m.err = []string{"No disk of this machine has a pool of Griddle."}, nil
		m = m.to(pageResult, 0)
	case 1:
		m = m.choose(0)
	default:
		m = m.to(pagePools, 0)
	}
	return m
}

// choose goes to the first page of a pool.
func (m Model) choose(i int) Model {
	m.pool = i
	if m.recovery {
		return m.to(pageList, 0)
	}
	return m.to(pageForms, 0)
}

// Over takes the end of a request.
func (m Model) Over(e Ended) Model {
	if m.page != pageWorking {
		return m
	}
	m.said, m.err, m.notice = e.Said, e.Err, ""
	m = m.to(pageResult, 0)
	disk := m.now().Disk
	m.pools, m.pool = e.Pools, -1
	for i, p := range e.Pools {
		if p.Disk == disk {
			m.pool = i
		}
	}
	return m
}

// now is the chosen pool.
func (m Model) now() Pool {
	if m.pool < 0 || m.pool >= len(m.pools) {
		return Pool{}
	}
	return m.pools[m.pool]
}

// entries are the roots and then the images of the chosen pool.
func (m Model) entries() []Entry {
	p := m.now()
	return append(append([]Entry(nil), p.Roots...), p.Images...)
}

// isRoot reports whether the chosen entry is a root.
func (m Model) isRoot() bool { return m.entry < len(m.now().Roots) }
