package frame

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"griddle/appliance/job"
)

// CutMiddle shortens a text that is too long in its middle: names differ at their ends, by a version or a number.
func CutMiddle(s string, width int) string {
	if ansi.StringWidth(s) <= width {
		return s
	}
	const dots = ".."
	room := width - len(dots)
	if room < 2 {
		return Cut(s, width)
	}
	tail, runes := 0, []rune(s)
	at := len(runes)
	for at > 0 {
		w := ansi.StringWidth(string(runes[at-1]))
		if tail+w > room/2 {
			break
		}
		tail += w
		at--
	}
	return ansi.Truncate(s, room-tail, "") + dots + string(runes[at:])
}

// Distinct shortens names to width cells so that no two that differ look the same: a name is cut in its middle, where
// that is not enough the place where it differs from the others is shown, and where nothing that can be shown differs
// it gets a number. Names are hostile, and at least 10 cells are needed.
func Distinct(names []string, width int) []string {
	alike := map[string][]string{} // by what is shown of them, the names that differ, in their order
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			s := CutMiddle(Visible(n), width)
			alike[s] = append(alike[s], n)
		}
	}
	shown, used := map[string]string{}, map[string]bool{}
	for s, group := range alike {
		used[s] = true
		if len(group) == 1 {
			shown[group[0]] = s
		}
	}
	for _, n := range names {
		group := alike[CutMiddle(Visible(n), width)]
		if shown[n] != "" || len(group) < 2 {
			continue
		}
		s := showDifference(Visible(n), group, width)
		for i := 1; used[s]; i++ {
			number := fmt.Sprintf(" #%d", i)
			s = CutMiddle(Visible(n), width-len(number)) + number
		}
		shown[n], used[s] = s, true
	}
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = shown[n]
	}
	return out
}

// Visible is all of a name that can be drawn, "-" for nothing. Marks that change the character before them are left
// out: a console may not draw them.
func Visible(s string) string {
	s = strings.Map(func(r rune) rune {
		if ansi.StringWidth(string(r)) == 0 {
			return -1
		}
		return r
	}, job.Sentence(s))
	if s = strings.TrimSpace(s); s == "" {
		return "-"
	}
	return s
}

// showDifference shows the beginning of a name and, after two dots, the part from the first place on where the names of
// the group differ.
func showDifference(s string, group []string, width int) string {
	common := []rune(s)
	for _, g := range group {
		other := []rune(Visible(g))
		n := 0
		for n < len(common) && n < len(other) && common[n] == other[n] {
			n++
		}
		common = common[:n]
	}
	runes := []rune(s)
	const head = 3
	if len(common) <= head+2 {
		return Cut(s, width)
	}
	return Cut(string(runes[:head])+".."+string(runes[len(common)-1:]), width)
}

// Names is what Distinct makes of one property of each row.
func Names[T any](rows []T, name func(T) string, width int) []string {
	all := make([]string, len(rows))
	for i, r := range rows {
		all[i] = name(r)
	}
	return Distinct(all, width)
}
