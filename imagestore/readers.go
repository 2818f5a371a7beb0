package imagestore

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Readers says which other users of this host can read the store in dir: "every user", "the group NAME", or "" for none
// beside its owner and root. fix is the command that keeps them out. Modes count, of dir and of all directories above it;
// access control lists do not. The files of a store have mode 0644, so that the directories decide.
func Readers(dir string) (who, fix string) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", ""
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	others, group, gid := true, true, -1
	for d := dir; ; d = filepath.Dir(d) {
		st, err := os.Stat(d)
		if err != nil {
			return "", ""
		}
		sys, ok := st.Sys().(*syscall.Stat_t)
		mode := st.Mode().Perm()
		others = others && mode&0o001 != 0
		if mode&0o001 == 0 { // this directory decides which group it is
			group = group && ok && mode&0o010 != 0 && (gid < 0 || gid == int(sys.Gid))
			if ok {
				gid = int(sys.Gid)
			}
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	switch {
	case others:
		return "every user", "chmod 700 " + dir
	case group && gid > 0: // root's own group is root
		name := strconv.Itoa(gid)
		if g, err := user.LookupGroupId(name); err == nil {
			name = g.Name
		}
		return fmt.Sprintf("the group %s", name), "chmod 700 " + dir
	}
	return "", ""
}
