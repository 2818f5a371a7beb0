package content

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// wanted says whether an extended attribute is part of the content. XFS lists the ACLs a second time, under the names
// by which it stores them (fs/xfs/xfs_xattr.c).
func wanted(name string) bool {
	return !strings.HasPrefix(name, "btrfs.") && name != "trusted.SGI_ACL_FILE" && name != "trusted.SGI_ACL_DEFAULT"
}

// typeOf gives the type that a file mode of stat(2) tells.
func typeOf(mode uint32) Type {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return Directory
	case unix.S_IFREG:
		return Regular
	case unix.S_IFLNK:
		return Symlink
	case unix.S_IFBLK:
		return BlockDevice
	case unix.S_IFCHR:
		return CharDevice
	case unix.S_IFIFO:
		return Fifo
	case unix.S_IFSOCK:
		return Socket
	}
	return 0
}

// openBelow opens name, which must have no slash, in dir and never what a symbolic link points to.
func openBelow(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func readlinkat(dir *os.File, name string) (string, error) {
	buf := make([]byte, MaxPath+1)
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// listXattrs reads the wanted attributes of path, ordered by name. A final symbolic link is followed only where
// follow is set, as it must be for the magic link of an open directory. A filesystem without attributes has none.
func listXattrs(path string, follow bool) ([]Xattr, error) {
	list, get := unix.Llistxattr, unix.Lgetxattr
	if follow {
		list, get = unix.Listxattr, unix.Getxattr
	}
	var small [1024]byte
	buf := small[:]
	n, err := list(path, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 1<<16) // XATTR_LIST_MAX
		n, err = list(path, buf)
	}
	if errors.Is(err, unix.ENOTSUP) || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Xattr
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if !wanted(name) {
			continue
		}
		value := make([]byte, 256)
		k, err := get(path, name, value)
		if errors.Is(err, unix.ERANGE) {
			value = make([]byte, 1<<16) // XATTR_SIZE_MAX
			k, err = get(path, name, value)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Xattr{name, value[:k]})
	}
	slices.SortFunc(out, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
