package accounts

import (
	"slices"
	"strings"

	"griddle/initramfs/passwd"
)

// ranges carries subordinate numbers (subuid(5)): files in /home belong to them too. A user of the new system alone has
// no files yet, and gets another range where its own is taken.
func (m *merge) ranges(old, image, to *passwd.Table) {
	if old == nil || to == nil {
		return
	}
	for _, name := range names(old) {
		lines := of(old, name)
		if image != nil && slices.Equal(lines, of(image, name)) || slices.Equal(lines, of(to, name)) {
			continue
		}
		if entry(m.old.Passwd, name) != nil && entry(m.to.Passwd, name) == nil {
			continue
		}
		remove(to, name)
		to.Lines = append(to.Lines, lines...)
		for _, other := range names(to) {
			if other == name || entry(m.old.Passwd, other) != nil || !overlap(lines, of(to, other)) {
				continue
			}
			remove(to, other)
			to.Reserve(other)
			m.left("the subordinate numbers of %s in the new image: they are those of %s on this machine", other, name)
		}
	}
}

// of are the lines of a name; a user may have several.
func of(t *passwd.Table, name string) []string {
	if t == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.Lines), func(line string) bool {
		return !strings.HasPrefix(line, name+":") || t.Split(line) == nil
	})
}

func remove(t *passwd.Table, name string) {
	t.Lines = slices.DeleteFunc(t.Lines, func(line string) bool { return strings.HasPrefix(line, name+":") })
}

// overlap reports whether a number is in a range of both.
func overlap(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			from, n, ok := bounds(x)
			other, k, too := bounds(y)
			if ok && too && from < other+k && other < from+n {
				return true
			}
		}
	}
	return false
}

func bounds(line string) (first, count int, ok bool) {
	f := strings.Split(line, ":")
	first, ok = passwd.Number(f[1])
	count, too := passwd.Number(f[2])
	return first, count, ok && too
}
