package yamltree

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxFaults bounds how many faults are listed; more than these say nothing new.
const maxFaults = 500

// Place is where something is in a file.
type Place struct {
	File         string // as given to NewReader
	Line, Column int    // from 1, columns in characters; Line 0 is the file as a whole
}

// String is FILE:LINE:COLUMN, without what is not known.
func (p Place) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.File == "":
		return fmt.Sprintf("%d:%d", p.Line, p.Column)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Compare orders places by file, line and column.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Fault is one thing that is wrong in a file.
type Fault struct {
	Place
	Path string // of the value: servers.head.volumes[0].size; empty for the file as a whole
	Text string // what is wrong
	Hint string // what to do about it, where that is known
}

// Error is "FILE:LINE:COLUMN: PATH: TEXT; HINT", without what is empty.
func (f Fault) Error() string {
	var b strings.Builder
	for _, s := range []string{f.Place.String(), f.Path} {
		if s != "" {
			b.WriteString(s + ": ")
		}
	}
	b.WriteString(f.Text)
	if f.Hint != "" {
		b.WriteString("; " + f.Hint)
	}
	return b.String()
}

// Faults are all faults of a file.
type Faults []Fault

// Error has a line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Sorted orders faults by their place, and leaves one of those that are the same. After 500 a last one counts the rest.
func (f Faults) Sorted() Faults {
	f = slices.Clone(f)
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(a.Compare(b.Place), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text))
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

// Err is f as an error; nil without faults.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Short makes text from a file fit for one line of an error: in quotes, at most 60 characters.
func Short(s string) string {
	const most = 60
	if r := []rune(s[:min(len(s), 8*most)]); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
