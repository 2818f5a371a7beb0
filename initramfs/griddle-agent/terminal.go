package main

import (
	"bytes"
	"context"
	"os"
	"sync"
	"time"

	"griddle/initramfs/console"
	"griddle/tui"
	"griddle/tui/frame"

	tea "github.com/charmbracelet/bubbletea"
)

// terminal is one console.
type terminal struct {
	path    string
	out     chan []byte
	program *tea.Program // draws a picture

	mu            sync.Mutex
	file          *os.File      // non-blocking, so that a read can be broken off
	away          bool          // a shell has it
	back          chan struct{} // closed when the shell is left
	stale         bool          // output was dropped: the whole picture is to be drawn again
	can           frame.Look    // by its kind
	look          frame.Look    // by its answers too
	columns, rows int
}

func newTerminal(path string, file *os.File, m tui.Model, look frame.Look) *terminal {
	t := &terminal{path: path, file: file, out: make(chan []byte, 64), can: look, look: look}
	t.columns, t.rows = console.Size(file)
	t.program = tea.NewProgram(picture{m, frame.NewTheme(look), t.columns, t.rows}, tea.WithInput(nil),
		tea.WithOutput(t), tea.WithAltScreen(), tea.WithoutSignalHandler(), tea.WithoutCatchPanics())
	return t
}

// shared is the model of all consoles.
type shared struct {
	tui.Model
	show   func(m tui.Model, byKey bool)
	at     func() (frame.Theme, int, int)
	far    func() (frame.Theme, int, int) // of an operator elsewhere
	redraw func()
}

// Update implements tea.Model.
func (s shared) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	byKey := true
	switch msg := msg.(type) {
	case tea.KeyMsg:
		s.Model = s.On(s.at())
		if msg.Type == tea.KeyCtrlL {
			s.redraw()
		}
		byKey = false // for an operator elsewhere it is another's key
	case tui.Elsewhere:
		s.Model = s.On(s.far())
	default:
		byKey = false
	}
	next, cmd := s.Model.Update(msg)
	s.Model = next.(tui.Model)
	s.show(s.Model, byKey)
	return s, cmd
}

// View implements tea.Model: the consoles draw.
func (s shared) View() string { return "" }

// picture is the model as one console shows it.
type picture struct {
	model         tui.Model
	theme         frame.Theme
	columns, rows int
}

// Init implements tea.Model.
func (p picture) Init() tea.Cmd { return nil }

// Update implements tea.Model.
func (p picture) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tui.Model:
		p.model = msg
	case frame.Theme:
		p.theme = msg
	case tea.WindowSizeMsg:
		p.columns, p.rows = msg.Width, msg.Height
	}
	return p, nil
}

// View implements tea.Model.
func (p picture) View() string { return p.model.On(p.theme, p.columns, p.rows).View() }

// draw draws until ctx ends. The size of a console changes when the driver of its graphics card starts, and no signal
// says so to a program that does not have the console as its controlling terminal: so it looks.
func (t *terminal) draw(ctx context.Context) {
	stop := context.AfterFunc(ctx, t.program.Kill)
	defer stop()
	t.ask()
	go func() {
		t.mu.Lock()
		columns, rows := t.columns, t.rows
		t.mu.Unlock()
		t.program.Send(tea.WindowSizeMsg{Width: columns, Height: rows})
		for ctx.Err() == nil {
			t.measure()
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	_, _ = t.program.Run()
}

// measure looks for another size.
func (t *terminal) measure() {
	if t.gone() != nil {
		return
	}
	columns, rows := console.Size(t.tty())
	t.mu.Lock()
	changed := columns != t.columns || rows != t.rows
	t.columns, t.rows = columns, rows
	t.mu.Unlock()
	if changed {
		t.program.Send(tea.WindowSizeMsg{Width: columns, Height: rows})
	}
}

// ask asks what is at the other end of a serial line. Without an answer it is what the command line says, or one of
// today's emulators.
func (t *terminal) ask() {
	if !console.Virtual(t.path) {
		_, _ = t.Write([]byte(console.Question))
	}
}

// learn takes the answers.
func (t *terminal) learn(answers []console.Answer) {
	for _, a := range answers {
		if a.Columns > 0 {
			console.SetSize(t.tty(), a.Columns, a.Rows)
			t.measure()
			continue
		}
		t.mu.Lock()
		before := t.look
		t.look.Lines = t.can.Lines && a.UTF8
		changed := t.look != before
		look := t.look
		t.mu.Unlock()
		if changed {
			t.program.Send(frame.NewTheme(look))
			t.program.Send(tea.ClearScreen())
		}
	}
}

// Write gives what the program draws to the console, if no shell has it. It never waits.
func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.away {
		select {
		case t.out <- bytes.Clone(b):
		default:
			t.stale = true
		}
	}
	return len(b), nil
}

// write carries what was drawn to the console, which may be slow.
func (t *terminal) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-t.out:
			_, _ = t.tty().Write(b)
		}
		t.mu.Lock()
		again := t.stale && len(t.out) == 0 && !t.away
		if again {
			t.stale = false
		}
		t.mu.Unlock()
		if again {
			t.program.Send(tea.ClearScreen())
		}
	}
}

func (t *terminal) tty() *os.File {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.file
}

func (t *terminal) gone() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.away {
		return nil
	}
	return t.back
}
