package plan

import "griddle/appliance/layout"

// shared notes where the data of people is, if the systems are in partitions of their own.
func (t *target) shared() {
	var roots []int
	shared, home := 0, false
	for _, p := range t.parts {
		if p.entry == nil {
			continue
		}
		switch p.entry.Use {
		case layout.Root:
			roots = append(roots, p.Number)
		case layout.Persistent:
			shared = p.Number
		}
	}
	for _, e := range t.want.Partitions {
		home = home || e.Made().Mount == "/home"
	}
	if len(roots) != 2 {
		return
	}
	what := "/home and /persistent are"
	if home {
		what = "/persistent is"
	}
	t.note("the systems are in partitions %d and %d, the first one in partition %d, and %s in partition %d",
		roots[0], roots[1], roots[0], what, shared)
}
