package content

import "golang.org/x/sys/unix"

// A Reading is what one read of a regular file found, and by what the file shows later that it is still that.
//
// The kernel sets the time of change of a file to its clock whenever its content changes, and no call sets it to
// anything else. So the content of the file is what was read if Changed was noted before the read began, was in the
// past then by more than one tick of that clock, and is still the file's.
type Reading struct {
	Size    int64
	Changed unix.Timespec // the file's time of change (ctime) before the read
	SHA256  [32]byte      // of all bytes
}

// Readings are of files of one tree, by inode number. They hold for a snapshot of the tree too: its files keep their
// numbers and their times until they change.
type Readings map[uint64]Reading

// prove says whether the file, which has this stat, was read before, has not changed since, and has the content that
// the entry wants.
func (r Readings) prove(e *Entry, st *unix.Stat_t) bool {
	had, ok := r[st.Ino]
	return ok && had.Changed == st.Ctim && had.Size == st.Size && had.Size == e.Size && had.SHA256 == e.SHA256
}
