package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
)

// TestPhasesOnTerminal draws a bar for each phase, and takes it away before a line is written and at the end.
func TestPhasesOnTerminal(t *testing.T) {
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	got := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = io.Copy(&b, screen) // ends with an error when the last writer closes
		got <- b.String()
	}()
	p := (&Env{Stderr: terminal}).Phases()
	for _, phase := range []string{"writing", "uploading"} {
		p.Update(phase, 0, 100)
		time.Sleep(redraw + redraw/2)
		p.Update(phase, 25, 100)
		if phase == "writing" {
			fmt.Fprintln(p, "[1/2] images")
			p.Warn("that is a small disk")
		}
	}
	p.End()
	p.End()
	terminal.Close()
	text := <-got
	last := -1
	for _, want := range []string{"\rwriting [#####---------------] 25 %", " \r[1/2] images\r\n",
		"warning: that is a small", "\ruploading [#####---------------] 25 %"} {
		at := strings.Index(text, want)
		if at <= last {
			t.Errorf("%q is not, or not in its place, in %q", want, text)
		}
		last = at
	}
	if !strings.HasSuffix(text, " \r") {
		t.Errorf("the bar stays: %q", text)
	}
}

// TestPhasesElsewhere writes lines, and nothing with --quiet or for programs.
func TestPhasesElsewhere(t *testing.T) {
	for _, c := range []struct {
		name string
		out  Output
		want string
	}{
		{"lines", Output{}, "writing 50 B of about 100 B, 50 %, 8 B/s, 6 s left\ngriddle: warning: small\n"},
		{"quiet", Output{Quiet: true}, ""},
		{"json", Output{format: JSON}, "griddle: warning: small\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var said strings.Builder
			p := (&Env{Stderr: &said, Out: c.out}).Phases()
			p.Update("writing", 0, 100)
			time.Sleep(ReportEvery + time.Second)
			p.Update("writing", 50, 100)
			p.Warn("small")
			p.End()
			if got := said.String(); got != c.want {
				t.Errorf("%s: it writes %q, want %q", c.name, got, c.want)
			}
		})
	}
}
