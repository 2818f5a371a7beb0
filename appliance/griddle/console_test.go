package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance"
	"griddle/appliance/authority"
	"griddle/appliance/job"
	"griddle/tui"
	"griddle/tui/remote"
)

// TestConsoleCommand runs `griddle machine console` on a terminal beside a real server, and the model of the screen as
// the agent. Then the machine sends what terminals obey.
func TestConsoleCommand(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	agent, err := serveAPI(t, state)
	if err != nil {
		t.Fatal(err)
	}
	hello := job.Hello{Boot: "7b7c0bd0-4a3a-4b94-b0ac-6c4a0c1f9f01", Features: []string{job.FeatureScreen},
		Identity: job.Identity{MACs: []string{"52:54:00:00:00:0a"}}}
	welcome, err := agent.client.Hello(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	far, near, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	defer near.Close()
	if err := pty.Setsize(near, &pty.Winsize{Cols: 100, Rows: 31}); err != nil {
		t.Fatal(err)
	}
	screen := vt10x.New(vt10x.WithSize(100, 31), vt10x.WithWriter(far))
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			_, _ = screen.Write(buf[:n])
		}
	}()
	shows := func(want string) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !strings.Contains(screen.String(), want); {
			if time.Now().After(end) {
				t.Fatalf("the terminal has no %q:\n%s", want, screen.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan int, 1)
	go func() {
		over <- run(ctx, []string{"machine", "console", welcome.Machine, "--server", agent.url, "--token-file",
			filepath.Join(state, appliance.TokenFile), "--ca", filepath.Join(state, authority.File)}, near, near, near)
	}()
	shows("waiting for the machine")
	if w, err := agent.client.Hello(t.Context(), hello); err != nil || !w.Screen {
		t.Fatalf("Hello() = %+v, %v", w, err)
	}
	var model tea.Model = tui.New("1.0", true, tui.Actions{})
	model, _ = model.Update(tui.Found{Welcome: job.Welcome{Machine: "lab-1"}})
	number := uint64(0)
	send := func(lines []job.ScreenLine) job.ScreenWatch {
		t.Helper()
		number++
		time.Sleep(100 * time.Millisecond)
		w, err := agent.client.Screen(t.Context(), job.ScreenFrame{Number: number, Columns: 80, Rows: 24, Whole: true,
			Lines: lines})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if w := send(remote.Lines(model.View())); !w.Watched || w.Columns != 100 || w.Rows != 30 {
		t.Errorf("the machine hears %+v", w)
	}
	shows("What to do")
	shows("NOT APPROVED")
	if _, err := far.WriteString("?\x1b[B"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for after := uint64(0); len(got) < 2; {
		k, err := agent.client.ScreenKeys(t.Context(), after)
		if err != nil || !k.Watched {
			t.Fatalf("ScreenKeys() = %+v, %v", k, err)
		}
		after = k.Last
		for _, key := range k.Keys {
			got = append(got, key.Name+key.Text)
			if key.Seen != 1 {
				t.Errorf("%+v was typed at another picture", key)
			}
			msgs, _ := remote.KeyMsg(key)
			for _, m := range msgs {
				model, _ = model.Update(tui.Elsewhere{Key: m})
			}
		}
	}
	if strings.Join(got, " ") != "? down" {
		t.Errorf("the machine gets %q", got)
	}
	send(remote.Lines(model.View()))
	shows("Help")
	if _, err := far.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	shows("the machine takes no key ctrl+c")
	send([]job.ScreenLine{{Row: 1, Runs: []job.ScreenRun{{Text: "\x1b[2J\x1b]0;owned\x07left", Look: 0xffff}}}})
	shows("?[2J?]0;owned?left")
	if _, err := far.WriteString("\x1d"); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-over:
		if code != 0 {
			t.Errorf("it ends with %d:\n%s", code, screen.String())
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it does not end")
	}
}
