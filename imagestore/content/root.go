package content

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Root opens files below a directory and never leaves it: no symbolic link is followed, neither a mount nor a nested
// subvolume is entered (ErrForeign), and no device or fifo is opened. It keeps the last directory open, so it is
// fastest in the order of a manifest. It is for one goroutine; several Roots may share a tree.
type Root struct {
	root int
	dev  uint64
	at   string // path of dir
	dir  int    // root itself, or the directory at path at
	buf  []byte // of attributes
}

// OpenRoot opens the directory. Close the Root after use.
func OpenRoot(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "fstat", Path: dir, Err: err}
	}
	return &Root{root: fd, dev: st.Dev, dir: fd}, nil
}

// Close closes the directories.
func (r *Root) Close() error {
	if r.dir != r.root {
		unix.Close(r.dir)
	}
	return unix.Close(r.root)
}

// Open opens the regular file at path, which is one of a manifest, for reading, and returns its stat. The caller
// closes the descriptor.
func (r *Root) Open(path string, st *unix.Stat_t) (int, error) {
	dir, name, err := r.place(path)
	if err != nil {
		return -1, err
	}
	// What is no regular file is not opened at all: to open a device may do something.
	err = unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, fmt.Errorf("opening %s: it is %s, not a regular file", escape(path), typeOf(st.Mode).words())
	}
	fd := -1
	if err == nil {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("opening %s: %w", escape(path), err)
	}
	if st.Dev != r.dev {
		unix.Close(fd)
		return -1, fmt.Errorf("opening %s: %w", escape(path), ErrForeign)
	}
	return fd, nil
}

// place opens the directory that holds path, which is then r.dir.
func (r *Root) place(path string) (dir int, name string, err error) {
	up, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		up, name = path[:i], path[i+1:]
	}
	if up == r.at {
		return r.dir, name, nil
	}
	fd := r.root
	if up != "" {
		if fd, err = r.directory(up); err != nil {
			return -1, "", err
		}
	}
	if r.dir != r.root {
		unix.Close(r.dir)
	}
	r.dir, r.at = fd, strings.Clone(up)
	return fd, name, nil
}

func (r *Root) directory(path string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(r.root, path, &how)
		if err == unix.EINTR || err == unix.EAGAIN { // EAGAIN: something was renamed meanwhile
			continue
		}
		if err != nil {
			return -1, fmt.Errorf("opening %s: %w", escape(path), err)
		}
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil && st.Dev != r.dev {
			err = ErrForeign
		}
		if err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("opening %s: %w", escape(path), err)
		}
		return fd, nil
	}
}

// Xattrs reads the extended attributes that are part of the content, ordered by name, of what is at path, whatever it
// is.
func (r *Root) Xattrs(path string) ([]Xattr, error) {
	name := "/proc/self/fd/" + strconv.Itoa(r.root)
	if path != "." {
		dir, base, err := r.place(path)
		if err != nil {
			return nil, err
		}
		name = "/proc/self/fd/" + strconv.Itoa(dir) + "/" + base
	}
	out, err := listXattrs(name, path == ".")
	if err != nil {
		return nil, fmt.Errorf("reading the attributes of %s: %w", escape(path), err)
	}
	return out, nil
}

// FileXattrs is Xattrs for the open file at path, which saves looking it up again.
func (r *Root) FileXattrs(fd int, path string) ([]Xattr, error) {
	if r.buf == nil {
		r.buf = make([]byte, 1024)
	}
	n, err := unix.Flistxattr(fd, r.buf)
	if n == 0 && err == nil || errors.Is(err, unix.ENOTSUP) {
		return nil, nil // as nearly all files
	}
	return r.Xattrs(path)
}
