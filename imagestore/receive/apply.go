package receive

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// An applier carries out commands on a tree.
type applier struct {
	tree  *tree
	btrfs bool                       // the tree lies on btrfs
	clone func(*step) (*tree, error) // the tree that a clone's source is in

	noDevices, noSetID bool // see Options

	// What the root's times must be in the end: the parent's, or those of the last command for them; nil in a full
	// stream before that. The sender gives what it moves, and what it cannot name yet, a name in the root for a
	// moment, and says nothing of the root's times where the two trees do not differ there.
	rootTimes []unix.Timespec

	written func(path string) // is told of each file when it is let go of; nil if no one is

	// The file that was made or written last stays open: what comes next is mostly about it.
	path   string
	fd     int // -1 if none
	decode decoder
	plain  bool // encoded writes are decompressed here, the kernel has refused one
}

func newApplier(t *tree, btrfs bool, clone func(*step) (*tree, error)) *applier {
	return &applier{tree: t, btrfs: btrfs, clone: clone, fd: -1, plain: !btrfs}
}

// apply carries out one step, which is none of SUBVOL, SNAPSHOT and END.
func (a *applier) apply(s *step) error {
	switch s.Op {
	case sendstream.OpMkfile, sendstream.OpMkdir, sendstream.OpMknod, sendstream.OpMkfifo, sendstream.OpMksock,
		sendstream.OpSymlink:
		return a.make(s)
	case sendstream.OpRename:
		return a.rename(s.Path, s.To)
	case sendstream.OpLink:
		return a.link(s)
	case sendstream.OpUnlink:
		return a.remove(s.Path, 0)
	case sendstream.OpRmdir:
		return a.remove(s.Path, unix.AT_REMOVEDIR)
	case sendstream.OpSetXattr, sendstream.OpRemoveXattr:
		return a.xattr(s)
	case sendstream.OpWrite:
		return a.write(s.Path, s.FileOffset, s.Data)
	case sendstream.OpEncodedWrite:
		return a.encodedWrite(s)
	case sendstream.OpClone:
		return a.cloneRange(s)
	case sendstream.OpTruncate:
		return a.truncate(s)
	case sendstream.OpFallocate:
		return a.fallocate(s)
	case sendstream.OpChmod:
		return a.chmod(s)
	case sendstream.OpChown:
		return a.chown(s)
	case sendstream.OpUtimes:
		return a.utimes(s)
	case sendstream.OpFileAttr:
		// btrfs-progs leaves them alone too: among them is what makes a file unchangeable, with commands for it still
		// to come, and what can only be set on an empty file.
		return nil
	case sendstream.OpUpdateExtent:
		return errors.New("the stream was made without data")
	case sendstream.OpEnableVerity:
		return errors.New("fs-verity is not supported")
	}
	return errors.New("the command is not allowed here")
}

// release closes the file that is kept open.
func (a *applier) release() error {
	if a.fd < 0 {
		return nil
	}
	if a.written != nil {
		a.written(a.path)
	}
	err := unix.Close(a.fd)
	a.fd, a.path = -1, ""
	return os.NewSyscallError("close", err)
}

// keep makes fd, open for writing, the file that is kept open.
func (a *applier) keep(path string, fd int) error {
	err := a.release()
	a.path, a.fd = path, fd
	return err
}

// file gives the file at path, open for writing.
func (a *applier) file(path string) (int, error) {
	if a.fd >= 0 && a.path == path {
		return a.fd, nil
	}
	fd, err := a.tree.openFile(path, unix.O_WRONLY)
	if err != nil {
		return -1, err
	}
	return fd, a.keep(path, fd)
}

// moved drops what is remembered about path and what is below it.
func (a *applier) moved(path string) error {
	a.tree.forget(path)
	if rest, ok := strings.CutPrefix(a.path, path); ok && a.fd >= 0 && (rest == "" || rest[0] == '/') {
		return a.release()
	}
	return nil
}

