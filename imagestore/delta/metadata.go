package delta

import (
	"bytes"
	"slices"
	"strings"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
)

// Attributes that other commands change: chmod the mask of the ACL; chown, write and truncate take away capabilities.
// What is created in a directory with a default ACL gets ACLs of its own.
const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
	capability = "security.capability"
)

func xattr(list []content.Xattr, name string) (content.Xattr, bool) {
	i, ok := slices.BinarySearchFunc(list, name, func(x content.Xattr, name string) int {
		return strings.Compare(x.Name, name)
	})
	if !ok {
		return content.Xattr{}, false
	}
	return list[i], true
}

func sameXattrs(a, b []content.Xattr) bool {
	return slices.EqualFunc(a, b, func(x, y content.Xattr) bool {
		return x.Name == y.Name && bytes.Equal(x.Value, y.Value)
	})
}

// sameMetadata says whether two entries of one type differ in nothing that alter sends.
func sameMetadata(a, b *content.Entry) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Mtime == b.Mtime && sameXattrs(a.Xattrs, b.Xattrs)
}

// undress removes the attributes that are no more, before anything else can take them away.
func (w *worker) undress(e *content.Entry, was []content.Xattr) error {
	for _, x := range was {
		if _, ok := xattr(e.Xattrs, x.Name); ok {
			continue
		}
		if err := w.put(&sendstream.Command{Op: sendstream.OpRemoveXattr, Path: raw(e.Path),
			XattrName: x.Name}); err != nil {
			return err
		}
	}
	return nil
}

// alter sends the metadata in which e differs from was, which has the attributes xattrs still, in the order of dress,
// and what the commands before it and its own have undone. written says that data were, touched that the modification
// time is not what it was.
func (w *worker) alter(e, was *content.Entry, xattrs []content.Xattr, written, touched bool) error {
	path := raw(e.Path)
	owner := e.UID != was.UID || e.GID != was.GID
	if owner {
		if err := w.put(&sendstream.Command{Op: sendstream.OpChown, Path: path, UID: uint64(e.UID),
			GID: uint64(e.GID)}); err != nil {
			return err
		}
	}
	mode := e.Type != content.Symlink && (e.Mode != was.Mode || owner || written && e.Mode&0o6000 != 0)
	if mode {
		if err := w.put(&sendstream.Command{Op: sendstream.OpChmod, Path: path, Mode: uint64(e.Mode)}); err != nil {
			return err
		}
	}
	for _, x := range e.Xattrs {
		before, ok := xattr(xattrs, x.Name)
		undone := x.Name == accessACL && mode || x.Name == capability && (owner || written)
		if ok && !undone && bytes.Equal(before.Value, x.Value) {
			continue
		}
		if err := w.put(&sendstream.Command{Op: sendstream.OpSetXattr, Path: path, XattrName: x.Name,
			Data: x.Value}); err != nil {
			return err
		}
	}
	if touched || e.Mtime != was.Mtime {
		return w.utimes(path, e.Mtime)
	}
	return nil
}

// directory sends the metadata of a directory when nothing is made or removed in it any more.
type directory struct {
	e, was  *content.Entry // was is nil for a new one
	first   bool           // as in creation
	touched bool           // names in it changed
	noACL   bool           // its default ACL was removed already
}

func (d *directory) weight() int64 { return 1024 }

func (d *directory) write(w *worker) error {
	if d.first {
		var err error
		if d.e.Xattrs, err = w.new.Xattrs(d.e.Path); err != nil {
			return err
		}
	}
	if d.was == nil {
		return w.dress(d.e)
	}
	xattrs := d.was.Xattrs
	if d.noACL {
		xattrs = slices.DeleteFunc(slices.Clone(xattrs), func(x content.Xattr) bool { return x.Name == defaultACL })
	}
	if err := w.undress(d.e, xattrs); err != nil {
		return err
	}
	return w.alter(d.e, d.was, xattrs, false, d.touched)
}
