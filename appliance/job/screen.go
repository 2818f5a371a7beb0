package job

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// FeatureScreen means that an agent shows its screen to operators, when a Welcome or an Acknowledged asks for that, and
// takes their keys.
const FeatureScreen = "screen"

// Paths of the screen of a machine. Both need the bearer token of the Welcome. ScreenKeysPath waits up to ScreenWait
// for a key.
const (
	ScreenPath     = "/v1/agent/screen"      // POST ScreenFrame -> ScreenWatch
	ScreenKeysPath = "/v1/agent/screen/keys" // GET ?after=N -> ScreenKeys, those after the one with the number N
)

// Limits of the screen of a machine.
const (
	ScreenColumns, ScreenRows            = 80, 24 // cells, if no one asks for others
	LeastScreenColumns, MaxScreenColumns = 40, 200
	LeastScreenRows, MaxScreenRows       = 12, 80
	ScreenWait                           = 15 // seconds

	MaxScreenKeys = 64 // keys in one request
	maxScreenText = 64 // runes of one ScreenKey
)

// ScreenLook is how a piece of text looks: a closed set. Of its bits 4 to 7 and 8 to 11 the value is one more than one
// of the eight colours, for the text and for what is behind it; zero is that of the terminal.
type ScreenLook uint16

// The bits of a ScreenLook.
const (
	ScreenBold    ScreenLook = 1
	ScreenReverse ScreenLook = 2
	screenFore               = 4
	screenBack               = 8
)

// ScreenColors is the ScreenLook with these colours, 0 to 7; others mean that of the terminal.
func ScreenColors(fore, back int) (l ScreenLook) {
	if fore >= 0 && fore < 8 {
		l |= ScreenLook(fore+1) << screenFore
	}
	if back >= 0 && back < 8 {
		l |= ScreenLook(back+1) << screenBack
	}
	return l
}

// Colors are the colours of l, 0 to 7, or -1 for those of the terminal.
func (l ScreenLook) Colors() (fore, back int) {
	color := func(at int) int {
		if c := int(l>>at&0xf) - 1; c < 8 {
			return c
		}
		return -1
	}
	return color(screenFore), color(screenBack)
}

// ScreenRun is a piece of a line.
type ScreenRun struct {
	Text string     `json:"text"`
	Look ScreenLook `json:"look,omitempty"`
}

// ScreenLine is one line, from 0 on at the top.
type ScreenLine struct {
	Row  int         `json:"row"`
	Runs []ScreenRun `json:"runs"`
}

// ScreenFrame is what a screen shows: all of it, or the lines that changed since the frame with the number before.
type ScreenFrame struct {
	Number  uint64       `json:"number"` // from 1 on in a boot; the same number again says that nothing changed
	Columns int          `json:"columns"`
	Rows    int          `json:"rows"`
	Whole   bool         `json:"whole,omitempty"`
	Lines   []ScreenLine `json:"lines,omitempty"`
}

// ScreenWatch answers a frame. If no one watches any more, the agent sends no others.
type ScreenWatch struct {
	Watched bool `json:"watched"`
	Whole   bool `json:"whole,omitempty"` // the next frame has to be whole
	Columns int  `json:"columns,omitempty"`
	Rows    int  `json:"rows,omitempty"`
}

// ScreenKeys are keys for a machine, in their order. Last is the number of the last one.
type ScreenKeys struct {
	Watched bool        `json:"watched"`
	Last    uint64      `json:"last"`
	Keys    []ScreenKey `json:"keys,omitempty"`
}

// ScreenKey is a key that has a name, or text. Seen is the number of the frame that the operator saw: a machine drops
// keys that were typed before its page changed by itself.
type ScreenKey struct {
	Name string `json:"name,omitempty"` // "enter", "up", …
	Text string `json:"text,omitempty"` // printable, at most 64 runes
	Seen uint64 `json:"seen,omitempty"`
}

// screenKeys are the names of keys.
var screenKeys = map[string]bool{"enter": true, "esc": true, "up": true, "down": true, "left": true, "right": true,
	"tab": true, "shift+tab": true, "backspace": true, "delete": true, "home": true, "end": true, "pgup": true,
	"pgdown": true, "ctrl+u": true}

// Kind is what kind of key k is, without what was typed.
func (k ScreenKey) Kind() string {
	if k.Name != "" {
		return k.Name
	}
	return "text"
}

// Check says what is wrong with k.
func (k ScreenKey) Check() error {
	switch {
	case (k.Name == "") == (k.Text == ""):
		return fmt.Errorf("a key has either a name or text")
	case k.Name != "" && !screenKeys[k.Name]:
		return fmt.Errorf("there is no key %q", Printable(k.Name))
	case utf8.RuneCountInString(k.Text) > maxScreenText:
		return fmt.Errorf("the text of a key has more than %d characters", maxScreenText)
	case visible(k.Text) != k.Text:
		return fmt.Errorf("the text of a key has characters that no one can type")
	}
	return nil
}

// Bounded returns f with what the server keeps of it: lines of its size, each once, with printable text. It returns an
// error if its size is not that of a screen.
func (f ScreenFrame) Bounded() (ScreenFrame, error) {
	if f.Columns < LeastScreenColumns || f.Columns > MaxScreenColumns || f.Rows < LeastScreenRows ||
		f.Rows > MaxScreenRows {
		return ScreenFrame{}, fmt.Errorf("a screen has %d to %d columns and %d to %d rows, and this one %d and %d",
			LeastScreenColumns, MaxScreenColumns, LeastScreenRows, MaxScreenRows, f.Columns, f.Rows)
	}
	var lines []ScreenLine
	seen := make([]bool, f.Rows)
	for _, l := range f.Lines {
		if l.Row < 0 || l.Row >= f.Rows || seen[l.Row] {
			continue
		}
		seen[l.Row] = true
		lines = append(lines, l.bounded(f.Columns))
	}
	f.Lines = lines
	return f, nil
}

// bounded is l with at most so many characters, all printable.
func (l ScreenLine) bounded(columns int) ScreenLine {
	runs := []ScreenRun{}
	left := columns
	for _, r := range l.Runs {
		text := []rune(visible(r.Text))
		text = text[:min(len(text), left)]
		if left -= len(text); len(text) > 0 {
			fore, back := r.Look.Colors()
			runs = append(runs, ScreenRun{string(text), r.Look&(ScreenBold|ScreenReverse) | ScreenColors(fore, back)})
		}
	}
	l.Runs = runs
	return l
}

// visible is s with a question mark for each character that is not printable, or that changes what is around it.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) ||
			!unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Screen sends a frame.
func (c *Client) Screen(ctx context.Context, f ScreenFrame) (w ScreenWatch, err error) {
	if err := c.post(ctx, c.base+ScreenPath, c.token, f, &w); err != nil {
		return w, fmt.Errorf("sending the screen: %w", err)
	}
	return w, nil
}

// ScreenKeys asks for the keys of operators after the one with a number, and waits for one.
func (c *Client) ScreenKeys(ctx context.Context, after uint64) (k ScreenKeys, err error) {
	url := fmt.Sprintf("%s%s?after=%d", c.base, ScreenKeysPath, after)
	if err := c.do(ctx, http.MethodGet, url, c.token, nil, &k); err != nil {
		return k, fmt.Errorf("asking for keys: %w", err)
	}
	return k, nil
}
