package imagestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
	"griddle/imagestore/durable"
)

// ErrReadOnly is wrapped where a change was asked of a store that can only be read here: one on a read-only filesystem, or
// one of another user. The error has the cause as well, EROFS or EACCES.
var ErrReadOnly = errors.New("the store can only be read here")

// OpenExisting opens the store in dir, as Open does, and makes none: the error is fs.ErrNotExist where dir holds no store.
func OpenExisting(dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, "catalog")); err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	return Open(dir)
}

// readOnly says why the store in dir cannot be written; nil where it can, or where there is none yet. It looks and tries
// nothing: reading a store needs no lock, no temporary file and no directory.
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
	log := &logFile{disk: disk, path: filepath.Join(dir, "catalog"), readOnly: why}
	s := openParts(disk, dir, blobs, log)
	s.readOnly = true
	return s
}

// spooled is the shelf of a store that has no writable one: a private directory of this user for trees that go away when
// they have been used. What a killed process left in it goes away with the next tree.
func (s *Store) spooled() (shelf, error) {
	spool := s.Spool
	if spool == "" {
		spool = "/var/tmp" // hier(7): /tmp may be small, and in memory
	}
	dir := filepath.Join(spool, fmt.Sprintf("griddle-trees-%d", os.Geteuid()))
	if err := s.disk.MkdirAll(dir, 0o700); err != nil {
		return shelf{}, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return shelf{}, &fs.PathError{Op: "lstat", Path: dir, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return shelf{}, fmt.Errorf("%s is not a directory that only its owner, user %d, can write", dir, os.Geteuid())
	}
	return shelf{s.disk, dir, 0}, nil
}
