package accounts

import (
	"strconv"

	"griddle/initramfs/passwd"
)

// The numbers of services, and the first one of people (login.defs(5)). Below them are those that a distribution gives
// to names for ever.
const firstService, firstPerson = 100, 1000

// none is nobody and nogroup, to which no file should belong.
const none = 65534

// person reports whether files in /home may belong to a number.
func person(n int) bool { return n >= firstPerson && n != none }

// kind is what has numbers: users or groups.
type kind struct {
	word       string // for people
	old, to    *passwd.Table
	renumbered map[int]int
}

func (m *merge) users() kind  { return kind{"user", m.old.Passwd, m.to.Passwd, m.UID} }
func (m *merge) groups() kind { return kind{"group", m.old.Group, m.to.Group, m.GID} }

// number is the number that an entry of the old system gets in the new one, where its name has the entry now, or nil.
func (m *merge) number(k kind, old, now []string) string {
	n, ok := passwd.Number(old[2])
	if !ok {
		return old[2]
	}
	if now != nil {
		return m.sameName(k, n, old, now)
	}
	holder := k.to.Numbers()[n]
	shared := entry(k.old, holder)
	switch {
	case holder == "" || holder == old[0]:
		return old[2]
	case shared != nil && shared[2] == old[2]: // two names for one number, as the machine has it already
		return old[2]
	case person(n):
		m.conflict("the %s %s of this machine has the number %d, which the new image gives to %s: "+
			"publish an image with another number for %s", k.word, old[0], n, holder, holder)
		return old[2]
	}
	free := k.free()
	if free < 0 {
		m.conflict("the %s %s of this machine has the number %d, which the new image gives to %s, and all numbers "+
			"from %d to %d are taken", k.word, old[0], n, holder, firstService, firstPerson-1)
		return old[2]
	}
	m.renumber(k, old[0], n, free)
	return strconv.Itoa(free)
}

// sameName is number for a name that the new system has too.
func (m *merge) sameName(k kind, n int, old, now []string) string {
	if old[2] == now[2] {
		return now[2]
	}
	other, ok := passwd.Number(now[2])
	if !ok || person(n) || person(other) {
		m.conflict("the %s %s has the number %s on this machine and %s in the new image: publish an image with the "+
			"number %s", k.word, old[0], old[2], now[2], old[2])
		return now[2]
	}
	m.renumber(k, old[0], n, other)
	return now[2]
}

// renumber gives the files of a service another number.
func (m *merge) renumber(k kind, name string, n, other int) {
	k.renumbered[n] = other
	m.left("the number %d of the %s %s, which is %d in the new system: its files in /home and /persistent keep %d",
		n, k.word, name, other, n)
}

// free is a number for a service that neither system uses, -1 if there is none.
func (k kind) free() int {
	taken, before := k.to.Numbers(), k.old.Numbers()
	for n := firstPerson - 1; n >= firstService; n-- {
		if taken[n] == "" && before[n] == "" {
			return n
		}
	}
	return -1
}

// moved is the number of a group of the old system in the new one.
func (m *merge) moved(gid string) string {
	n, ok := passwd.Number(gid)
	if to, has := m.GID[n]; ok && has {
		return strconv.Itoa(to)
	}
	return gid
}
