package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/console"
	"griddle/appliance/job"
	"griddle/tui"
	"griddle/tui/care"
	"griddle/tui/remote"
)

// hub is the server's hub in place of the server. Each frame is kept as it would be on the wire.
type hub struct {
	*console.Hub
	mu     sync.Mutex
	sent   bytes.Buffer
	frames int
	fails  bool
}

func (h *hub) screen(_ context.Context, f job.ScreenFrame) (job.ScreenWatch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames++
	if h.fails {
		return job.ScreenWatch{}, errors.New("the network is away")
	}
	if err := json.NewEncoder(&h.sent).Encode(f); err != nil {
		return job.ScreenWatch{}, err
	}
	return h.Take("m", "b", f)
}

func (h *hub) screenKeys(ctx context.Context, after uint64) (job.ScreenKeys, error) {
	return h.Keys(ctx, "m", "b", after, 100*time.Millisecond), nil
}

func (h *hub) wire() (string, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent.String(), h.frames
}

// far is a screen without consoles, with its program, and an operator's picture of it.
type far struct {
	*screen
	hub     *hub
	watcher *console.Watching
	picture job.ScreenPicture
}

func newFar(t *testing.T, actions tui.Actions, forms ...care.Form) *far {
	t.Helper()
	f := &far{hub: &hub{Hub: console.New(console.Options{Now: time.Now, Typed: func(string, string, string) {}})}}
	r, w := io.Pipe()
	model := tui.New("1.0", false, actions, forms...)
	f.screen = &screen{keys: w, distant: newDistant(slog.New(slog.DiscardHandler), model)}
	f.prepare(model, r)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- f.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	f.watch(t, 90, 30)
	f.distant.watched(ctx, f.hub)
	f.distant.watched(ctx, f.hub) // as each hello and each event says it
	return f
}

func (f *far) watch(t *testing.T, columns, rows int) {
	t.Helper()
	var err error
	if f.watcher, err = f.hub.Watch("m", "ada", columns, rows); err != nil {
		t.Fatal(err)
	}
	if !f.hub.Hello("m", console.Boot{ID: "b", Shows: true}) {
		t.Fatal("the screen is not wanted")
	}
}

// sees waits until the operator sees text, without other.
func (f *far) sees(t *testing.T, text string, other ...string) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; {
		view := remote.View(f.picture, 200, 100, true)
		missing := !strings.Contains(view, text)
		for _, o := range other {
			missing = missing || strings.Contains(view, o)
		}
		if !missing {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("an operator does not see %q:\n%s", text, view)
		}
		if n := f.watcher.Next(t.Context(), time.Second); n.Frame != nil {
			next, ok := f.picture.Put(*n.Frame)
			if !ok {
				t.Fatalf("frame %d does not fit on %d", n.Frame.Number, f.picture.Number)
			}
			f.picture = next
		}
	}
}

// types gives keys to the machine; they were typed at what the operator sees now.
func (f *far) types(t *testing.T, keys ...job.ScreenKey) {
	t.Helper()
	for i := range keys {
		keys[i].Seen = f.picture.Number
	}
	if err := f.hub.Type("m", keys); err != nil {
		t.Fatal(err)
	}
}

// TestDistant: an operator elsewhere sees the screen at the size of his terminal, and his keys work, but for shells.
func TestDistant(t *testing.T) {
	powered := make(chan tui.Power, 9)
	f := newFar(t, tui.Actions{Power: func(p tui.Power) { powered <- p }})
	f.sees(t, "rescue shell")
	f.send(tui.Found{Welcome: job.Welcome{Machine: "lab-1"}})
	f.sees(t, "lab-1  this machine")
	if f.picture.Columns != 90 || f.picture.Rows != 30 {
		t.Errorf("the picture has %dx%d", f.picture.Columns, f.picture.Rows)
	}
	f.types(t, job.ScreenKey{Text: "?"})
	f.sees(t, "Help")
	f.types(t, job.ScreenKey{Name: "esc"}, job.ScreenKey{Text: "s"})
	f.sees(t, "only at the machine itself")
	f.types(t, job.ScreenKey{Text: "r"})
	if p := <-powered; p != tui.Reboot || len(powered) > 0 {
		t.Errorf("the keys did %v", p)
	}
	// A page that came by itself: keys for the one before are dropped.
	before := f.picture.Number
	f.send(tui.Ended{Err: errors.New("it failed")})
	f.sees(t, "it failed")
	if err := f.hub.Type("m", []job.ScreenKey{{Text: "p", Seen: before}}); err != nil {
		t.Fatal(err)
	}
	f.types(t, job.ScreenKey{Text: "r"})
	if p := <-powered; p != tui.Reboot {
		t.Errorf("a key for the page before did %v", p)
	}
	// The last operator is gone: no frame is sent any more. The next one sees all.
	f.watcher.Close()
	for end := time.Now().Add(2 * time.Minute); f.running(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("frames are sent for no one")
		}
	}
	_, was := f.hub.wire()
	f.send(tui.Found{Welcome: job.Welcome{Machine: "lab-2"}})
	time.Sleep(2 * frameEvery)
	if _, is := f.hub.wire(); is != was {
		t.Errorf("%d frames were sent for no one", is-was)
	}
	f.picture = job.ScreenPicture{}
	f.watch(t, 60, 20)
	f.distant.watched(t.Context(), f.hub)
	f.sees(t, "lab-2")
}

func (f *far) running() bool {
	f.distant.mu.Lock()
	defer f.distant.mu.Unlock()
	return f.distant.running
}

// TestDistantSendsNoSecret: what someone types into a masked field at the machine, and the code of an approval, are in
// no frame.
func TestDistantSendsNoSecret(t *testing.T) {
	f := newFar(t, tui.Actions{}, care.Form{Name: "password", Title: "Password",
		Fields: []care.Field{{Name: "password", Label: "Password", Help: "the new one", Secret: true}}})
	f.send(tui.Found{Welcome: job.Welcome{Machine: "lab-1", Approval: &job.Settings{Code: "1234-5678"}}})
	f.sees(t, "only on the screen of the machine")
	f.send(tui.Installed{Is: true})
	f.sees(t, "Maintenance of")
	f.types(t, job.ScreenKey{Text: "m"})
	f.sees(t, "Looking")
	f.send(care.Pools{Pools: []care.Pool{{Disk: "/dev/vda", Name: "a disk", System: "web-1"}}})
	f.sees(t, "What to change")
	f.send(tea.KeyMsg{Type: tea.KeyEnter})
	f.sees(t, "(only at the machine)")
	for _, r := range "hunter2" { // at the machine
		f.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
	}
	f.types(t, job.ScreenKey{Text: "correct"}, job.ScreenKey{Name: "down"}) // elsewhere
	f.sees(t, "> once more")
	f.send(tea.KeyMsg{Type: tea.KeyEnter})
	f.sees(t, "two are not the same")
	sent, _ := f.hub.wire()
	for _, secret := range []string{"hunter2", "hunter", "correct", "1234", "**"} {
		if strings.Contains(sent, secret) {
			t.Errorf("the frames have %q", secret)
		}
	}
}
