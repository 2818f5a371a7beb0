package stack

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxFaults bounds how many faults are listed; more than these say nothing new.
const maxFaults = 500

// Fault is one thing that is wrong in a stack file.
type Fault struct {
	File         string // as given to Parse
	Line, Column int    // from 1, columns in characters
	Path         string // of the value: servers.head.volumes[0].size; empty for the file as a whole
	Text         string // what is wrong
	Hint         string // what to do about it, where that is known
}

// Error is "FILE:LINE:COLUMN: PATH: TEXT; HINT", without a place where there is no file.
func (f Fault) Error() string {
	var b strings.Builder
	if f.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", f.File, f.Line, f.Column)
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Text)
	if f.Hint != "" {
		b.WriteString("; " + f.Hint)
	}
	return b.String()
}

// Faults is every fault of a file, by line and column. It is the error of Parse.
type Faults []Fault

// Error has a line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted orders faults by their place, and leaves one of those that are the same.
func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text))
	})
	f = slices.Compact(f)
	if len(f) > maxFaults {
		last := f[maxFaults]
		last.Path, last.Hint = "", ""
		last.Text = fmt.Sprintf("there are %d more faults from here on", len(f)-maxFaults)
		f = append(f[:maxFaults:maxFaults], last)
	}
	return f
}

// Fault makes a fault of the value at a path, such as "users[1].keys[0]", for those who find what Parse cannot: its place is that of the
// value, or of what it is in. hint may be empty.
func (s *Stack) Fault(path, hint, format string, args ...any) Fault {
	f := Fault{File: s.file, Line: 1, Column: 1, Path: path, Text: fmt.Sprintf(format, args...), Hint: hint}
	for p := path; p != ""; p = p[:max(0, strings.LastIndexAny(p, ".["))] {
		if at, ok := s.places[p]; ok {
			f.Line, f.Column = at.Line, at.Column
			break
		}
	}
	return f
}

// FaultAt is Fault for what is at a position; its path is that of the shortest value that begins there.
func (s *Stack) FaultAt(at Position, hint, format string, args ...any) Fault {
	path := ""
	for p, where := range s.places {
		if where == at && (path == "" || len(p) < len(path) || len(p) == len(path) && p < path) {
			path = p
		}
	}
	f := s.Fault(path, hint, format, args...)
	f.Line, f.Column = max(at.Line, 1), max(at.Column, 1)
	return f
}

// Has says whether the file says something at a path.
func (s *Stack) Has(path string) bool {
	_, ok := s.places[path]
	return ok
}

// Sorted orders faults by their place, and leaves one of those that are the same.
func (f Faults) Sorted() Faults { return f.sorted() }

// short makes text from the file fit for one line of an error.
func short(s string) string {
	const most = 60
	if r := []rune(s[:min(len(s), 8*most)]); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// nearest is "did you mean KNOWN?" where one of known is near enough to name to be meant, else empty.
func nearest(name string, known []string) string {
	if len(name) > 64 {
		return ""
	}
	best, least := "", len(name)/3+2
	for _, k := range known {
		if d := typos(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// typos counts the letters that are missing, too many, wrong or exchanged with their neighbour between a and b (optimal
// string alignment; Damerau 1964).
func typos(a, b string) int {
	grid := make([][]int, len(a)+1)
	for i := range grid {
		grid[i] = make([]int, len(b)+1)
		grid[i][0] = i
	}
	for j := range grid[0] {
		grid[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := grid[i-1][j-1]
			if a[i-1] != b[j-1] {
				same++
			}
			grid[i][j] = min(same, grid[i-1][j]+1, grid[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				grid[i][j] = min(grid[i][j], grid[i-2][j-2]+1)
			}
		}
	}
	return grid[len(a)][len(b)]
}
