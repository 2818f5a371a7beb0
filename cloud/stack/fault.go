package stack

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong in a stack file.
type Fault struct {
	File         string // as Parse was told
	Line, Column int    // both start at 1; 0 where the file as a whole is meant
	Path         string // such as roles.worker.ports[1]; empty for the whole file
	Text         string // what is wrong
	Hint         string // what to do, where that is known
}

// String gives FILE:LINE:COLUMN: PATH: TEXT (HINT).
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Path != "" {
		b.WriteString(": " + f.Path)
	}
	b.WriteString(": " + f.Text)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// Faults is every fault of a file, in the order of the file. It is the error of Parse.
type Faults []Fault

// Error gives one line for each.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// sorted brings faults into the order of the file, and leaves out what is there twice.
func sorted(f Faults) Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return slices.CompactFunc(f, func(a, b Fault) bool { return a == b })
}

// nearest is the known word that is at most two letters away from word, or nothing.
func nearest(word string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := distance(word, k, at); d < at {
			best, at = k, d
		}
	}
	return best
}

// distance is Levenshtein's, of words that are not longer than a key is.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(b)-len(a) >= limit || len(a)-len(b) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
