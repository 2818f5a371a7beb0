package tree

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// inode is what a file is, whatever its name: on btrfs each subvolume is a device of its own.
type inode struct {
	major, minor uint32
	ino          uint64
}

// stat is what statx(2) says of a name; nil where nothing has it.
type stat = *unix.Statx_t

func inodeOf(st stat) inode { return inode{st.Dev_major, st.Dev_minor, st.Ino} }

func kind(st stat) uint16 { return st.Mode & unix.S_IFMT }

func isFolder(st stat) bool { return st != nil && kind(st) == unix.S_IFDIR }

// cursor is the folder of a tree that the walk is in. It holds one folder open: up and down close the one that they
// leave. Without a file the tree has no such folder.
type cursor struct {
	f  *os.File
	at inode
}

const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// opened is the cursor on an open folder.
func opened(f *os.File) (cursor, error) {
	st, err := statAt(int(f.Fd()), "")
	if err != nil {
		return cursor{}, errors.Join(err, f.Close())
	}
	return cursor{f, inodeOf(st)}, nil
}

func (c *cursor) here() bool { return c.f != nil }

func (c *cursor) fd() int { return int(c.f.Fd()) }

func (c *cursor) close() {
	if c.f != nil {
		c.f.Close()
	}
	*c = cursor{}
}

// stat is what has a name in the folder; nil if nothing has it.
func (c *cursor) stat(name string) (stat, error) {
	if c.f == nil {
		return nil, nil
	}
	st, err := statAt(c.fd(), name)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	return st, err
}

func statAt(fd int, name string) (stat, error) {
	var st unix.Statx_t
	how := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		how |= unix.AT_EMPTY_PATH
	}
	if err := unix.Statx(fd, name, how, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st); err != nil {
		return nil, os.NewSyscallError("statx", err)
	}
	return &st, nil
}

// down goes into a folder of the folder.
func (c *cursor) down(name string) error {
	next, err := c.open(name)
	if err != nil {
		return err
	}
	c.close()
	*c = next
	return nil
}

// up goes back to the folder that it came from. A tree that changes meanwhile is an error.
func (c *cursor) up(to inode) error {
	next, err := c.open("..")
	if err != nil {
		return err
	}
	if next.at != to {
		next.close()
		return errors.New("a folder was moved away meanwhile")
	}
	c.close()
	*c = next
	return nil
}

func (c *cursor) open(name string) (cursor, error) {
	fd, err := unix.Openat(c.fd(), name, flags, 0)
	if err != nil {
		return cursor{}, os.NewSyscallError("openat", err)
	}
	return opened(os.NewFile(uintptr(fd), name))
}

// names are the names in the folder.
func (c *cursor) names() ([]string, error) {
	if c.f == nil {
		return nil, nil
	}
	return c.f.Readdirnames(-1)
}

// path leads to a name in the folder, for calls that take paths alone; it needs /proc.
func (c *cursor) path(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", c.fd(), name) }

// self leads to the folder itself.
func (c *cursor) self() string { return fmt.Sprintf("/proc/self/fd/%d/.", c.fd()) }
