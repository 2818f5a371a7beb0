package accounts

import (
	"slices"
	"strings"

	"griddle/initramfs/passwd"
)

// group adds a group that was added or changed on the machine. Its members come later, with the users.
func (m *merge) group(name string) {
	old, image, now := entry(m.old.Group, name), entry(m.image.Group, name), entry(m.to.Group, name)
	if now != nil {
		m.number(m.groups(), old, now)
		now[1] = three(old, image, now, 1, ours(old))
		m.to.Group.Set(now...)
		m.groupPassword(name)
		return
	}
	if image == nil || !slices.Equal(old, image) {
		m.addGroup(old)
	}
}

// addGroup adds a group that the new system does not have.
func (m *merge) addGroup(old []string) {
	gid := m.number(m.groups(), old, nil)
	m.to.Group.Set(old[0], old[1], gid, "")
	if m.to.GShadow != nil && entry(m.to.GShadow, old[0]) == nil {
		secret := []string{old[0], "!", "", ""}
		if s := entry(m.old.GShadow, old[0]); s != nil {
			secret = []string{old[0], s[1], s[2], ""}
		}
		m.to.GShadow.Set(secret...)
	}
	m.carried("the group %s (%s)", old[0], gid)
}

// groupPassword is the password of a group, and who may change its members.
func (m *merge) groupPassword(name string) {
	old, image, now := entry(m.old.GShadow, name), entry(m.image.GShadow, name), entry(m.to.GShadow, name)
	if old == nil || now == nil {
		return
	}
	mine := ours(entry(m.old.Group, name))
	m.to.GShadow.Set(name, three(old, image, now, 1, mine), three(old, image, now, 2, mine), now[3])
}

// members adds the members that were added on the machine, and takes away those that were taken away there.
func (m *merge) members(name string) {
	now := entry(m.to.Group, name)
	if now == nil {
		return
	}
	old, image := entry(m.old.Group, name), entry(m.image.Group, name)
	before := slices.Clone(list(now[3]))
	now[3] = m.merged(old, image, now)
	m.to.Group.Set(now...)
	if s := entry(m.to.GShadow, name); s != nil {
		s[3] = m.merged(old, image, s)
		m.to.GShadow.Set(s...)
	}
	if after := list(now[3]); !slices.Equal(before, after) {
		m.carried("the members of the group %s: %s", name, strings.Join(after, ", "))
	}
}

// merged is the last field of a group.
func (m *merge) merged(old, image, now []string) string {
	was, is := []string{}, list(old[3])
	if image != nil {
		was = list(image[3])
	}
	out := slices.DeleteFunc(list(now[3]), func(u string) bool {
		return slices.Contains(was, u) && !slices.Contains(is, u)
	})
	for _, u := range is {
		// One that the machine has and the new system does not was a user of the image alone. Members that are not in
		// passwd at all are those of a domain.
		gone := entry(m.old.Passwd, u) != nil && entry(m.to.Passwd, u) == nil
		if !slices.Contains(was, u) && !slices.Contains(out, u) && !gone {
			out = append(out, u)
		}
	}
	return strings.Join(out, ",")
}

// id is the number of an entry, -1 if it is not valid.
func id(f []string) int {
	n, ok := passwd.Number(f[2])
	if !ok {
		return -1
	}
	return n
}
