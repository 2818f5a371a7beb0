package main

import (
	"bytes"
	"strings"
)

// A failed command's output is long, and who reads its end only should still learn which test failed: so many lines
// are said again.
const maxFailures = 14

// failures keeps what `go test` says of tests that fail: each "--- FAIL" line, "FAIL" line with a package and "panic:"
// line, and up to five indented lines after it.
type failures struct {
	lines []string
	more  int // lines that still belong to the last one
	rest  []byte
}

// Write never fails.
func (f *failures) Write(b []byte) (int, error) {
	f.rest = append(f.rest, b...)
	for {
		line, rest, whole := bytes.Cut(f.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		f.take(string(line))
		f.rest = append(f.rest[:0], rest...)
	}
}

func (f *failures) take(line string) {
	text := strings.TrimLeft(line, " ")
	switch {
	case strings.HasPrefix(text, "--- FAIL"), strings.HasPrefix(line, "FAIL\t"), strings.HasPrefix(line, "panic:"):
		f.more = 5
	case strings.HasPrefix(text, "---") || f.more == 0 || !strings.HasPrefix(line, "    "):
		f.more = 0
		return
	default:
		f.more--
	}
	if len(f.lines) < maxFailures {
		f.lines = append(f.lines, line)
	}
}
