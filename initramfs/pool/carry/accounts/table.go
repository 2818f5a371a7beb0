package accounts

import (
	"slices"
	"strings"

	"griddle/initramfs/passwd"
)

// names are the names of the well-formed entries of a file, each once. Lines for NIS are not among them.
func names(t *passwd.Table) []string {
	if t == nil {
		return nil
	}
	var out []string
	seen := map[string]bool{"": true}
	for _, line := range t.Lines {
		f := t.Split(line)
		if f == nil || compat(line) || seen[f[0]] {
			continue
		}
		seen[f[0]] = true
		out = append(out, f[0])
	}
	return out
}

// compat reports whether a line is for NIS (nsswitch.conf(5), compat).
func compat(line string) bool { return strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") }

// entry is the entry of a name, nil where there is none.
func entry(t *passwd.Table, name string) []string {
	if t == nil {
		return nil
	}
	_, f := t.Find(name)
	return f
}

// changed reports whether a field of an entry was changed on the machine. image is nil where the image does not have
// the entry; then the field counts as changed if mine is set.
func changed(old, image []string, i int, mine bool) bool {
	return image == nil && mine || image != nil && old[i] != image[i]
}

// three is a field of an entry: the one of the old system if it was changed there.
func three(old, image, now []string, i int, mine bool) string {
	if changed(old, image, i, mine) {
		return old[i]
	}
	return now[i]
}

// list reads the names in a field.
func list(field string) []string {
	return slices.DeleteFunc(strings.Split(field, ","), func(s string) bool { return s == "" })
}

// compat carries the lines for NIS that were added.
func (m *merge) compat() {
	for _, t := range [][3]*passwd.Table{{m.old.Passwd, m.image.Passwd, m.to.Passwd},
		{m.old.Shadow, m.image.Shadow, m.to.Shadow}, {m.old.Group, m.image.Group, m.to.Group}} {
		for _, line := range t[0].Lines {
			if compat(line) && !slices.Contains(t[1].Lines, line) && !slices.Contains(t[2].Lines, line) {
				t[2].Lines = append(t[2].Lines, line)
			}
		}
	}
}
