package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/console"
	"griddle/tui"
	"griddle/tui/frame"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/sys/unix"
)

// screen shows one and the same model on every console, on each at its own size and with what it can draw, and takes
// keys from all of them. A console that takes no output (a serial line with flow control and nobody behind it) holds up
// no other.
type screen struct {
	program  *tea.Program // of the model; each console has one that draws
	consoles []*terminal
	distant  *distant
	keys     *io.PipeWriter

	mu   sync.Mutex
	last *terminal // where the last key came from
}

// newScreen opens the consoles and prepares the programs; run runs them.
func newScreen(log *slog.Logger, version string, actions tui.Actions) *screen {
	r, w := io.Pipe()
	s := &screen{keys: w}
	model := tui.New(version, false, actions, forms()...)
	s.distant = newDistant(log, model)
	term, noColor := console.Configured()
	for _, path := range console.Paths() {
		f, err := console.Open(path, unix.O_NONBLOCK)
		if err != nil {
			log.Error("console not opened", "console", path, "error", err)
			continue
		}
		console.Raw(f)
		kind := term
		if console.Virtual(path) {
			kind = "linux"
		}
		s.consoles = append(s.consoles, newTerminal(path, f, model, frame.LookOf(kind, noColor)))
	}
	s.prepare(model, r)
	return s
}

// prepare makes the program of the model, which gets its keys from r.
func (s *screen) prepare(m tui.Model, r io.Reader) {
	s.program = tea.NewProgram(shared{Model: m, show: s.show, at: s.at, far: s.distant.at,
		redraw: s.redraw}, tea.WithInput(r),
		tea.WithOutput(io.Discard), tea.WithoutRenderer(), tea.WithoutSignalHandler(), tea.WithoutCatchPanics())
	s.distant.send = s.program.Send
}

// run draws until ctx ends or the program fails.
func (s *screen) run(ctx context.Context) error {
	for _, t := range s.consoles {
		go t.write(ctx)
		go s.read(ctx, t)
		go t.draw(ctx)
	}
	stop := context.AfterFunc(ctx, s.program.Kill)
	defer stop()
	_, err := s.program.Run()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *screen) send(msg tea.Msg) { s.program.Send(msg) }

// show gives the consoles, and operators elsewhere, the model that they see.
func (s *screen) show(m tui.Model, byKey bool) {
	s.distant.show(m, byKey)
	for _, t := range s.consoles {
		t.program.Send(m)
	}
}

// redraw draws everything again, for terminals that were attached late.
func (s *screen) redraw() {
	for _, t := range s.consoles {
		t.ask()
		t.program.Send(tea.ClearScreen())
	}
}

// at is the console that the last key came from: pages are as long as its.
func (s *screen) at() (frame.Theme, int, int) {
	s.mu.Lock()
	t := s.last
	s.mu.Unlock()
	if t == nil {
		return frame.NewTheme(frame.Look{}), tui.Columns, tui.Rows
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return frame.NewTheme(t.look), t.columns, t.rows
}

// read passes keys on. A key that is several bytes long may arrive in pieces over a serial line; cut in two, its
// first byte would count as Escape. So what looks unfinished waits for the rest, though not for long.
func (s *screen) read(ctx context.Context, t *terminal) {
	buf := make([]byte, 256)
	var pending []byte
	for ctx.Err() == nil {
		if back := t.gone(); back != nil {
			<-back
			continue
		}
		file := t.tty()
		if len(pending) > 0 {
			_ = file.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
		}
		n, err := file.Read(buf)
		pending = append(pending, buf[:n]...)
		if len(pending) > 0 && (n == 0 || !unfinished(pending)) {
			keys, answers := console.Answers(pending)
			t.learn(answers)
			if len(keys) > 0 {
				s.mu.Lock()
				s.last = t
				s.mu.Unlock()
				_, _ = s.keys.Write(keys)
			}
			pending = nil
		}
		if len(pending) == 0 && t.gone() == nil {
			_ = file.SetReadDeadline(time.Time{})
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second): // a serial port without hardware gives EIO for ever
			}
		}
	}
}

// unfinished says whether b ends in the beginning of an escape sequence (ECMA-48 section 5.4: ESC [, parameters,
// a final byte from @ to ~; or ESC O and one byte).
func unfinished(b []byte) bool {
	i := bytes.LastIndexByte(b, 0x1b)
	if i < 0 {
		return false
	}
	rest := b[i+1:]
	switch {
	case len(rest) == 0:
		return true
	case rest[0] == 'O':
		return len(rest) == 1
	case rest[0] == '[':
		for _, c := range rest[1:] {
			if c >= '@' && c <= '~' {
				return false
			}
		}
		return true
	}
	return false
}

// leave gives the consoles back before the machine goes down.
func (s *screen) leave() {
	for _, t := range s.consoles {
		file := t.tty()
		_, _ = file.WriteString("\x1b[?1049l\x1b[?25h\x1b[2J\x1b[H")
		console.Reset(file)
	}
}

// showOn makes the function that shows events on a screen.
func showOn(s *screen) func(job.Event) {
	return func(e job.Event) { s.send(tui.Happened{Event: e}) }
}
