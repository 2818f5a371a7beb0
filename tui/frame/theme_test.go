package frame

import (
	"regexp"
	"strings"
	"testing"
)

func TestLookOf(t *testing.T) {
	for _, c := range []struct {
		term    string
		noColor bool
		want    Look
	}{
		{"linux", false, Look{Colors, true}}, {"linux", true, Look{Mono, true}},
		{"xterm-256color", false, Look{Colors, true}},
		{"", false, Look{Colors, true}}, {"vt100", false, Look{Mono, false}}, {"VT220-w", false, Look{Mono, false}},
		{"ansi", false, Look{Colors, false}}, {"ansi-m", false, Look{Mono, false}}, {"dumb", false, Look{}},
		{"xterm-mono", false, Look{Mono, true}}, {"\x1b[2J", false, Look{Colors, true}},
	} {
		if got := LookOf(c.term, c.noColor); got != c.want {
			t.Errorf("LookOf(%q, %v) = %+v, want %+v", c.term, c.noColor, got, c.want)
		}
	}
}

// Each look uses only what it may: no escape sequences, those for bold and reverse, or the colours 0 to 7, which the
// Linux console has with every font.
func TestInk(t *testing.T) {
	sequence := regexp.MustCompile(`\x1b\[([0-9;]*)m`)
	for ink, allowed := range map[Ink]string{Plain: `^$`, Mono: `^(0|1|7|1;7|7;1)?$`,
		Colors: `^(0|(1|3[0-7]|4[0-7]|;)*)?$`} {
		th := NewTheme(Look{Ink: ink})
		drawn := th.Draw(Page{Title: "t", Notice: "n", Keys: nil, Sections: []Section{{Title: "s",
			Lines: []string{th.Row(true, "x", 20), th.Good.Render("g"), th.Bar(50, 10)}}}}, 120, 40)
		for _, m := range sequence.FindAllStringSubmatch(drawn, -1) {
			if !regexp.MustCompile(allowed).MatchString(m[1]) || ink == Plain {
				t.Errorf("ink %d uses %q", ink, m[0])
			}
		}
		rest := sequence.ReplaceAllString(drawn, "")
		if strings.ContainsRune(rest, '\x1b') || strings.Contains(rest, "█") {
			t.Errorf("ink %d: %q", ink, rest)
		}
	}
}
