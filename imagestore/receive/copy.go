package receive

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A copier makes a tree like another: content (shared where the file system can do that), holes, hard links, owners,
// permissions, attributes and times.
type copier struct {
	dev    uint64            // of the source
	root   int               // of the target
	linked map[uint64]string // paths in the target of files with several links, by inode number in the source
	share  bool              // sharing blocks has not failed yet
}

// copyTree copies what is in the directory from, and its own attributes, to the empty directory to. A mount or
// subvolume in it is an error.
func copyTree(from, to int) error {
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	c := &copier{dev: st.Dev, root: to, linked: map[uint64]string{}, share: true}
	return c.directory(from, to, "", &st)
}

// directory copies the content of an open directory, and then its attributes, so that its default ACL touches nothing
// that is made in it and its times stay.
func (c *copier) directory(from, to int, path string, st *unix.Stat_t) error {
	names, err := readNames(from)
	if err != nil {
		return at("reading", path, err)
	}
	for _, name := range names {
		below := name
		if path != "" {
			below = path + "/" + name
		}
		if err := c.entry(from, to, name, below); err != nil {
			return err
		}
	}
	return at("copying attributes of", path, copyAttributes(from, ".", to, ".", st))
}

func (c *copier) entry(from, to int, name, path string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return at("reading", path, err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		if first, ok := c.linked[st.Ino]; ok {
			return at("linking", path, unix.Linkat(c.root, first, to, name, 0))
		}
		c.linked[st.Ino] = path
	}
	var err error
	switch kind {
	case unix.S_IFDIR:
		return c.subdirectory(from, to, name, path, &st)
	case unix.S_IFREG:
		err = c.file(from, to, name, st.Size)
	case unix.S_IFLNK:
		target := make([]byte, st.Size+1)
		var n int
		if n, err = unix.Readlinkat(from, name, target); err == nil {
			err = unix.Symlinkat(string(target[:n]), to, name)
		}
	default:
		err = unix.Mknodat(to, name, kind|0o600, int(st.Rdev))
	}
	if err == nil {
		err = copyAttributes(from, name, to, name, &st)
	}
	return at("copying", path, err)
}

func (c *copier) subdirectory(from, to int, name, path string, st *unix.Stat_t) error {
	if st.Dev != c.dev {
		return at("copying", path, ErrOutside)
	}
	source, err := openBeneath(from, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return at("copying", path, err)
	}
	defer unix.Close(source)
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return at("making", path, err)
	}
	target, err := openBeneath(to, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return at("making", path, err)
	}
	defer unix.Close(target)
	return c.directory(source, target, path, st)
}

func (c *copier) file(from, to int, name string, size int64) error {
	source, err := openBeneath(from, name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(source)
	target, err := openBeneath(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	if c.share && size > 0 {
		err := unix.IoctlFileClone(target, source)
		switch err {
		case nil:
			return nil
		case unix.EOPNOTSUPP, unix.ENOTTY, unix.EXDEV, unix.ENOSYS:
			c.share = false
		case unix.EINVAL: // a file without checksums among ones with them
		default:
			return err
		}
	}
	return copySparse(target, source, size)
}

// copySparse copies what is not a hole.
func copySparse(to, from int, size int64) error {
	for o := int64(0); o < size; {
		data, err := unix.Seek(from, o, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		} else if err != nil {
			return err
		}
		hole, err := unix.Seek(from, data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := copyRange(to, data, from, data, min(hole, size)-data); err != nil {
			return err
		}
		o = hole
	}
	return unix.Ftruncate(to, size)
}

// copyAttributes copies owner, attributes, permissions and times, in the order in which none undoes another: a change
// of owner clears capabilities and set-user-ID bits.
func copyAttributes(from int, fromName string, to int, toName string, st *unix.Stat_t) error {
	if err := unix.Fchownat(to, toName, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := chmodAt(to, toName, st.Mode&0o7777); err != nil {
			return err
		}
	}
	source := "/proc/self/fd/" + strconv.Itoa(from) + "/" + fromName
	target := "/proc/self/fd/" + strconv.Itoa(to) + "/" + toName
	names, err := listXattrs(source)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isProperty(name) && !strings.HasPrefix(name, "btrfs.") {
			continue
		}
		value, err := getXattr(source, name)
		if err != nil {
			return err
		}
		if err := unix.Lsetxattr(target, name, value, 0); err != nil && !(err == unix.EOPNOTSUPP && isProperty(name)) {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	return unix.UtimesNanoAt(to, toName, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// listXattrs gives the names of the attributes of what is at path, without following it.
func listXattrs(path string) ([]string, error) {
	n, err := unix.Llistxattr(path, nil)
	var buf []byte
	if err == nil && n > 0 {
		buf = make([]byte, 64<<10) // XATTR_LIST_MAX
		n, err = unix.Llistxattr(path, buf)
	}
	if err == unix.EOPNOTSUPP || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range bytes.Split(bytes.TrimSuffix(buf[:n], []byte{0}), []byte{0}) {
		names = append(names, string(name))
	}
	return names, nil
}

func getXattr(path, name string) ([]byte, error) {
	buf := make([]byte, 64<<10) // XATTR_SIZE_MAX
	n, err := unix.Lgetxattr(path, name, buf)
	if err != nil {
		return nil, fmt.Errorf("attribute %q: %w", name, err)
	}
	return buf[:n], nil
}

// readNames reads a directory through a descriptor that stays the caller's.
func readNames(dir int) ([]string, error) {
	fd, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	return f.Readdirnames(-1)
}
