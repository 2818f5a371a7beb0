package imagestore

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/durable"
	"griddle/imagestore/source"
)

// OpenExisting opens the store in dir, as Open does, but makes none: the error is fs.ErrNotExist if dir has no
// store.
func OpenExisting(dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, "catalog")); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	return Open(dir)
}

// readOnly says why the store in dir cannot be written; nil where it can, or where there is none yet. It looks and
// tries nothing: reading a store needs no lock, no temporary file and no directory.
func readOnly(dir string) error {
	log := filepath.Join(dir, "catalog")
	if _, err := os.Stat(log); err != nil {
		return nil // Open makes one, or says what is wrong
	}
	var st unix.Statfs_t
	if err := unix.Statfs(log, &st); err == nil && st.Flags&unix.ST_RDONLY != 0 {
		return &fs.PathError{Op: "write", Path: dir, Err: unix.EROFS}
	}
	for _, p := range []string{dir, log, filepath.Join(dir, "blobs", "tmp")} {
		// With the effective user, as open(2) does it.
		err := unix.Faccessat(unix.AT_FDCWD, p, unix.W_OK, unix.AT_EACCESS)
		if err == unix.EACCES || err == unix.EPERM || err == unix.EROFS {
			return &fs.PathError{Op: "write", Path: p, Err: err}
		}
	}
	return nil
}

// openReadable opens a store of which nothing can be written, and why says why. Its trees lie in Spool.
func openReadable(disk durable.Disk, dir string, why error) *Store {
	blobs := blob.ReadDirOn(disk, filepath.Join(dir, "blobs"))
	s := openLocal(disk, dir, blobs, catalog.OpenReadOnly(disk, dir, blobs, why))
	s.readOnly = true
	return s
}

// Trees is the directory for the trees that work on this store needs, and whether it is in Spool; "" behind a
// server.
func (s *Store) Trees() (dir string, spooled bool) {
	if s.readOnly {
		return s.spoolDir(), true
	}
	return s.trees, false
}

func (s *Store) spoolDir() string {
	spool := s.Spool
	if spool == "" {
		spool = "/var/tmp" // hier(7): /tmp may be small, and in memory
	}
	return filepath.Join(spool, fmt.Sprintf("griddle-trees-%d", os.Geteuid()))
}

// spooled is the shelf of a store that has no writable one: a private directory of this user for trees that go away
// when they have been used. What a killed process left in it goes away with the next tree.
func (s *Store) spooled() (shelf, error) {
	dir := s.spoolDir()
	if err := s.disk.MkdirAll(dir, 0o700); err != nil {
		return shelf{}, err
	}
	if err := source.Private(dir); err != nil {
		return shelf{}, err
	}
	return shelf{s.disk, dir, 0}, nil
}

// Readers says which other users of this host can read the store in dir: "every user", "the group NAME", or "" if
// only its owner and root can. fix is the command that removes their access. Readers looks at the modes of dir and
// of all directories above it, not at access control lists. The files of a store have mode 0644, so the
// directories decide.
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
