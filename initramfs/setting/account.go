package setting

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"griddle/appliance/setting"
	"griddle/initramfs/passwd"
	"griddle/initramfs/sysroot"
)

// accounts are the files that say who there is.
type accounts struct{ *passwd.Accounts }

// read reads the files of accounts.
func (w *writer) read() (*accounts, error) {
	all, err := passwd.Read(w.Dir)
	if err != nil {
		return nil, err
	}
	if _, f := all.Passwd.Find("root"); f == nil {
		return nil, lacks("its /etc/passwd has no user root")
	}
	return &accounts{all}, nil
}

// accounts makes and changes users and groups, then their homes and keys.
func (w *writer) accounts(context.Context) error {
	if len(w.s.Users) == 0 && w.s.Root.PasswordHash == "" && len(w.s.Root.Keys) == 0 && !w.s.SSH.Secure {
		return nil
	}
	a, err := w.read()
	if err != nil {
		return err
	}
	w.password(a, "root", w.s.Root.PasswordHash)
	claimed := map[int]bool{}
	for _, u := range w.s.Users {
		claimed[u.UID] = true
	}
	for _, u := range w.s.Users {
		if err := w.user(a, u, claimed); err != nil {
			return err
		}
	}
	for _, u := range w.s.Users {
		for _, g := range u.Groups {
			if err := a.join(g, u.Name); err != nil {
				return err
			}
		}
	}
	if w.s.SSH.Secure {
		a.lock()
	}
	if err := a.Save(w.Dir); err != nil {
		return err
	}
	if err := w.keys(a, "root", w.s.Root.Keys); err != nil {
		return err
	}
	for _, u := range w.s.Users {
		if err := w.home(a, u.Name); err != nil {
			return err
		}
		if err := w.keys(a, u.Name, u.Keys); err != nil {
			return err
		}
	}
	return w.sudoers()
}

// user makes or changes one user, without supplementary groups. Numbers in claimed are for other users.
func (w *writer) user(a *accounts, u setting.User, claimed map[int]bool) error {
	at := fmt.Sprintf("users[%s]", u.Name)
	if u.UID != 0 {
		if other := a.Passwd.Numbers()[u.UID]; other != "" && other != u.Name {
			return lacks("%s.uid: its user %s has the number %d already: give %s another one, or none", at, other,
				u.UID, u.Name)
		}
	}
	_, f := a.Passwd.Find(u.Name)
	if f == nil {
		var err error
		if f, err = w.newUser(a, u, claimed); err != nil {
			return err
		}
	}
	uid, ok := passwd.Number(f[2])
	switch {
	case !ok || uid == 0:
		return lacks("%s: its user %s has the number %q, which is root's or is not valid", at, u.Name, f[2])
	case !validGroup(f[3]):
		return lacks("%s: the group of its user %s has the number %q, which is not valid", at, u.Name, f[3])
	case u.UID != 0 && uid != u.UID:
		return lacks("%s.uid: its user %s has the number %d: remove uid, or give the user another name", at, u.Name,
			uid)
	}
	if u.FullName != "" {
		_, more, found := strings.Cut(f[4], ",")
		f[4] = u.FullName
		if found {
			f[4] += "," + more
		}
	}
	if u.Shell != "" {
		f[6] = u.Shell
		if !w.Has(strings.TrimPrefix(u.Shell, "/")) {
			w.note("%s has the shell %s, which the image does not have: the user cannot log in without it", u.Name,
				u.Shell)
		}
	}
	a.Passwd.Set(f...)
	w.password(a, u.Name, u.PasswordHash)
	return nil
}

// password sets the password of a user, but not in the secure state, which locks all.
func (w *writer) password(a *accounts, user, hash string) {
	if w.s.SSH.Secure {
		if hash != "" && hash != "!" && hash != "*" {
			w.note("the password of %s has no effect: ssh.secure locks all passwords", user)
		}
		return
	}
	a.password(user, hash)
}

func validGroup(gid string) bool {
	_, ok := passwd.Number(gid)
	return ok
}

// newUser is the entry of a user that the image does not have, with a group of the same name.
func (w *writer) newUser(a *accounts, u setting.User, claimed map[int]bool) ([]string, error) {
	users, groups := a.Passwd.Numbers(), a.Group.Numbers()
	uid := u.UID
	for n := firstUser; uid == 0 && n <= lastUser; n++ {
		if users[n] == "" && groups[n] == "" && !claimed[n] {
			uid = n
		}
	}
	if uid == 0 {
		return nil, lacks("users[%s].uid: all numbers from %d to %d are taken", u.Name, firstUser, lastUser)
	}
	gid := uid
	if _, g := a.Group.Find(u.Name); g != nil {
		n, err := a.gid(u.Name)
		if err != nil {
			return nil, err
		}
		// A group of the system, such as sudo, is not the private one of a user.
		if n < firstUser {
			return nil, lacks("users[%s]: a new user gets a group of the same name, and its group %s has the number "+
				"%d already: give the user another name", u.Name, u.Name, n)
		}
		gid = n
	} else {
		for n := firstUser; groups[gid] != "" && n <= lastUser; n++ {
			if groups[n] == "" && users[n] == "" && !claimed[n] {
				gid = n
			}
		}
		a.newGroup(u.Name, gid)
	}
	shell := u.Shell
	if shell == "" {
		shell = "/bin/bash"
		if !w.Has("bin/bash") && !w.Has("usr/bin/bash") {
			shell = "/bin/sh"
		}
	}
	for _, t := range []*passwd.Table{a.SubUID, a.SubGID} {
		if t != nil && !t.Reserve(u.Name) {
			w.note("%s gets no subordinate numbers: the image gave all of them away", u.Name)
		}
	}
	_, s := a.Shadow.Find(u.Name)
	if s == nil {
		a.Shadow.Set(u.Name, "!", "", "0", "99999", "7", "", "", "")
	}
	return []string{u.Name, "x", strconv.Itoa(uid), strconv.Itoa(gid), "", "/home/" + u.Name, shell}, nil
}

