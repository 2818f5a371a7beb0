package e2e

import (
	"bytes"
	"image/color"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestConsoleIsATerminal(t *testing.T) {
	near, far := net.Pipe()
	c, err := openConsole("test", near, filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	// In pieces that cut the box character in two.
	for _, s := range []string{"old text\x1b[2J\x1b[3;5H\x1b[1m\xe2\x94", "\x80 disk\x1b[24;77Hlast", "\x1b[6n"} {
		if _, err := io.WriteString(far, s); err != nil {
			t.Fatal(err)
		}
	}
	answer := make([]byte, len("\x1b[24;80R"))
	if _, err := io.ReadFull(far, answer); err != nil || string(answer) != "\x1b[24;80R" {
		t.Errorf("the terminal says its cursor is at %q, %v, want row 24 column 80", answer, err)
	}
	screen, err := c.WaitScreen(t.Context(), `disk`, `last`)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\n\n    ─ disk\n" + strings.Repeat("\n", 20) + strings.Repeat(" ", 76) + "last\n"; screen != want {
		t.Errorf("the screen is\n%q, want\n%q", screen, want)
	}
	typed := make(chan string)
	go func() {
		b := make([]byte, len(KeyDown))
		_, _ = io.ReadFull(far, b)
		typed <- string(b)
	}()
	if err := c.Send(KeyDown); err != nil {
		t.Fatal(err)
	}
	if got := <-typed; got != KeyDown {
		t.Errorf("the machine got %q, want %q", got, KeyDown)
	}
	far.Close()
	if _, err := c.Wait(t.Context(), "never"); err == nil {
		t.Error("waiting for a machine that is off goes on")
	}
}

func TestReadPPM(t *testing.T) {
	img, err := readPPM(strings.NewReader("P6\n2 1\n255\n\x01\x02\x03\xff\x00\x80"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := img.At(1, 0), (color.RGBA{255, 0, 128, 255}); got != want {
		t.Errorf("the second pixel is %v, want %v", got, want)
	}
	for _, bad := range []string{"", "P5\n1 1\n255\nx", "P6\n2 2\n255\nxxx", "P6\n-1 4\n255\n",
		"P6\n9999999 9999999\n255\n"} {
		if _, err := readPPM(bytes.NewReader([]byte(bad))); err == nil {
			t.Errorf("readPPM(%q) took it", bad)
		}
	}
}
