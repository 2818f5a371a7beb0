package remote

import (
	"regexp"
	"strings"
	"testing"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/appliance/job"
	"griddle/tui"
	"griddle/tui/frame"
)

// whole is a frame of a view.
func whole(view string, number uint64, columns, rows int) job.ScreenFrame {
	return job.ScreenFrame{Number: number, Columns: columns, Rows: rows, Whole: true, Lines: Lines(view)}
}

// TestScreen sends what the real model draws, and shows the same.
func TestScreen(t *testing.T) {
	for _, ink := range []frame.Ink{frame.Plain, frame.Mono, frame.Colors} {
		m := tui.New("1", false, tui.Actions{}).On(frame.NewTheme(frame.Look{Ink: ink, Lines: true}), 80, 24)
		var before job.ScreenPicture
		for i, msg := range []tea.Msg{tui.Step{Name: "Server", Detail: "asking"},
			tui.Found{Welcome: job.Welcome{Machine: "lab-1"}}, tea.KeyMsg{Type: tea.KeyDown}} {
			next, _ := m.Update(msg)
			m = next.(tui.Model)
			view := m.View()
			f := whole(view, uint64(i+1), 80, 24)
			if before.Number > 0 {
				now, _ := before.Put(f)
				f = now.Frame(before)
				if f.Whole || len(f.Lines) == 0 || len(f.Lines) > 23 {
					t.Errorf("the change of %T has %d lines, whole: %v", msg, len(f.Lines), f.Whole)
				}
			}
			f, err := f.Bounded()
			if err != nil {
				t.Fatal(err)
			}
			p, ok := before.Put(f)
			if !ok {
				t.Fatalf("the frame of %T does not fit", msg)
			}
			for row, line := range strings.Split(view, "\n") {
				got := strings.Split(View(p, 80, 24, true), "\n")[row]
				if want := strip(line); got != want {
					t.Errorf("row %d is %q, want %q", row, got, want)
				}
			}
			if got := Lines(View(p, 80, 24, false)); len(Changed(Lines(view), got)) != 0 && ink != frame.Plain {
				same := strings.Join(merged(got), "\n") == strings.Join(merged(Lines(view)), "\n")
				if !same {
					t.Errorf("ink %d: the looks of %T differ", ink, msg)
				}
			}
			before = p
		}
	}
}

// merged are lines with runs of one look in one.
func merged(lines []job.ScreenLine) (out []string) {
	for _, l := range lines {
		text, look := "", job.ScreenLook(0)
		for _, r := range l.Runs {
			if r.Look != look {
				text += Sequence(r.Look)
				look = r.Look
			}
			text += r.Text
		}
		out = append(out, text)
	}
	return out
}

var sequences = regexp.MustCompile(`\x1b\[[0-9;]*m`)

func strip(s string) string { return sequences.ReplaceAllString(s, "") }

var allowed = regexp.MustCompile(`^\x1b\[0(;1)?(;7)?(;3[0-7])?(;4[0-7])?m$`)

// FuzzView: whatever a machine sends, a terminal gets printable characters and sequences of the closed set, and no line
// is wider than it.
func FuzzView(f *testing.F) {
	f.Add("\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\u202eabc\u200b", uint16(0xffff), uint8(80), false)
	f.Add("漢字\x9b31m\x1bPq", uint16(0x0171), uint8(3), true)
	f.Fuzz(func(t *testing.T, text string, look uint16, columns uint8, cooked bool) {
		lines := []job.ScreenLine{{Row: -1}, {Row: 1 << 30},
			{Row: 0, Runs: []job.ScreenRun{{Text: text, Look: job.ScreenLook(look)}, {Text: "x"}}}}
		if cooked {
			lines = Lines(text)
		}
		frame0 := job.ScreenFrame{Number: 1, Columns: 80, Rows: 24, Whole: true, Lines: lines}
		raw, _ := job.ScreenPicture{}.Put(frame0)
		bounded, err := frame0.Bounded()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range bounded.Lines {
			for _, r := range l.Runs {
				if again := visible(r.Text); again != r.Text {
					t.Errorf("%q is not bounded: %q", r.Text, again)
				}
			}
		}
		clean, _ := job.ScreenPicture{}.Put(bounded)
		for _, p := range []job.ScreenPicture{raw, clean} { // the operator's side trusts no server either
			view := View(p, int(columns), 24, false)
			for _, s := range sequences.FindAllString(view, -1) {
				if !allowed.MatchString(s) {
					t.Errorf("a terminal gets %q", s)
				}
			}
			for _, line := range strings.Split(strip(view), "\n") {
				if frame.Cells(line) > int(columns) {
					t.Errorf("%q is wider than %d", line, columns)
				}
				for _, r := range line {
					if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r >= 0x80 && r < 0xa0 {
						t.Errorf("a terminal gets %U", r)
					}
				}
			}
		}
	})
}

func TestKeys(t *testing.T) {
	for name, kind := range keys {
		got, ok := KeyMsg(job.ScreenKey{Name: name})
		back, is := Key(tea.KeyMsg{Type: kind})
		if !ok || len(got) != 1 || got[0].Type != kind || !is || back.Name != name {
			t.Errorf("the key %q is %+v and back %+v", name, got, back)
		}
	}
	got, ok := KeyMsg(job.ScreenKey{Text: "ü a"})
	if !ok || len(got) != 3 || got[0].String() != "ü" || got[1].Type != tea.KeySpace || got[2].String() != "a" {
		t.Errorf("text is %+v, %v", got, ok)
	}
	for _, bad := range []job.ScreenKey{{}, {Name: "ctrl+c"}, {Name: "enter", Text: "x"}, {Text: "a\x1b[2J"},
		{Text: "\r"}, {Text: strings.Repeat("x", 65)}, {Text: "\u202e"}} {
		if got, ok := KeyMsg(bad); ok || got != nil {
			t.Errorf("%+v is taken as %+v", bad, got)
		}
	}
	for _, bad := range []tea.KeyMsg{{Type: tea.KeyCtrlC}, {Type: tea.KeyF1}, {Type: tea.KeyRunes, Runes: []rune{0x1b}},
		{Type: tea.KeyRunes, Runes: []rune("x"), Alt: true}} {
		if got, ok := Key(bad); ok {
			t.Errorf("%v is taken as %+v", bad, got)
		}
	}
}

func TestPut(t *testing.T) {
	first, _ := job.ScreenPicture{}.Put(whole("a\nb", 7, 40, 12))
	for _, f := range []job.ScreenFrame{{Number: 9, Columns: 40, Rows: 12}, {Number: 8, Columns: 41, Rows: 12},
		{Number: 6, Columns: 40, Rows: 12}} {
		if _, ok := first.Put(f); ok {
			t.Errorf("%+v fits", f)
		}
	}
	second, ok := first.Put(job.ScreenFrame{Number: 8, Columns: 40, Rows: 12, Lines: Lines("c")})
	if !ok || View(second, 40, 2, true) != "c\nb" || View(first, 40, 2, true) != "a\nb" {
		t.Errorf("the pictures are %q and %q", View(first, 40, 2, true), View(second, 40, 2, true))
	}
	if f := second.Frame(first); f.Whole || len(f.Lines) != 1 || f.Number != 8 {
		t.Errorf("the change is %+v", f)
	}
}
