package tree

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// same reports whether what has a name in Old is as Image has it.
func (w *walk) same(name string, old, image stat) (bool, error) {
	if image == nil || kind(old) != kind(image) || old.Rdev_major != image.Rdev_major ||
		old.Rdev_minor != image.Rdev_minor {
		return false, nil
	}
	same, err := sameMetadata(w.old.path(name), w.image.path(name), old, image)
	if err != nil || !same {
		return false, err
	}
	switch kind(old) {
	case unix.S_IFREG:
		if untouched(old, image) {
			return true, nil
		}
		if old.Size != image.Size {
			return false, nil
		}
		return w.sameContent(name)
	case unix.S_IFLNK:
		a, err := readlink(w.old.path(name))
		if err != nil {
			return false, err
		}
		b, err := readlink(w.image.path(name))
		return a == b, err
	}
	return true, nil
}

// untouched reports whether a file of a snapshot is as it was taken: each change gives it another ctime (inode(7)), and
// no program can set that.
func untouched(old, image stat) bool {
	return old.Ino == image.Ino && old.Ctime == image.Ctime && old.Mtime == image.Mtime && old.Size == image.Size
}

// sameMetadata compares mode, owner and extended attributes of what two paths lead to.
func sameMetadata(a, b string, old, image stat) (bool, error) {
	if old.Mode != image.Mode || old.Uid != image.Uid || old.Gid != image.Gid {
		return false, nil
	}
	if untouched(old, image) {
		return true, nil
	}
	x, err := attributes(a)
	if err != nil {
		return false, err
	}
	y, err := attributes(b)
	return maps.Equal(x, y), err
}

func (w *walk) sameContent(name string) (bool, error) {
	a, err := w.old.read(name)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := w.image.read(name)
	if err != nil {
		return false, err
	}
	defer b.Close()
	x, y := make([]byte, 256<<10), make([]byte, 256<<10)
	for {
		if err := w.ctx.Err(); err != nil {
			return false, err
		}
		n, err := io.ReadFull(a, x)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		m, other := io.ReadFull(b, y)
		if other != nil && !errors.Is(other, io.EOF) && !errors.Is(other, io.ErrUnexpectedEOF) {
			return false, other
		}
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		if err != nil {
			return true, nil
		}
	}
}

// read opens a regular file of the folder.
func (c *cursor) read(name string) (*os.File, error) {
	fd, err := unix.Openat(c.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	st, err := statAt(fd, "")
	if err == nil && kind(st) != unix.S_IFREG {
		err = errors.New("a file was replaced meanwhile")
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

func readlink(path string) (string, error) {
	b := make([]byte, 4096+1) // PATH_MAX, which no target reaches
	n, err := unix.Readlink(path, b)
	if err != nil {
		return "", os.NewSyscallError("readlink", err)
	}
	return string(b[:n]), nil
}

// attributes are the extended attributes of what a path leads to; a symlink in its last part is not followed.
func attributes(path string) (map[string]string, error) {
	all, err := sized(func(b []byte) (int, error) { return unix.Llistxattr(path, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("llistxattr", err)
	}
	out := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(all), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value, err := sized(func(b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
		if err != nil {
			return nil, os.NewSyscallError("lgetxattr "+name, err)
		}
		out[name] = string(value)
	}
	return out, nil
}

// sized calls a function with a buffer that is large enough.
func sized(call func([]byte) (int, error)) ([]byte, error) {
	for n := 256; ; n *= 4 {
		b := make([]byte, n)
		got, err := call(b)
		if err == nil {
			return b[:got], nil
		}
		if !errors.Is(err, unix.ERANGE) || n > 1<<20 {
			return nil, err
		}
	}
}
