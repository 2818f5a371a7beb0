package imagestore

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/durable"
	"griddle/imagestore/source"
)

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
	s := openLocal(disk, dir, blobs, catalog.OpenReadOnly(disk, dir, blobs, why))
	s.readOnly = true
	return s
}

// Trees is where the trees lie that work on this store takes, and whether that is in Spool; "" behind a server.
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

// spooled is the shelf of a store that has no writable one: a private directory of this user for trees that go away when
// they have been used. What a killed process left in it goes away with the next tree.
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
