package stack

import (
	"fmt"
	"strings"

	"griddle/cloud/yamltree"
)

// Fault makes a fault of the value at a path, such as "users[1].keys[0]", for those who find what Parse cannot: its
// place is that of the value, or of what it is in. hint may be empty.
func (s *Stack) Fault(path, hint, format string, args ...any) yamltree.Fault {
	f := yamltree.Fault{Place: yamltree.Place{File: s.file, Line: 1, Column: 1}, Path: path,
		Text: fmt.Sprintf(format, args...), Hint: hint}
	for p := path; p != ""; p = p[:max(0, strings.LastIndexAny(p, ".["))] {
		if at, ok := s.places[p]; ok {
			f.Line, f.Column = at.Line, at.Column
			break
		}
	}
	return f
}

// FaultAt is Fault for what is at a position; its path is that of the shortest value that begins there.
func (s *Stack) FaultAt(at yamltree.Place, hint, format string, args ...any) yamltree.Fault {
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
