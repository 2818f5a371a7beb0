package stack

import (
	"strings"

	"griddle/cloud/yamltree"
)

// label says whether s is a DNS label in lower case (RFC 1123 section 2.1).
func label(s string) bool {
	for i, c := range []byte(s) {
		edge := i == 0 || i == len(s)-1
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && !edge) {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// label checks the name of an entry that becomes a host name, or part of one.
func (p *parsing) label(e yamltree.Entry, path, what string, most int) {
	switch {
	case !label(e.Name):
		hint := ""
		if lower := strings.ReplaceAll(strings.ToLower(e.Name), "_", "-"); label(lower) {
			hint = "such as " + lower
		}
		p.Wrong(e.At, path, hint,
			"the name of a %s must be a DNS label: lower-case letters, digits and inner hyphens", what)
	case len(e.Name) > most:
		p.Wrong(e.At, path, "", "the name of a %s has %d characters, %d are allowed", what, len(e.Name), most)
	}
}
