package job

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a program line.
const (
	MaxWords     = 64
	MaxLine      = 4096 // bytes of all words
	RunLimit     = time.Minute
	RunLimitMost = time.Hour
	MaxOutput    = 16 << 10 // bytes of the output that a machine keeps: the last ones
)

// CheckLine says what is wrong with a program line and the seconds that it may take, 0 for RunLimit.
func CheckLine(argv []string, seconds int) error {
	bytes := 0
	for _, a := range argv {
		bytes += len(a)
		if strings.ContainsRune(a, 0) || !utf8.ValidString(a) {
			return fmt.Errorf("the word %q of the program line has bytes that no program can get", Printable(a))
		}
	}
	switch {
	case len(argv) == 0 || argv[0] == "":
		return fmt.Errorf("the order names no program")
	case len(argv) > MaxWords || bytes > MaxLine:
		return fmt.Errorf("the program line has %d words and %d bytes, and the limits are %d and %d: put it into a "+
			"file on the machine", len(argv), bytes, MaxWords, MaxLine)
	case seconds < 0 || seconds > int(RunLimitMost/time.Second):
		return fmt.Errorf("a program runs for 1 to %d seconds", int(RunLimitMost/time.Second))
	}
	return nil
}

// RunLimit is how long the program line of the job may take.
func (s Spec) RunLimit() time.Duration {
	d := time.Duration(s.Limit) * time.Second
	if d <= 0 || d > RunLimitMost {
		return RunLimit
	}
	return d
}

// Words is a program line for people, each word in quotation marks that needs them.
func Words(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = a
		if a == "" || strings.ContainsFunc(a, needsQuotes) {
			out[i] = strconv.QuoteToGraphic(a)
		}
	}
	return Sentence(strings.Join(out, " "))
}

// needsQuotes says whether a shell could take a character for something else.
func needsQuotes(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("%+,-./:=@_", r)
}

// Ran is what came of a program line.
type Ran struct {
	Exit   int    `json:"exit"`             // its exit code
	Output []byte `json:"output,omitempty"` // the last MaxOutput bytes that it said; show them by Readable
	Cut    int64  `json:"cut,omitempty"`    // bytes before these
}

// String is one line for people.
func (r Ran) String() string {
	if r.Exit == 0 {
		return "the program is done"
	}
	return fmt.Sprintf("the program failed with the exit code %d", r.Exit)
}

func (r *Ran) bounded() *Ran {
	if r == nil {
		return nil
	}
	out := *r
	if n := len(out.Output) - MaxOutput; n > 0 {
		out.Output, out.Cut = out.Output[n:], out.Cut+int64(n)
	}
	out.Cut = max(out.Cut, 0)
	return &out
}

// Readable is what a program said, safe for a screen: tabs and ends of lines stay, and what else controls a terminal,
// is invisible or is not UTF-8 becomes the replacement character.
func Readable(b []byte) string {
	s := strings.ReplaceAll(strings.ToValidUTF8(string(b), "\ufffd"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == ' ' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
