package care

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/tui/frame"
	"griddle/tui/frame/frametest"
)

var plain = frame.NewTheme(frame.Look{Lines: true})

var update = flag.Bool("update", false, "write the golden frames again")

func lab() []Pool {
	const one, two = "web-20261120.1@amd64", "web-20261121.2@amd64"
	return []Pool{{Disk: "/dev/nvme0n1", Name: "/dev/nvme0n1 (500 GB)", Free: "480 GB of 500 GB are free", System: two,
		Roots: []Entry{
			{Name: two, Made: "2026-11-21 10:00", State: "boots", Keep: "it is the root that boots; let another root " +
				"boot first", Lost: []string{"the system " + two}},
			{Name: one, Made: "2026-11-20 09:00", Lost: []string{"the system " + one + " of 2026-11-20 09:00: " +
				"programs, configuration, and all data but /home and /persistent", "  with the subvolume " +
				"/var/lib/machines", "What is in /home and /persistent stays: all roots share it."}},
			{Name: "bare", Made: "-", State: "no kernel", NoBoot: "it has no kernel"},
		},
		Images: []Entry{{Name: two, Made: "2026-11-21 09:59", Lost: []string{"the image " + two,
			"The root " + two + " stays. Its next update has to fetch a whole image, and not a delta."}}}}}
}

func forms() []Form {
	return []Form{
		{Name: "hostname", Title: "Hostname", About: "The name of this machine. A domain stays.",
			Fields: []Field{{Name: "name", Label: "Hostname", Help: "letters, digits and -", Required: true}}},
		{Name: "user", Title: "User", About: "Adds a user, or changes the password, the keys or the rights of one.",
			Fields: []Field{{Name: "name", Label: "Name", Help: "of the user", Required: true},
				{Name: "password", Label: "Password", Help: "empty: it stays", Secret: true},
				{Name: "ssh-key", Label: "SSH key", Help: "a line of a .pub file, added to the keys"},
				{Name: "sudo", Label: "Sudo", Help: "may become root: yes or no"}}},
		{Name: "bootloader", Title: "Bootloader", About: "Installs GRUB on the disk of this machine again."},
	}
}

// bed is a Model and what it asked for.
type bed struct {
	m    Model
	did  []Request
	look int
}

func open(recovery bool, pools []Pool) *bed {
	b := &bed{}
	b.m = New("Griddle 1.0", plain, forms(), Actions{Look: func() { b.look++ },
		Do: func(r Request) { b.did = append(b.did, r) }})
	m, cmd := b.m.Open(recovery)
	cmd()
	b.m = m.Looked(Pools{pools})
	return b
}

func (b *bed) press(keys ...string) *bed {
	for _, k := range keys {
		msgs := []tea.KeyMsg{{Type: tea.KeyRunes, Runes: []rune(k)}}
		for _, known := range []tea.KeyType{tea.KeyEnter, tea.KeyEsc, tea.KeyUp, tea.KeyDown, tea.KeyBackspace,
			tea.KeyEnd, tea.KeyTab} {
			if (tea.KeyMsg{Type: known}).String() == k {
				msgs = []tea.KeyMsg{{Type: known}}
			}
		}
		for _, msg := range msgs {
			m, cmd := b.m.Key(msg)
			b.m = m
			if cmd != nil {
				cmd()
			}
		}
	}
	return b
}

func (b *bed) over(e Ended) *bed { b.m = b.m.Over(e); return b }

// Each page is drawn at the size of a console, and at the smallest one.
func TestFrames(t *testing.T) {
	many := lab()
	for i := range 60 {
		many[0].Roots = append(many[0].Roots, Entry{Name: fmt.Sprintf("db-202611%02d.1@amd64", i),
			Made: "2026-11-01 00:00"})
	}
	hostile := lab()
	hostile[0].Name = "\x1b[2J\u202edisk"
	hostile[0].Roots[0].Name = "\"a\\x1b[2J\" " + strings.Repeat("w", 200)
	hostile[0].Roots[0].Keep = ""
	hostile[0].Roots[0].Lost = []string{"the system \x1b[31mx\r\n", strings.Repeat("long ", 200)}
	hostile[0].Problem = "Which root boots is not known: \x1b]0;grub.cfg"
	here := lab()
	here[0].Here = true
	two := append(lab(), Pool{Disk: "/dev/sda", Name: "/dev/sda (2.00 TB)"})
	for _, f := range []struct {
		name string
		b    *bed
	}{
		{"disks", open(true, two)},
		{"recovery", open(true, lab()).press("down")},
		{"recovery-many", open(true, many).press("end")},
		{"root", open(true, lab()).press("down", "enter")},
		{"root-refused", open(true, lab()).press("enter", "end", "enter")},
		{"confirm", open(true, lab()).press("down", "enter", "end", "enter", "w", "e", "b")},
		{"confirm-wrong", open(true, lab()).press("down", "enter", "end", "enter", "x", "enter")},
		{"confirm-image", open(true, lab()).press("end", "enter", "enter")},
		{"maintenance", open(false, lab())},
		{"maintenance-here", open(false, here).press("down")},
		{"form", open(false, lab()).press("down", "enter", "a", "d", "a", "enter", "s", "e", "c")},
		{"form-wrong", open(false, lab()).press("down", "enter", "a", "tab", "x", "tab", "y", "enter", "enter",
			"enter")},
		{"form-empty", open(false, lab()).press("end", "enter")},
		{"working", open(false, lab()).press("end", "enter", "enter")},
		{"done", open(false, lab()).press("end", "enter", "enter").over(Ended{Said: []string{"GRUB is installed " +
			"again."}, Pools: lab()})},
		{"failed", open(false, lab()).press("end", "enter", "enter").over(Ended{Err: errors.New("Bootloader: writing " +
			"boot sector: input/output error\nanother line"), Pools: lab()})},
		{"none", open(true, nil)},
		{"hostile", open(true, hostile)},
		{"hostile-confirm", open(true, hostile).press("enter", "end", "enter", "\x1b", "w")},
	} {
		t.Run(f.name, func(t *testing.T) {
			frametest.Goldens(t, f.name, *update, func(theme frame.Theme, columns, rows int) string {
				return f.b.m.On(theme, columns, rows).View()
			})
		})
	}
}

