package place

import (
	"fmt"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"griddle/tui/frame"
	"griddle/tui/frame/frametest"
)

var theme = frame.NewTheme(frame.Look{Lines: true})

// page is a list of n rows and a text of as many lines.
func page(p Place, n int) frame.Page {
	list, text := frame.Section{Title: "List", List: true, Head: 1, Lines: []string{"heading"}},
		frame.Section{Title: "Text"}
	for i := range n {
		list.Lines = append(list.Lines, theme.Row(i == p.Row, fmt.Sprint("row ", i), 80))
		text.Lines = append(text.Lines, fmt.Sprint("line ", i))
	}
	return frame.Page{Title: "page", Sections: p.Mark([]frame.Section{list, text}), Filters: true, About: "about it"}
}

func keys(t *testing.T, p Place, n int, names ...string) Place {
	t.Helper()
	for _, name := range names {
		p, _ = p.Key(press(name), page(p, n), theme, 80, 24)
	}
	return p
}

func press(name string) tea.KeyMsg {
	for k := tea.KeyType(-128); k < 128; k++ {
		if (tea.KeyMsg{Type: k}).String() == name && k != tea.KeyRunes {
			return tea.KeyMsg{Type: k}
		}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
}

func TestRows(t *testing.T) {
	for _, c := range []struct {
		keys string
		want int
	}{
		{"down down up", 1}, {"up", 0}, {"end", 59}, {"end down", 59}, {"end up", 58}, {"end home", 0},
		{"pgdown", 8}, {"pgdown pgdown pgup", 8}, {"pgup", 0},
		{"pgdown pgdown pgdown pgdown pgdown pgdown pgdown pgdown", 59},
		{"x", 0}, {"tab down down", 0}, {"tab shift+tab down", 1}, {"tab tab down", 1},
	} {
		if got := keys(t, Place{}, 60, strings.Fields(c.keys)...); got.Row != c.want {
			t.Errorf("%s chooses row %d, want %d", c.keys, got.Row, c.want)
		}
	}
	if got := keys(t, Place{}, 0, "down", "end", "pgup"); got.Row != 0 {
		t.Errorf("in an empty list row %d is chosen", got.Row)
	}
}

// Tab leads to the text, which the same keys scroll; the page says which lines are seen.
func TestScroll(t *testing.T) {
	for keysPressed, want := range map[string]string{"tab": "1 to 9 of 60", "tab down": "2 to 10 of 60",
		"tab end": "52 to 60 of 60", "tab end down up": "51 to 59 of 60", "tab pgdown": "10 to 18 of 60"} {
		p := keys(t, Place{}, 60, strings.Fields(keysPressed)...)
		drawn := theme.Draw(page(p, 60), 80, 24)
		frametest.Check(t, drawn, 80, 24)
		if !strings.Contains(drawn, want) || !strings.Contains(drawn, "> Text") {
			t.Errorf("%s does not show %s:\n%s", keysPressed, want, drawn)
		}
	}
}

func TestFilter(t *testing.T) {
	p := keys(t, Place{Row: 5}, 60, "/", "w", "E", "b", "x", "backspace")
	if p.Filter != "wEb" || !p.Typing || p.Row != 0 {
		t.Errorf("typed, it is %+v", p)
	}
	if !p.Takes("other", "lab/Web:1") || p.Takes("other") || !(Place{}).Takes() {
		t.Error("the filter takes the wrong texts")
	}
	if drawn := theme.Draw(page(p, 60), 80, 24); !strings.Contains(drawn, "List  /wEb_") {
		t.Errorf("the filter is not seen:\n%s", drawn)
	}
	p = keys(t, p, 60, "enter", "down")
	if p.Typing || p.Filter != "wEb" || p.Row != 1 {
		t.Errorf("after Enter it is %+v", p)
	}
	if p = keys(t, p, 60, "esc"); p != (Place{}) {
		t.Errorf("after Esc it is %+v", p)
	}
	if _, took := p.Key(press("esc"), page(p, 60), theme, 80, 24); took {
		t.Error("Esc does not leave the page")
	}
	long := keys(t, Place{}, 60, "/", strings.Repeat("x", 60), strings.Repeat("y", 60))
	if long.Filter != strings.Repeat("x", 60) {
		t.Errorf("the filter is %d bytes long", len(long.Filter))
	}
}

// The help tells of the page and its keys, scrolls where it is long, and ends with any other key.
func TestHelp(t *testing.T) {
	p := keys(t, Place{Row: 3}, 60, "?")
	for _, size := range [][2]int{{80, 24}, {40, 12}, {160, 50}} {
		drawn := theme.Draw(p.Help(page(p, 60), theme, size[0], size[1]), size[0], size[1])
		frametest.Check(t, drawn, size[0], size[1])
		if !p.Helping || !strings.Contains(drawn, "about it") {
			t.Errorf("the help is\n%s", drawn)
		}
	}
	if p = keys(t, p, 60, "down", "end"); !p.Helping {
		t.Error("a key that scrolls ended the help")
	}
	if p = keys(t, p, 60, "esc"); p != (Place{Row: 3}) {
		t.Errorf("after the help it is %+v", p)
	}
	typing := page(Place{}, 3)
	typing.Types = true
	if p, took := (Place{}).Key(press("?"), typing, theme, 80, 24); took || p.Helping {
		t.Error("on a page for text ? is not text")
	}
	if p, _ := (Place{}).Key(press("f1"), typing, theme, 80, 24); !p.Helping {
		t.Error("on a page for text F1 does not help")
	}
}

// FuzzPlace presses any keys on any page, in frames of any size.
func FuzzPlace(f *testing.F) {
	f.Add("/abc\x1b?", uint8(3), uint8(80), uint8(24))
	f.Add("\t\t?xx/", uint8(200), uint8(1), uint8(1))
	names := []string{"up", "down", "pgup", "pgdown", "home", "end", "tab", "shift+tab", "enter", "esc", "f1"}
	f.Fuzz(func(t *testing.T, typed string, n, columns, rows uint8) {
		p, w, h := Place{}, 1+int(columns), 1+int(rows)
		for i, r := range typed {
			k := press(string(r))
			if i%2 == 1 {
				k = press(names[int(r)%len(names)])
			}
			p, _ = p.Key(k, page(p, int(n)), theme, w, h)
			drawn := page(p, int(n))
			if p.Helping {
				drawn = p.Help(drawn, theme, w, h)
			}
			frametest.Check(t, theme.Draw(drawn, w, h), w, h)
			if p.Row < 0 || p.Row > max(0, int(n)-1) {
				t.Fatalf("row %d of %d is chosen", p.Row, n)
			}
		}
	})
}
