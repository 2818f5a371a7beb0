package delta

import (
	"golang.org/x/sys/unix"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
)

// noIno is the inode number that all creations have. `btrfs receive` wants one, and makes no use of it.
const noIno = 1

// creation makes what is at a path that the stream has nothing at: of a directory only the directory.
type creation struct {
	e *content.Entry
	// first: the manifest is being made. SHA256 and Xattrs are to be filled in rather than compared.
	first bool
	// clone is a file of the parent with the same content, where there is one.
	clone clone
}

func (c *creation) weight() int64 {
	if !c.clone.id.IsZero() {
		return 512
	}
	return 512 + c.e.Size
}

func (c *creation) write(w *worker) error {
	e := c.e
	if e.Path == "." {
		return nil
	}
	if e.Type == content.Regular {
		return c.file(w)
	}
	made := sendstream.Command{Path: e.Path, Ino: noIno}
	switch e.Type {
	case content.Directory:
		made.Op = sendstream.OpMkdir
		return w.put(&made)
	case content.HardLink:
		made.Op, made.Link = sendstream.OpLink, e.Target
		return w.put(&made)
	case content.Symlink:
		made.Op, made.Link = sendstream.OpSymlink, e.Target
	case content.BlockDevice:
		made.Op, made.Mode = sendstream.OpMknod, unix.S_IFBLK|uint64(e.Mode)
		made.Rdev = unix.Mkdev(e.Major, e.Minor)
	case content.CharDevice:
		made.Op, made.Mode = sendstream.OpMknod, unix.S_IFCHR|uint64(e.Mode)
		made.Rdev = unix.Mkdev(e.Major, e.Minor)
	case content.Fifo:
		made.Op, made.Mode = sendstream.OpMkfifo, unix.S_IFIFO|uint64(e.Mode)
	case content.Socket:
		made.Op, made.Mode = sendstream.OpMksock, unix.S_IFSOCK|uint64(e.Mode)
	}
	if err := w.put(&made); err != nil {
		return err
	}
	if c.first {
		var err error
		if e.Xattrs, err = w.new.Xattrs(e.Path); err != nil {
			return err
		}
	}
	return w.dress(e)
}

// file makes a regular file with its data.
func (c *creation) file(w *worker) error {
	if err := w.put(&sendstream.Command{Op: sendstream.OpMkfile, Path: c.e.Path, Ino: noIno}); err != nil {
		return err
	}
	if !c.clone.id.IsZero() {
		if err := w.clone(c.e, c.clone); err != nil {
			return err
		}
		return w.dress(c.e)
	}
	f, err := w.openNew(c.e)
	if err != nil {
		return err
	}
	defer f.close()
	if c.first {
		if c.e.Xattrs, err = w.new.FileXattrs(f.fd, c.e.Path); err != nil {
			return err
		}
	}
	if err := w.whole(c.e, f); err != nil {
		return err
	}
	if c.first && w.unsummed {
		return w.dress(c.e)
	}
	if c.first {
		w.hash.Sum(c.e.SHA256[:0])
	} else if err := w.check(c.e); err != nil {
		return err
	}
	return w.dress(c.e)
}

// dress sends all metadata of an inode that was just made. Owner before permissions, since a change of owner takes away
// set-user-ID bits and capabilities; permissions before attributes, since they change an ACL; times last.
func (w *worker) dress(e *content.Entry) error {
	path := raw(e.Path)
	if err := w.put(&sendstream.Command{Op: sendstream.OpChown, Path: path, UID: uint64(e.UID),
		GID: uint64(e.GID)}); err != nil {
		return err
	}
	if e.Type != content.Symlink {
		if err := w.put(&sendstream.Command{Op: sendstream.OpChmod, Path: path, Mode: uint64(e.Mode)}); err != nil {
			return err
		}
	}
	for _, x := range e.Xattrs {
		if err := w.put(&sendstream.Command{Op: sendstream.OpSetXattr, Path: path, XattrName: x.Name,
			Data: x.Value}); err != nil {
			return err
		}
	}
	return w.utimes(path, e.Mtime)
}