// Nothing is deleted without the name, and what must not be done is not asked for.
func TestRecovery(t *testing.T) {
	b := open(true, lab())
	b.press("down", "enter", "end", "enter", "enter", "x", "enter", "backspace")
	if b.did != nil {
		t.Errorf("without the name it asked for %v", b.did)
	}
	for _, r := range "web-20261120.1@amd64" {
		b.press(string(r))
	}
	b.press("enter", "enter", "esc")
	if want := []Request{{Verb: DeleteRoot, Disk: "/dev/nvme0n1", Name: "web-20261120.1@amd64"}}; !reflect.DeepEqual(
		b.did, want) {
		t.Errorf("asked for %v, want %v", b.did, want)
	}
	if !b.m.Busy() {
		t.Error("a key interrupted a deletion")
	}
	b.over(Ended{Pools: lab()}).press("enter")
	b.did = nil
	b.press("enter", "end", "enter")                 // the root that boots cannot be deleted
	b.press("esc", "down", "down", "enter", "enter") // that without a kernel cannot boot
	if b.did != nil {
		t.Errorf("asked for %v", b.did)
	}
	b.press("esc", "up", "enter", "enter").over(Ended{Pools: lab()}).press("enter", "down", "enter", "down", "enter")
	want := []Request{{Verb: Boot, Disk: "/dev/nvme0n1", Name: "web-20261120.1@amd64"},
		{Verb: Enter, Disk: "/dev/nvme0n1", Name: "web-20261120.1@amd64"}}
	if !reflect.DeepEqual(b.did, want) {
		t.Errorf("asked for %v, want %v", b.did, want)
	}
	if b.over(Ended{Pools: lab()}).press("enter", "esc"); !b.m.Left() {
		t.Error("Esc did not leave")
	}
}

func TestMaintenance(t *testing.T) {
	b := open(false, lab())
	b.press("down", "enter", "enter", "enter", "enter", "enter", "enter")
	if b.did != nil || !strings.Contains(b.m.View(), "Name is missing") {
		t.Errorf("without a name it asked for %v:\n%s", b.did, b.m.View())
	}
	b.press("a", "d", "a", "enter", "p", "w", "enter", "p", "w", "enter", "enter", "y", "e", "s")
	if strings.Contains(b.m.View(), "pw") {
		t.Errorf("the password is shown:\n%s", b.m.View())
	}
	b.press("enter")
	want := []Request{{Verb: Change, Disk: "/dev/nvme0n1", Name: "user",
		Values: map[string]string{"name": "ada", "password": "pw", "sudo": "yes"}}}
	if !reflect.DeepEqual(b.did, want) {
		t.Errorf("asked for %v, want %v", b.did, want)
	}
	// A pool that is gone ends the pages.
	if b.over(Ended{}).press("enter"); !b.m.Left() {
		t.Error("without a pool the pages stay")
	}
	if b := open(false, []Pool{{Disk: "/dev/sda", Problem: "damaged"}}).press("enter"); len(b.did) > 0 ||
		!strings.Contains(b.m.View(), "Not possible") {
		t.Errorf("a pool without a system:\n%s", b.m.View())
	}
}

func TestAlone(t *testing.T) {
	b := &bed{}
	a := NewAlone(New("Griddle", plain, forms(), Actions{Look: func() { b.look++ }}), true)
	a.Init()()
	var m tea.Model = a
	var cmd tea.Cmd
	for _, msg := range []tea.Msg{tea.WindowSizeMsg{Width: 50, Height: 14}, Pools{lab()}, tea.KeyMsg{Type: tea.KeyDown},
		tea.KeyMsg{Type: tea.KeyEsc}} {
		frametest.Check(t, m.View(), m.(Alone).columns, m.(Alone).rows)
		m, cmd = m.Update(msg)
	}
	if b.look != 1 || cmd == nil || cmd() != (tea.QuitMsg{}) {
		t.Errorf("looked %d times, and Esc gives %v", b.look, cmd)
	}
}
