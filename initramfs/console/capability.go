package console

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Configured is what the kernel's command line says of the terminals on serial lines, which the machine cannot see:
// TERM=NAME is their kind, "" if it says nothing, and NO_COLOR=1 forbids colours on all consoles (https://no-
// color.org).
func Configured() (term string, noColor bool) {
	b, _ := os.ReadFile("/proc/cmdline")
	return configured(string(b))
}

func configured(line string) (term string, noColor bool) {
	for _, word := range strings.Fields(line) {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case name == "TERM" && isTerm(value):
			term = value
		case name == "NO_COLOR" && value != "":
			noColor = true
		}
	}
	return term, noColor
}

// isTerm reports whether s may be the name of a terminal, as terminfo(5) has them.
func isTerm(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+._"
	return s != "" && len(s) <= 32 && strings.Trim(s, allowed) == ""
}

// Virtual reports whether the terminal at path is the kernel's own (/dev/tty1), which has only digits after tty.
func Virtual(path string) bool {
	number, ok := strings.CutPrefix(path, "/dev/tty")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// The size of a terminal that says none, and the limits of what one may say.
const (
	Columns, Rows       = 80, 24
	leastSize, mostSize = 2, 500
)

// Size is the size of a terminal in cells.
func Size(f *os.File) (columns, rows int) {
	columns, rows = Columns, Rows
	control(f, func(fd int) {
		if s, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil && s.Col > 0 && s.Row > 0 {
			columns, rows = min(int(s.Col), mostSize), min(int(s.Row), mostSize)
		}
	})
	return columns, rows
}

// SetSize tells the kernel the size of a terminal on a serial line, for all programs that ask for it.
func SetSize(f *os.File, columns, rows int) {
	control(f, func(fd int) {
		_ = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(rows), Col: uint16(columns)})
	})
}

// Question asks a terminal what it is, with escape sequences that all since the VT100 know. It writes é in the first
// cell and asks where the cursor is: behind one cell with UTF-8, behind two without, since both bytes of é are a
// character in all the 8-bit codes. Then it asks for the last cell of the screen, wipes the first, and the cursor goes
// back to where it was.
const Question = "\x1b7\x1b[1;1H\u00e9\x1b[6n\x1b[999;999H\x1b[6n\x1b[1;1H  \x1b8"

// Answer is one part of what a terminal answers to Question.
type Answer struct {
	Columns, Rows int  // the size; zero in the part about UTF-8
	UTF8          bool // with a size of zero
}

// Answers takes the answers out of what a terminal sent (ECMA-48 section 8.3.14: CSI row ; column R), and leaves the
// keys.
func Answers(b []byte) (keys []byte, answers []Answer) {
	for {
		i := bytes.Index(b, []byte("\x1b["))
		if i < 0 {
			return append(keys, b...), answers
		}
		end := i + 2
		for end < len(b) && (b[end] >= '0' && b[end] <= '9' || b[end] == ';') {
			end++
		}
		keys = append(keys, b[:i]...)
		if end < len(b) && b[end] == 'R' {
			if a, ok := answer(string(b[i+2 : end])); ok {
				answers = append(answers, a)
			}
			end++
		} else {
			keys = append(keys, b[i:end]...)
		}
		b = b[end:]
	}
}

func answer(s string) (Answer, bool) {
	first, second, _ := strings.Cut(s, ";")
	row, err := strconv.ParseUint(first, 10, 16)
	column, err2 := strconv.ParseUint(second, 10, 16)
	switch {
	case err != nil || err2 != nil:
	case row == 1 && column >= 2 && column <= 3:
		return Answer{UTF8: column == 2}, true
	case row >= leastSize && column >= leastSize && row <= mostSize && column <= mostSize:
		return Answer{Columns: int(column), Rows: int(row)}, true
	}
	return Answer{}, false
}
