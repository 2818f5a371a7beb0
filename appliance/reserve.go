package appliance

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"griddle/appliance/fleet"
)

// A start writes a little: the database's journal, leases, where the server listens. On a file system that is full it
// could not, and no machine would be served until someone makes room. So a file holds some room back, which a start on
// a full file system gives up. fleet.Options.Spare is more than it, so that strangers cannot fill what it leaves.
const (
	reserveFile = "reserve"
	reserveSize = 8 << 20
	reserveFrom = 4 * reserveSize // free bytes from which the reserve is made; below, the room is better used
)

// reserve makes the file that holds room back, or gives it up where less than that room is free; freed says that it
// did. It is no error where it can do neither: the start shows what is missing.
func (s *state) reserve() (freed bool, err error) {
	free, err := freeSpace(s.dir)
	if err != nil {
		return false, err
	}
	st, err := os.Stat(s.path(reserveFile))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, err
	case err == nil && free < reserveSize:
		if err := os.Remove(s.path(reserveFile)); err != nil {
			return false, fmt.Errorf("freeing the reserve of a full filesystem: %w", err)
		}
		return true, nil
	case (err != nil || st.Size() < reserveSize) && free >= reserveFrom:
		return false, s.makeReserve()
	}
	return false, nil
}

// makeReserve takes the blocks: a file with a hole, or one that a file system compresses, would hold nothing back.
func (s *state) makeReserve() error {
	f, err := os.OpenFile(s.path(reserveFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("creating the reserve: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, reserveSize)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = io.CopyN(f, rand.Reader, reserveSize)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("creating the reserve: %w", err)
	}
	return nil
}

// fullDisk says what to do where a start failed because nothing more can be written.
func fullDisk(err error, dir string) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, fleet.ErrDiskFull) {
		return Advice{err, fmt.Sprintf("Free space on the filesystem of %s (`df %s` shows it, "+
			"`griddle image gc` removes old versions), and start again.", dir, dir)}
	}
	return err
}
