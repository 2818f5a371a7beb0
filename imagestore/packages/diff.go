package packages

import (
	"fmt"
	"slices"
	"strings"
)

// Change is a package that both trees have in different versions or architectures.
type Change struct {
	Name    string `json:"name"`
	Arch    string `json:"arch"`
	Old     string `json:"old"` // version
	New     string `json:"new"`
	OldArch string `json:"oldArch,omitempty"` // if it is another one
}

// Difference is the difference between two lists, each part ordered by name.
type Difference struct {
	Added      []Package `json:"added"`
	Removed    []Package `json:"removed"`
	Upgraded   []Change  `json:"upgraded"`
	Downgraded []Change  `json:"downgraded"`
	// neither version is newer: it is written differently, or only the architecture differs
	Changed []Change `json:"changed"`
}

// Empty says whether the two lists are equal.
func (d Difference) Empty() bool {
	return len(d.Added)+len(d.Removed)+len(d.Upgraded)+len(d.Downgraded)+len(d.Changed) == 0
}

// Diff compares two lists that are in order. Packages match if name and architecture are equal, or if the name is
// equal and only one of that name is left on each side. Of several versions side by side, the newest are compared
// first. If the managers differ, everything is removed and everything is added.
func Diff(a, b List) (Difference, error) {
	d := Difference{Added: []Package{}, Removed: []Package{}, Upgraded: []Change{}, Downgraded: []Change{},
		Changed: []Change{}}
	for _, m := range []string{a.Manager, b.Manager} {
		if err := known(m); err != nil {
			return d, fmt.Errorf("comparing package lists: %w", err)
		}
	}
	if a.Manager != b.Manager {
		d.Removed, d.Added = slices.Concat(d.Removed, a.Packages), slices.Concat(d.Added, b.Packages)
		return d, nil
	}
	m := matching{manager: a.Manager, diff: &d}
	gone, come := without(a.Packages, b.Packages), without(b.Packages, a.Packages)
	gone, come = m.pair(gone, come, func(p Package) string { return p.Name + "\x00" + p.Arch }, false)
	d.Removed, d.Added = m.pair(gone, come, func(p Package) string { return p.Name }, true)
	for _, changes := range [][]Change{d.Upgraded, d.Downgraded, d.Changed} {
		slices.SortFunc(changes, func(x, y Change) int {
			return strings.Compare(x.Name+"\x00"+x.Arch, y.Name+"\x00"+y.Arch)
		})
	}
	slices.SortFunc(d.Removed, compare)
	slices.SortFunc(d.Added, compare)
	return d, nil
}

// without is what of a is not in b.
func without(a, b []Package) []Package {
	have := make(map[Package]bool, len(b))
	for _, p := range b {
		have[p] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(p Package) bool { return have[p] })
}

type matching struct {
	manager string
	diff    *Difference
}

// pair finds changes among what has the same key, and gives the rest. With single, only where each side has one.
func (m matching) pair(gone, come []Package, key func(Package) string, single bool) (restGone, restCome []Package) {
	restGone, restCome = []Package{}, []Package{}
	byKey := map[string][2][]Package{}
	for side, list := range [][]Package{gone, come} {
		for _, p := range list {
			k := byKey[key(p)]
			k[side] = append(k[side], p)
			byKey[key(p)] = k
		}
	}
	for _, k := range byKey {
		n := min(len(k[0]), len(k[1]))
		if single && (len(k[0]) != 1 || len(k[1]) != 1) {
			n = 0
		}
		for _, side := range k {
			slices.SortStableFunc(side, func(x, y Package) int { return order(m.manager, y.Version, x.Version) })
		}
		for i := range n {
			m.change(k[0][i], k[1][i])
		}
		restGone, restCome = append(restGone, k[0][n:]...), append(restCome, k[1][n:]...)
	}
	return restGone, restCome
}

func (m matching) change(from, to Package) {
	c := Change{Name: to.Name, Arch: to.Arch, Old: from.Version, New: to.Version}
	if from.Arch != to.Arch {
		c.OldArch = from.Arch
	}
	list := &m.diff.Changed
	switch cmp := order(m.manager, from.Version, to.Version); {
	case cmp < 0:
		list = &m.diff.Upgraded
	case cmp > 0:
		list = &m.diff.Downgraded
	}
	*list = append(*list, c)
}
