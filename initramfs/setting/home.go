package setting

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"griddle/appliance/setting"
	"griddle/initramfs/sysroot"
)

// Limits of /etc/skel.
const (
	maxSkelEntries = 1000
	maxSkelBytes   = 16 << 20
)

// home makes the home of a user from /etc/skel, if it is missing.
func (w *writer) home(a *accounts, user string) error {
	owner, home, err := a.owner(user)
	if err != nil {
		return err
	}
	st, err := w.Lstat(home)
	switch {
	case err == nil && !st.IsDir():
		return lacks("users[%s]: the home /%s is not a folder", user, home)
	case err == nil:
		// One that an earlier system left has the number of another user, perhaps.
		if home == "home/"+user && sysroot.OwnerOf(st).UID == 0 {
			return w.Lchown(home, owner.UID, owner.GID)
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("making the home of %s: %w", user, err)
	}
	if err := w.Parent(home); err != nil {
		return err
	}
	// Under another name, so that a crash leaves no half of a home.
	tmp := path.Join(path.Dir(home), ".griddle-new-"+path.Base(home))
	if err := w.RemoveAll(tmp); err != nil {
		return fmt.Errorf("making the home of %s: %w", user, err)
	}
	c := &skel{Dir: w.Dir, owner: owner, entries: maxSkelEntries, bytes: maxSkelBytes}
	if err := c.folder("etc/skel", tmp, 0o700); err != nil {
		return fmt.Errorf("making the home of %s: %w", user, err)
	}
	if err := w.Rename(tmp, home); err != nil {
		return fmt.Errorf("making the home of %s: %w", user, err)
	}
	return nil
}

// skel copies a tree and gives it to an owner.
type skel struct {
	sysroot.Dir
	owner   sysroot.Owner
	entries int   // that may still come
	bytes   int64 // that may still come
}

func (s *skel) folder(from, to string, mode fs.FileMode) error {
	if err := s.Mkdir(to, mode); err != nil {
		return err
	}
	entries, err := s.List(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.entries -= len(entries); s.entries < 0 {
		return lacks("/etc/skel has more than %d files", maxSkelEntries)
	}
	for _, e := range entries {
		if err := s.entry(path.Join(from, e.Name()), path.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return errors.Join(s.Lchown(to, s.owner.UID, s.owner.GID), s.Chmod(to, mode))
}

func (s *skel) entry(from, to string) error {
	st, err := s.Lstat(from)
	if err != nil {
		return err
	}
	switch {
	case st.IsDir():
		return s.folder(from, to, st.Mode().Perm())
	case st.Mode()&fs.ModeSymlink != 0:
		target, err := s.Readlink(from)
		if err != nil {
			return err
		}
		return errors.Join(s.Symlink(target, to), s.Lchown(to, s.owner.UID, s.owner.GID))
	case !st.Mode().IsRegular():
		return nil // no one expects a socket or a device in a new home
	}
	f, err := s.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, s.bytes+1))
	if err != nil {
		return err
	}
	if s.bytes -= int64(len(b)); s.bytes < 0 {
		return lacks("/etc/skel has more than %d bytes", maxSkelBytes)
	}
	return s.WriteAs(to, b, st.Mode().Perm(), s.owner)
}

// keys adds keys to those that the image lets in as a user (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
func (w *writer) keys(a *accounts, user string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	owner, home, err := a.owner(user)
	if err != nil {
		return err
	}
	dir := path.Join(home, ".ssh")
	st, err := w.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = w.MakeDir(dir, 0o700)
	case err == nil && !st.IsDir():
		err = lacks("/%s is not a folder", dir)
	}
	// sshd takes no keys from a folder that others can write to.
	if err = errors.Join(err, w.Lchown(dir, owner.UID, owner.GID), w.Chmod(dir, 0o700)); err != nil {
		return fmt.Errorf("writing the keys of %s: %w", user, err)
	}
	file := path.Join(dir, "authorized_keys")
	old, err := w.Read(file)
	if err != nil {
		return err
	}
	return w.WriteAs(file, withKeys(old, keys), 0o600, owner)
}

// withKeys has the lines of authorized_keys and those keys that are not among them.
func withKeys(old []byte, keys []string) []byte {
	lines := linesOf(old)
	for _, k := range keys {
		if k = strings.TrimSpace(k); !slices.Contains(lines, k) {
			lines = append(lines, k)
		}
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

const sudoersFile = "etc/sudoers.d/90-griddle-settings"

// sudoers lets users become root. Users that the settings do not name stay as they are.
func (w *writer) sudoers() error {
	lines, err := w.othersSudo()
	if err != nil {
		return err
	}
	for _, u := range w.s.Users {
		if u.Sudo {
			lines = append(lines, sudoersLine(u.Name))
		}
	}
	if len(lines) == 0 {
		if err := w.Remove(sudoersFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing /%s: %w", sudoersFile, err)
		}
		return nil
	}
	main, err := w.Read("etc/sudoers")
	if err != nil {
		return err
	}
	if main == nil {
		return lacks("users[].sudo: it has no sudo: install the package sudo in the template")
	}
	if now := withIncludedir(main); string(now) != string(main) {
		if err := w.Replace("etc/sudoers", now, 0o440); err != nil {
			return err
		}
	}
	return w.WriteAs(sudoersFile, []byte(strings.Join(lines, "\n")+"\n"), 0o440, sysroot.Owner{})
}

// withIncludedir is sudoers(5) that includes its folder. A backslash joins lines, so one at the end gets an empty line
// after it.
func withIncludedir(main []byte) []byte {
	if slices.ContainsFunc(linesOf(main), includesSudoers) {
		return main
	}
	text := endLine(string(main))
	if strings.HasSuffix(text, "\\\n") {
		text += "\n"
	}
	return []byte(text + "#includedir /etc/sudoers.d\n")
}

// includesSudoers reports whether a line of sudoers includes its folder; the number sign is no comment there.
func includesSudoers(line string) bool {
	f := strings.Fields(line)
	return len(f) == 2 && (f[0] == "@includedir" || f[0] == "#includedir") &&
		path.Clean(f[1]) == "/etc/sudoers.d"
}

// permissions are the bits of a mode of settings as Go has them.
func permissions(m setting.Mode) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	for bit, is := range map[setting.Mode]fs.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid,
		0o1000: os.ModeSticky} {
		if m&bit != 0 {
			mode |= is
		}
	}
	return mode
}
