package content

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// maxLinks is how many symlinks lead to one file at most, as for the kernel (path_resolution(7)).
const maxLinks = 40

// Lookup is the entry that an absolute path leads to in the started system: symlinks on the way are followed, and do
// not leave the tree. nil means that there is none.
func (m *Manifest) Lookup(at string) *Entry {
	byPath := make(map[string]*Entry, len(m.Entries))
	for i := range m.Entries {
		byPath[m.Entries[i].Path] = &m.Entries[i]
	}
	done, rest := "", strings.Split(path.Clean("/" + at)[1:], "/")
	for links := 0; len(rest) > 0; {
		next := rest[0]
		rest = rest[1:]
		switch next {
		case "", ".":
			continue
		case "..":
			done = strings.TrimPrefix(path.Dir("/"+done), "/")
			continue
		}
		e := byPath[path.Join(done, next)]
		if e == nil {
			return nil
		}
		if e.Type != Symlink {
			done = e.Path
			continue
		}
		if links++; links > maxLinks {
			return nil
		}
		if strings.HasPrefix(e.Target, "/") {
			done = ""
		}
		rest = append(strings.Split(e.Target, "/"), rest...)
	}
	return byPath[done]
}

// CheckSystemd is nil if the tree starts with systemd: /sbin/init leads to it, as systemd's packages have it. Else the
// error says, for the end of a sentence, what the tree has in its place.
func (m *Manifest) CheckSystemd() error {
	e := m.Lookup("/sbin/init")
	switch {
	case e == nil:
		return errors.New("it has no /sbin/init")
	case !strings.HasSuffix("/"+e.Path, "/lib/systemd/systemd"):
		return fmt.Errorf("its /sbin/init is %s", escape("/"+e.Path))
	}
	return nil
}