// make creates something. Where its renaming was joined with it, it gets its final name at once if nothing is there yet
// and the directory passes nothing on; else it goes the long way.
func (a *applier) make(s *step) error {
	if !s.joined {
		return a.create(s, s.Path)
	}
	if err := sendstream.CheckPath(s.Path); err != nil {
		return err
	}
	if d, _, err := a.tree.entry(s.To); err != nil {
		return err
	} else if d.ordinary {
		if err := a.create(s, s.To); !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	if err := a.create(s, s.Path); err != nil {
		return err
	}
	return a.rename(s.Path, s.To)
}

func (a *applier) create(s *step, path string) error {
	d, name, err := a.tree.entry(path)
	if err != nil {
		return err
	}
	switch s.Op {
	case sendstream.OpMkfile:
		fd, err := openBeneath(d.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		return a.keep(path, fd)
	case sendstream.OpMkdir:
		err = unix.Mkdirat(d.fd, name, 0o700)
	case sendstream.OpMknod:
		if kind := s.Mode & unix.S_IFMT; kind != unix.S_IFCHR && kind != unix.S_IFBLK {
			return fmt.Errorf("making device %q: mode %#o is not that of a device", path, s.Mode)
		}
		if a.noDevices {
			return fmt.Errorf("making device %q: %w", path, ErrForbidden)
		}
		err = unix.Mknodat(d.fd, name, uint32(s.Mode&unix.S_IFMT)|0o600, int(s.Rdev))
	case sendstream.OpMkfifo:
		err = unix.Mknodat(d.fd, name, unix.S_IFIFO|0o600, 0)
	case sendstream.OpMksock:
		err = unix.Mknodat(d.fd, name, unix.S_IFSOCK|0o600, 0)
	case sendstream.OpSymlink:
		err = unix.Symlinkat(s.Link, d.fd, name)
	}
	return at("making", path, err)
}

func (a *applier) rename(from, to string) error {
	if err := a.moved(from); err != nil {
		return err
	}
	if err := a.moved(to); err != nil {
		return err
	}
	df, nf, dt, nt, err := a.tree.pair(from, to)
	if err != nil {
		return err
	}
	return at("renaming", from, unix.Renameat(df.fd, nf, dt.fd, nt))
}

func (a *applier) link(s *step) error {
	df, nf, dt, nt, err := a.tree.pair(s.Link, s.Path)
	if err != nil {
		return err
	}
	return at("linking", s.Path, unix.Linkat(df.fd, nf, dt.fd, nt, 0))
}

func (a *applier) remove(path string, flags int) error {
	if err := a.moved(path); err != nil {
		return err
	}
	d, name, err := a.tree.entry(path)
	if err != nil {
		return err
	}
	return at("removing", path, unix.Unlinkat(d.fd, name, flags))
}

func (a *applier) chmod(s *step) error {
	mode := uint32(s.Mode & 0o7777)
	if a.noSetID && mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		if err := a.mayHaveSetID(s.Path); err != nil {
			return err
		}
	}
	if a.fd >= 0 && a.path == s.Path {
		return at("changing mode of", s.Path, unix.Fchmod(a.fd, mode))
	}
	d, name, err := a.tree.parent(s.Path)
	if err != nil {
		return err
	}
	err = chmodAt(d.fd, name, mode)
	if known := a.tree.dirs[s.Path]; known != nil {
		a.tree.forget(s.Path) // its set-group-ID bit counts
	}
	return at("changing mode of", s.Path, err)
}

// mayHaveSetID lets directories have what ErrForbidden keeps from all else: there the bits only say whose group a new
// file has.
func (a *applier) mayHaveSetID(path string) error {
	d, name, err := a.tree.parent(path)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return at("changing mode of", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return at("setting set-user-ID or set-group-ID bit of", path, ErrForbidden)
	}
	return nil
}

// chmodAt changes the mode of name, and gives EOPNOTSUPP where that is a symbolic link.
func chmodAt(dir int, name string, mode uint32) error {
	err := unix.Fchmodat(dir, name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if err != unix.EOPNOTSUPP {
		return err
	}
	// Before Linux 6.6 no call takes that flag. What is opened as itself can be reached through /proc, where a symbolic
	// link says that it has no mode to change.
	fd, err := openBeneath(dir, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

// chown changes the owner, and leaves the set-user-ID and set-group-ID bits, which the system call clears, as they are.
// The sender says nothing of the mode where both trees have the same, so that `btrfs receive` loses the bits of a file
// that changed its owner and kept its mode.
func (a *applier) chown(s *step) error {
	uid, gid := int(uint32(s.UID)), int(uint32(s.GID))
	dir, name, flags := a.fd, "", unix.AT_EMPTY_PATH
	if a.fd < 0 || a.path != s.Path {
		d, n, err := a.tree.parent(s.Path)
		if err != nil {
			return err
		}
		dir, name, flags = d.fd, n, unix.AT_SYMLINK_NOFOLLOW
	}
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, flags)
	if err == nil {
		err = unix.Fchownat(dir, name, uid, gid, flags)
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		if name == "" {
			err = unix.Fchmod(dir, st.Mode&0o7777)
		} else {
			err = chmodAt(dir, name, st.Mode&0o7777)
		}
	}
	return at("changing owner of", s.Path, err)
}

func (a *applier) utimes(s *step) error {
	times := []unix.Timespec{timespec(s.Atime), timespec(s.Mtime)}
	if s.Path == "" {
		a.rootTimes = times
	}
	if a.fd >= 0 && a.path == s.Path {
		return at("setting times of", s.Path, unix.UtimesNanoAt(a.fd, "", times, unix.AT_EMPTY_PATH))
	}
	d, name, err := a.tree.parent(s.Path)
	if err != nil {
		return err
	}
	return at("setting times of", s.Path, unix.UtimesNanoAt(d.fd, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

// startFrom takes the root as the parent's.
func (a *applier) startFrom() error {
	var st unix.Stat_t
	if err := unix.Fstat(a.tree.root, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	a.rootTimes = []unix.Timespec{st.Atim, st.Mtim}
	return nil
}

// end lets go of everything, and gives the root its times.
func (a *applier) end() error {
	if err := a.release(); err != nil || a.rootTimes == nil {
		return err
	}
	return at("setting times of", "", unix.UtimesNanoAt(a.tree.root, ".", a.rootTimes, unix.AT_SYMLINK_NOFOLLOW))
}

// xattr sets or removes an extended attribute, of a symbolic link too.
func (a *applier) xattr(s *step) error {
	if !a.btrfs && isProperty(s.XattrName) {
		return nil
	}
	if a.noSetID && s.Op == sendstream.OpSetXattr && s.XattrName == "security.capability" {
		return at("setting capabilities of", s.Path, ErrForbidden)
	}
	// The last part of the path is not followed by the l functions, and what is before it is open already.
	path := "/proc/self/fd/" + strconv.Itoa(a.fd)
	set, remove := unix.Setxattr, unix.Removexattr
	if a.fd < 0 || a.path != s.Path {
		d, name, err := a.tree.parent(s.Path)
		if err != nil {
			return err
		}
		path = "/proc/self/fd/" + strconv.Itoa(d.fd) + "/" + name
		set, remove = unix.Lsetxattr, unix.Lremovexattr
	}
	if s.Path != "" {
		defer a.tree.forget(s.Path) // it may pass on something else now
	}
	if s.Op == sendstream.OpRemoveXattr {
		return at("removing attribute "+strconv.Quote(s.XattrName)+" of", s.Path, remove(path, s.XattrName))
	}
	return at("setting attribute "+strconv.Quote(s.XattrName)+" of", s.Path, set(path, s.XattrName, s.Data, 0))
}

// isProperty reports whether an attribute speaks of how one file system stores a file, and means nothing elsewhere: a
// property of btrfs, such as its compression, or an ACL as XFS has it on disk, which it lists beside the ACL itself.
func isProperty(xattr string) bool {
	return strings.HasPrefix(xattr, "btrfs.") || xattr == "trusted.SGI_ACL_FILE" || xattr == "trusted.SGI_ACL_DEFAULT"
}

// at says what failed and where.
func at(verb, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", verb, path, err)
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}
