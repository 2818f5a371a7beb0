package template

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxDepth bounds how deep a directory is followed: each one on the way is held open. PATH_MAX allows 2048.
const maxDepth = 2048

// work is a step at work. Its first error ends it: everything after it does nothing.
type work struct {
	ctx  context.Context
	root int // the copy
	warn func(string)
	step Step
	err  error
}

// directory is an open directory of the copy.
type directory struct {
	*work
	fd     int
	path   string // for messages
	depth  int
	before unix.Stat_t
	dirty  bool // something in it was removed
}

func (w *work) fail(path string, err error) {
	if w.err == nil && err != nil {
		w.err = fmt.Errorf("%s: %w", strconv.Quote(path), err)
	}
}

// within calls f with the directory at path, if there is one, that is not reached by way of a symbolic link or a mount.
func (w *work) within(path string, f func(*directory)) {
	if w.err != nil {
		return
	}
	w.use(w.root, path, path, 0, f)
}

// enter is within for one directory of d.
func (d *directory) enter(name string, f func(*directory)) {
	if d.err != nil {
		return
	}
	d.use(d.fd, name, d.path+"/"+name, d.depth+1, f)
}

// has says whether there is something at path that is not reached by way of a symbolic link or a mount.
func (w *work) has(path string) bool {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := unix.Openat2(w.root, path, &how)
	if err != nil {
		return false
	}
	return unix.Close(fd) == nil
}

func (w *work) use(at int, name, path string, depth int, f func(*directory)) {
	if err := w.ctx.Err(); err != nil || depth > maxDepth {
		w.fail(path, errors.Join(err, tooDeep(depth)))
		return
	}
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := unix.Openat2(at, name, &how)
	for err == unix.EINTR || err == unix.EAGAIN { // EAGAIN: something was renamed meanwhile
		fd, err = unix.Openat2(at, name, &how)
	}
	switch err {
	case nil:
	case unix.ENOENT:
		return
	case unix.ELOOP, unix.ENOTDIR, unix.EXDEV:
		if why := linked(at, name); why != "" {
			w.warn(fmt.Sprintf("%s: %s is not touched: %s", w.step.Name, strconv.Quote("/"+path), why))
		}
		return
	default:
		w.fail(path, err)
		return
	}
	d := &directory{work: w, fd: fd, path: path, depth: depth}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &d.before); err != nil {
		w.fail(path, err)
		return
	}
	f(d)
	if w.err == nil && d.dirty {
		w.fail(path, keepTimes(fd, &d.before))
	}
}

func tooDeep(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("directories are more than %d deep", maxDepth)
	}
	return nil
}

// linked says why a directory could not be opened, "" where there is no directory and nothing that leads to one.
func linked(at int, name string) string {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := unix.Openat2(at, name, &how)
	if err == unix.ELOOP {
		return "its path leads through a symbolic link"
	}
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return ""
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return "it is a symbolic link"
	case unix.S_IFDIR:
		return "a filesystem is mounted there"
	}
	return ""
}

// keepTimes gives an open file or directory back the times that it had.
func keepTimes(fd int, st *unix.Stat_t) error {
	ts := []unix.Timespec{st.Atim, st.Mtim}
	return unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), ts, 0)
}

// entries are the names in the directory, in the order of their bytes.
func (d *directory) entries() []fs.DirEntry {
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		d.fail(d.path, err)
		return nil
	}
	f := os.NewFile(uintptr(fd), d.path)
	defer f.Close()
	// Not Readdirnames and lstat: the type is all that is needed, and lstat by the name could be led astray.
	entries, err := f.ReadDir(-1)
	if err != nil {
		d.fail(d.path, err)
	}
	return entries
}