// The numbers of users (login.defs(5)), and those of groups for the system's purposes, taken from above.
const (
	firstUser, lastUser     = 1000, 59999
	firstSystem, lastSystem = 100, 999
)

func (a *accounts) newGroup(name string, gid int) {
	a.Group.Set(name, "x", strconv.Itoa(gid), "")
	if a.GShadow != nil {
		if _, f := a.GShadow.Find(name); f == nil {
			a.GShadow.Set(name, "!", "", "")
		}
	}
}

// join adds a user to a group, and makes the group if it is missing.
func (a *accounts) join(group, user string) error {
	if _, f := a.Group.Find(group); f == nil {
		taken := a.Group.Numbers()
		gid := lastSystem
		for ; gid >= firstSystem && taken[gid] != ""; gid-- {
		}
		if gid < firstSystem {
			return lacks("users[%s].groups: %s is missing, and all numbers from %d to %d are taken", user,
				group, firstSystem, lastSystem)
		}
		a.newGroup(group, gid)
	}
	a.Group.Join(group, user)
	if a.GShadow != nil {
		a.GShadow.Join(group, user)
	}
	return nil
}

// password sets the hash of a user; "" leaves what there is.
func (a *accounts) password(user, hash string) {
	if hash == "" {
		return
	}
	_, f := a.Shadow.Find(user)
	if f == nil {
		f = []string{user, "", "", "0", "99999", "7", "", "", ""}
	}
	f[1] = hash
	if f[2] == "0" {
		f[2] = "" // with 0 the password would have to be changed at the first login
	}
	a.Shadow.Set(f...)
	if _, p := a.Passwd.Find(user); p != nil {
		p[1] = "x"
		a.Passwd.Set(p...)
	}
}

// lock locks all passwords: the secure state lets in keys alone, on the console too.
func (a *accounts) lock() {
	for i, line := range a.Passwd.Lines {
		f := a.Passwd.Split(line)
		if f == nil || f[1] == "x" {
			continue
		}
		if _, has := a.Shadow.Find(f[0]); has == nil {
			a.Shadow.Set(f[0], f[1], "", "", "", "", "", "", "")
		}
		f[1] = "x"
		a.Passwd.Lines[i] = strings.Join(f, ":")
	}
	for i, line := range a.Shadow.Lines {
		f := a.Shadow.Split(line)
		if f == nil || strings.HasPrefix(f[1], "!") || strings.HasPrefix(f[1], "*") {
			continue
		}
		f[1] = "!" + f[1]
		a.Shadow.Lines[i] = strings.Join(f, ":")
	}
}

// owner is who a user is, by numbers.
func (a *accounts) owner(user string) (sysroot.Owner, string, error) {
	u, err := a.entry(user)
	if err != nil {
		return sysroot.Owner{}, "", err
	}
	home := strings.TrimPrefix(path.Clean("/"+u.home), "/")
	if home == "" || slices.Contains([]string{"nonexistent", "dev/null"}, home) {
		return sysroot.Owner{}, "", lacks("users[%s]: its user %s has no home", user, user)
	}
	return sysroot.Owner{UID: u.uid, GID: u.gid}, home, nil
}

// account is an entry of passwd.
type account struct {
	uid, gid    int
	home, shell string
}

func (a *accounts) entry(name string) (account, error) {
	_, f := a.Passwd.Find(name)
	if f == nil {
		return account{}, lacks("it has no user %s", name)
	}
	uid, ok := passwd.Number(f[2])
	gid, too := passwd.Number(f[3])
	if !ok || !too {
		return account{}, lacks("the numbers of its user %s are %q and %q", name, f[2], f[3])
	}
	return account{uid, gid, f[5], f[6]}, nil
}

// gid is the number of a group.
func (a *accounts) gid(name string) (int, error) {
	_, f := a.Group.Find(name)
	if f == nil {
		return 0, lacks("it has no group %s", name)
	}
	n, ok := passwd.Number(f[2])
	if !ok {
		return 0, lacks("the number of its group %s is %q", name, f[2])
	}
	return n, nil
}
