package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"

	"griddle/initramfs/console"
	"griddle/tui"
	"griddle/tui/frame"
)

// line runs a screen on a serial line whose other end the test has.
func line(t *testing.T) *os.File {
	t.Helper()
	far, near, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close(); near.Close() })
	file, err := console.Open(near.Name(), unix.O_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	console.Raw(file)
	r, w := io.Pipe()
	model := tui.New("1.0", false, tui.Actions{})
	s := &screen{keys: w, distant: newDistant(slog.New(slog.DiscardHandler), model),
		consoles: []*terminal{newTerminal(near.Name(), file, model, frame.LookOf("", false))}}
	s.prepare(model, r)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- s.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return far
}

// until waits for a screen that has all of want.
func until(t *testing.T, read func() string, want ...string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		missing := ""
		for _, w := range want {
			if !strings.Contains(read(), w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the screen has no %q:\n%s", missing, read())
		}
	}
}

// The screen fills a serial terminal that is larger than 80x24, since it asks for its size.
func TestSerialTerminalSaysItsSize(t *testing.T) {
	far := line(t)
	screen := vt10x.New(vt10x.WithSize(132, 43), vt10x.WithWriter(far))
	go func() {
		buf := make([]byte, 1<<16) // frames are smaller: no rune is cut
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			_, _ = screen.Write(buf[:n])
		}
	}()
	until(t, screen.String, "┌─ Start ────", strings.Repeat("─", 100)+"┐", "s rescue shell")
	_, _ = far.WriteString("?")
	until(t, screen.String, "┌─ Help ──", "Page Up, Page Down")
	_, _ = far.WriteString("\x0c")
	_, _ = far.WriteString("x")
	until(t, screen.String, "┌─ Start ────")
}

// A serial terminal without UTF-8 gets ASCII.
func TestSerialTerminalWithoutUTF8(t *testing.T) {
	far := line(t)
	var mu sync.Mutex
	var got strings.Builder
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			got.Write(buf[:n])
			mu.Unlock()
			if strings.Contains(string(buf[:n]), "\x1b[6n") {
				_, _ = far.WriteString("\x1b[1;3R\x1b[24;80R")
			}
		}
	}()
	until(t, func() string { mu.Lock(); defer mu.Unlock(); return got.String() }, strings.Repeat("-", 60))
}
