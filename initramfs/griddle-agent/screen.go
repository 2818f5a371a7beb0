package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"griddle/appliance/job"
	"griddle/initramfs/console"
	"griddle/initramfs/supervise"
	"griddle/tui"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/sys/unix"
)

// screen draws one and the same picture on every console and takes keys from all of them. A console that takes no
// output (a serial line with flow control and nobody behind it) holds up no other.
type screen struct {
	program  *tea.Program
	consoles []*terminal
	keys     *io.PipeWriter

	mu   sync.Mutex
	last *terminal // where the last key came from
}

// terminal is one console.
type terminal struct {
	path string
	out  chan []byte

	mu    sync.Mutex
	file  *os.File      // non-blocking, so that a read can be broken off
	away  bool          // a shell has it
	back  chan struct{} // closed when the shell is left
	stale bool          // output was dropped: the whole picture is to be drawn again
}

// newScreen opens the consoles and prepares the program; run runs it.
func newScreen(log *slog.Logger, version string, actions tui.Actions) *screen {
	r, w := io.Pipe()
	s := &screen{keys: w}
	for _, path := range console.Paths() {
		f, err := console.Open(path, unix.O_NONBLOCK)
		if err != nil {
			log.Error("console not opened", "console", path, "error", err)
			continue
		}
		console.Raw(f)
		s.consoles = append(s.consoles, &terminal{path: path, file: f, out: make(chan []byte, 64)})
	}
	s.program = tea.NewProgram(tui.New(version, true, actions, forms()...),
		tea.WithInput(r), tea.WithOutput(s), tea.WithAltScreen(), tea.WithoutSignalHandler(), tea.WithoutCatchPanics())
	return s
}

// run draws until ctx ends or the program fails.
func (s *screen) run(ctx context.Context) error {
	for _, t := range s.consoles {
		go t.write(ctx, func() { s.send(tea.ClearScreen()) })
		go s.read(ctx, t)
	}
	go s.send(tea.WindowSizeMsg{Width: tui.Columns, Height: tui.Rows})
	stop := context.AfterFunc(ctx, s.program.Kill)
	defer stop()
	_, err := s.program.Run()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *screen) send(msg tea.Msg) { s.program.Send(msg) }

// Write gives what the program draws to every console that is not a shell's. It never waits.
func (s *screen) Write(b []byte) (int, error) {
	for _, t := range s.consoles {
		t.mu.Lock()
		if !t.away {
			select {
			case t.out <- bytes.Clone(b):
			default:
				t.stale = true
			}
		}
		t.mu.Unlock()
	}
	return len(b), nil
}

func (t *terminal) write(ctx context.Context, repaint func()) {
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
			repaint()
		}
	}
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
			s.mu.Lock()
			s.last = t
			s.mu.Unlock()
			_, _ = s.keys.Write(pending)
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

// greeting is what a person needs to know to repair an installed system.
const greeting = "This is a shell. \"exit\" returns to the screen. The log is " + supervise.LogFile + ".\n" +
	"\"ls /bbin\" lists the commands, \"blkid\" lists the disks. To repair an installed system:\n" +
	"  mount -t btrfs /dev/DISK3 /mnt; ls /mnt/@roots; cd /mnt/@roots/NAME\n" +
	"  mount -t devtmpfs dev dev; mount -t proc proc proc; mount -t sysfs sys sys\n" +
	"  chroot . /bin/bash\n" +
	"  exit; umount dev proc sys, one by one; cd /; umount /mnt; shutdown -r now"

// shell runs the rescue shell.
func (s *screen) shell() error {
	return s.lend(greeting, func(tty *os.File, path string) error { return console.Shell(tty, path).Run() })
}

// lend gives the console that the last key came from to use, with a greeting on it, and takes it back afterwards. The
// other consoles stay as they are. If a shell has the console, use is not called.
func (s *screen) lend(greeting string, use func(tty *os.File, path string) error) error {
	s.mu.Lock()
	t := s.last
	s.mu.Unlock()
	if t == nil {
		return errors.New("there is no console for a shell")
	}
	t.mu.Lock()
	if t.away {
		t.mu.Unlock()
		return nil
	}
	t.away, t.back = true, make(chan struct{})
	t.mu.Unlock()
	_ = t.tty().SetReadDeadline(time.Unix(1, 0))
	tty, err := console.Open(t.path, 0)
	if err == nil {
		console.Reset(tty)
		lines := strings.ReplaceAll("\n"+strings.TrimSpace(greeting)+"\n\n", "\n", "\r\n")
		_, _ = tty.WriteString("\x1bc" + lines)
		err = use(tty, t.path)
		_ = tty.Close()
	}
	return errors.Join(err, s.takeBack(t))
}

// takeBack takes a console from a shell that has ended. The kernel hangs a terminal up when the session on it ends
// (disassociate_ctty in drivers/tty/tty_jobctrl.c), which makes every open file of it useless, ours too.
func (s *screen) takeBack(t *terminal) error {
	file, err := console.Open(t.path, unix.O_NONBLOCK)
	if err == nil {
		console.Raw(file)
		// The alternate screen and the hidden cursor were this console's state before the shell.
		_, _ = file.WriteString("\x1bc\x1b[?1049h\x1b[?25l\x1b[2J")
	}
	t.mu.Lock()
	if err == nil {
		_ = t.file.Close()
		t.file = file
	}
	t.away = false
	close(t.back)
	t.mu.Unlock()
	s.send(tea.ClearScreen())
	return err
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
