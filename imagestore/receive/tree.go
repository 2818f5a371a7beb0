package receive

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// ErrOutside is wrapped if a command would leave the tree: through a symbolic link, into another file system or
// subvolume, or to the content of a device. A path such as "../x" gives sendstream.ErrPath.
var ErrOutside = errors.New("leads out of the received tree")

// maxDirs bounds the directories that a tree keeps open.
const maxDirs = 64

// A tree is a directory on which commands work, and out of which no path of theirs leads.
//
// Every directory is opened by openat2 in one go, below the root, without symbolic links and without mount points. That
// lets subvolumes pass, whose device number differs, so that is compared. All work is then done with one name in such a
// directory, and nothing follows a link there.
type tree struct {
	root  int
	dev   uint64
	flags uint32 // of the root that pass on to what is created in it
	dirs  map[string]*directory
	order []*directory // oldest first
}

type directory struct {
	path string
	fd   int
	// ordinary: what is created in here starts with the same attributes as if it were created in the root and then
	// moved. Its group, a default ACL, a compression property and inode flags
	// are what a directory may pass on.
	ordinary bool
}

// newTree takes over root, an open directory.
func newTree(root int) (*tree, error) {
	var st unix.Stat_t
	if err := unix.Fstat(root, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	return &tree{root: root, dev: st.Dev, flags: inheritedFlags(root), dirs: map[string]*directory{}}, nil
}

func (t *tree) close() {
	for _, d := range t.dirs {
		unix.Close(d.fd)
	}
	t.dirs, t.order = nil, nil
	unix.Close(t.root)
}

// beneath is how every path is looked up.
func beneath(flags int, mode uint32) *unix.OpenHow {
	if flags&unix.O_DIRECTORY == 0 {
		flags |= unix.O_NOFOLLOW // for O_PATH; a link in place of a directory would give ENOTDIR with it, not ELOOP
	}
	return &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Mode: uint64(mode),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
}

// openBeneath opens a path below the directory at.
func openBeneath(at int, path string, flags int, mode uint32) (int, error) {
	how := beneath(flags, mode)
	for {
		fd, err := unix.Openat2(at, path, how)
		switch err {
		case unix.EINTR, unix.EAGAIN: // EAGAIN: something was renamed meanwhile, the kernel asks to try again
			continue
		case unix.ELOOP, unix.EXDEV:
			return -1, fmt.Errorf("opening %q: %w", path, ErrOutside)
		case nil:
			return fd, nil
		}
		return -1, &os.PathError{Op: "openat2", Path: path, Err: err}
	}
}

// directory opens the directory at path, "" for the root. It is the tree's, and valid until the next call.
func (t *tree) directory(path string) (*directory, error) {
	if d := t.dirs[path]; d != nil {
		return d, nil
	}
	d := &directory{path: path, fd: -1, ordinary: true}
	if path == "" {
		d.fd = t.root
		return d, nil
	}
	fd, err := openBeneath(t.root, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fstat", err)
	}
	if st.Dev != t.dev {
		unix.Close(fd)
		return nil, fmt.Errorf("opening %q: %w: it is on another device", path, ErrOutside)
	}
	d.fd = fd
	d.ordinary = st.Mode&unix.S_ISGID == 0 && !hasXattr(fd, "system.posix_acl_default") &&
		!hasXattr(fd, "btrfs.compression") && inheritedFlags(fd) == t.flags
	if len(t.order) == maxDirs {
		t.drop(t.order[0])
		t.order = t.order[1:]
	}
	t.dirs[path] = d
	t.order = append(t.order, d)
	return d, nil
}

// drop closes d, which the caller takes out of order.
func (t *tree) drop(d *directory) {
	unix.Close(d.fd)
	delete(t.dirs, d.path)
}

// forget closes the directory at path and those below it: they are moved, removed or changed.
func (t *tree) forget(path string) {
	keep := t.order[:0]
	for _, d := range t.order {
		if rest, ok := strings.CutPrefix(d.path, path); ok && (rest == "" || rest[0] == '/') {
			t.drop(d)
		} else {
			keep = append(keep, d)
		}
	}
	t.order = keep
}

// parent checks a path of a command and opens the directory that it lies in. The name is "." for the root.
func (t *tree) parent(path string) (dir *directory, name string, err error) {
	if err := sendstream.CheckPath(path); err != nil {
		return nil, "", err
	}
	if path == "" {
		dir, err = t.directory("")
		return dir, ".", err
	}
	up, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		up, name = path[:i], path[i+1:]
	}
	dir, err = t.directory(up)
	return dir, name, err
}

// entry is parent for commands that make, move or remove what is at path: they cannot mean the root.
func (t *tree) entry(path string) (dir *directory, name string, err error) {
	if path == "" {
		return nil, "", fmt.Errorf("%w: the root itself", sendstream.ErrPath)
	}
	return t.parent(path)
}

// pair is entry for commands with two paths.
func (t *tree) pair(a, b string) (da *directory, na string, db *directory, nb string, err error) {
	if da, na, err = t.entry(a); err != nil {
		return
	}
	if db, nb, err = t.entry(b); err != nil {
		return
	}
	// Opening the second may have closed the first, which was then the oldest; the second is the newest now.
	da, err = t.directory(da.path)
	return
}

// openFile opens the regular file at path. Whatever else is there is not even opened: a device would be one outside of
// the tree, a FIFO would block.
func (t *tree) openFile(path string, flags int) (int, error) {
	d, name, err := t.entry(path)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, &os.PathError{Op: "fstatat", Path: path, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFLNK, unix.S_IFBLK, unix.S_IFCHR:
		return -1, fmt.Errorf("opening %q: %w: it is not a regular file", path, ErrOutside)
	default:
		return -1, &os.PathError{Op: "opening", Path: path, Err: unix.EINVAL}
	}
	return openBeneath(d.fd, name, flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// hasXattr reports whether fd has the attribute. Where that cannot be told it has none.
func hasXattr(fd int, name string) bool {
	_, err := unix.Fgetxattr(fd, name, nil)
	return err == nil
}

// inheritedFlags gives the inode flags that fd, a directory, passes on to what is created in it
// (include/uapi/linux/fs.h; btrfs_inherit_iflags in fs/btrfs/inode.c, EXT4_FL_INHERITED in fs/ext4/ext4.h).
func inheritedFlags(fd int) uint32 {
	const inherited = 0x1 | // SECRM
		0x2 | // UNRM
		0x4 | // COMPR
		0x8 | // SYNC
		0x40 | // NODUMP
		0x80 | // NOATIME
		0x400 | // NOCOMP
		0x4000 | // JOURNAL_DATA
		0x8000 | // NOTAIL
		0x10000 | // DIRSYNC
		0x800000 | // NOCOW
		0x2000000 | // DAX
		0x20000000 | // PROJINHERIT
		0x40000000 // CASEFOLD
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0
	}
	return flags & inherited
}
