package accounts

// The numbers of files that belong to no one. Neither Debian (policy 9.2.2) nor systemd (UIDS-GIDS) gives one of them
// to a name or to a process.
const firstOrphan, lastOrphan = 65520, 65533

// orphans takes the carried files of services that the new system does not have from the names that got their numbers.
func (m *merge) orphans(k kind) {
	now := k.to.Numbers()
	for _, name := range names(k.old) {
		n := id(entry(k.old, name))
		_, moved := k.renumbered[n]
		if entry(k.to, name) != nil || moved || n <= 0 || n >= firstPerson || now[n] == "" || k.stays(n) {
			continue
		}
		free := k.orphan()
		if free < 0 {
			m.conflict("the new image gives the number %d of the %s %s to %s, and all numbers from %d to %d are taken",
				n, k.word, name, now[n], firstOrphan, lastOrphan)
			return
		}
		k.renumbered[n] = free
		m.left("the %s %s: the new image gives its number %d to %s; its carried files belong to the number %d, which "+
			"has no name, and those in /home and /persistent to %s", k.word, name, n, now[n], free, now[n])
	}
}

// stays reports whether a name has the number in both systems.
func (k kind) stays(n int) bool {
	for _, name := range names(k.old) {
		if now := entry(k.to, name); now != nil && id(entry(k.old, name)) == n && id(now) == n {
			return true
		}
	}
	return false
}

// orphan is a number that no name has in either system, -1 if there is none. Files of several services may share it.
func (k kind) orphan() int {
	taken, before := k.to.Numbers(), k.old.Numbers()
	for n := lastOrphan; n >= firstOrphan; n-- {
		if taken[n] == "" && before[n] == "" {
			return n
		}
	}
	return -1
}
