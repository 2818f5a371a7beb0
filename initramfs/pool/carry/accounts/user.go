package accounts

import (
	"path"
	"slices"

	"griddle/initramfs/passwd"
)

// The fields of passwd and shadow that are named here.
const (
	fieldHash                                  = 1
	fieldGID, fieldName, fieldHome, fieldShell = 3, 4, 5, 6
)

// user adds or changes a user that was added or changed on the machine.
func (m *merge) user(name string) {
	old, image, now := entry(m.old.Passwd, name), entry(m.image.Passwd, name), entry(m.to.Passwd, name)
	secret, given := entry(m.old.Shadow, name), entry(m.image.Shadow, name)
	switch {
	case now != nil:
		m.change(old, image, now)
		m.password(name, secret, given)
	case image == nil || !slices.Equal(old, image) || !slices.Equal(secret, given):
		m.add(old, secret)
	default:
		m.dropped(old)
	}
}

// add adds a user that the new system does not have, and its group if that is missing too.
func (m *merge) add(old, secret []string) {
	f := slices.Clone(old)
	f[2] = m.number(m.users(), old, nil)
	if gid, ok := passwd.Number(old[fieldGID]); ok {
		g := m.old.Group.Numbers()[gid]
		if g != "" && entry(m.to.Group, g) == nil {
			m.addGroup(entry(m.old.Group, g))
		}
	}
	f[fieldGID] = m.moved(old[fieldGID])
	f[fieldShell] = m.shell(old, "/bin/sh")
	m.to.Passwd.Set(f...)
	if secret != nil {
		m.to.Shadow.Set(secret...)
	}
	m.carried("the user %s (%s)", f[0], f[2])
}

// change changes a user that the new system has.
func (m *merge) change(old, image, now []string) {
	m.number(m.users(), old, now)
	mine := ours(old)
	f := slices.Clone(now)
	for _, i := range []int{fieldHash, fieldName, fieldHome} {
		f[i] = three(old, image, now, i, mine)
	}
	if changed(old, image, fieldGID, mine) {
		f[fieldGID] = m.moved(old[fieldGID])
	}
	if changed(old, image, fieldShell, mine) && old[fieldShell] != now[fieldShell] {
		f[fieldShell] = m.shell(old, now[fieldShell])
	}
	if !slices.Equal(f, now) {
		m.to.Passwd.Set(f...)
		m.carried("the entry of the user %s", f[0])
	}
}

// ours reports whether an account is of root or of a person: theirs are the machine's, where the image does not say
// what was changed.
func ours(f []string) bool { return person(id(f)) || id(f) == 0 }

// password is the entry of a user in shadow: the hash, and when it has to be changed.
func (m *merge) password(name string, old, image []string) {
	now := entry(m.to.Shadow, name)
	if old == nil {
		return
	}
	if now == nil {
		m.to.Shadow.Set(old...) // an entry of some fields alone would have no password, which lets everyone in
		return
	}
	f := slices.Clone(now)
	for i := range f {
		f[i] = three(old, image, now, i, ours(entry(m.old.Passwd, name)))
	}
	if !slices.Equal(f, now) {
		m.to.Shadow.Set(f...)
	}
	if f[fieldHash] != now[fieldHash] {
		m.carried("the password of %s", name)
	}
}

// shell is the shell of a user of the machine, or another one if the new system does not have it.
func (m *merge) shell(old []string, other string) string {
	shell := old[fieldShell]
	if shell == "" || m.hasShell(shell) || slices.Contains([]string{"nologin", "false"}, path.Base(shell)) {
		return shell
	}
	m.left("the shell %s of the user %s: the new image does not have it, and the user gets %s", shell, old[0], other)
	return other
}

// dropped says whose files those of a user have become that the new image no longer has.
func (m *merge) dropped(old []string) {
	if holder := m.to.Passwd.Numbers()[id(old)]; person(id(old)) && holder != "" {
		m.left("the user %s: the new image has %s with the number %s in its place, to whom its files now belong",
			old[0], holder, old[2])
	}
}
