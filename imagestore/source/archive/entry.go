package archive

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// Tar adds the entries of a decompressed archive, and reads r to its end.
func (t *Tree) Tar(ctx context.Context, r io.Reader) error { return t.read(ctx, r, false) }

// Layer adds an archive as the next layer of a container image, and reads r to its end.
func (t *Tree) Layer(ctx context.Context, r io.Reader) error { return t.read(ctx, r, true) }

func (t *Tree) read(ctx context.Context, r io.Reader, layer bool) error {
	t.layer++
	in := &input{r: r, left: &t.left.Bytes, limit: t.limits.Bytes}
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		start := in.offset
		h, err := in.next()
		if err == io.EOF {
			if in.ended && !layer {
				err = fmt.Errorf("%w: it ends without its end marker: is it cut off?", ErrMalformed)
			} else {
				err = in.rest()
			}
			if err != nil {
				return fmt.Errorf("reading archive at byte %d: %w", start, err)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading archive: header at byte %d: %w", start, err)
		}
		if err := t.entry(in, h, layer); err != nil {
			return fmt.Errorf("reading archive: entry %q at byte %d: %w", h.Name, start, err)
		}
	}
}

// entry translates one entry and leaves in behind its content.
func (t *Tree) entry(in *input, h *header, layer bool) error {
	if t.left.Entries--; t.left.Entries < 0 {
		return fmt.Errorf("%w: more than %d entries", ErrLimit, t.limits.Entries)
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		for key := range h.PAXRecords {
			if key != "comment" {
				return fmt.Errorf("%w: a global header with %q is not supported", ErrMalformed, key)
			}
		}
		return nil
	case 'V': // GNU: the label of the archive
		return in.skip(h.stored())
	}
	parts, err := clean(h.Name)
	if err != nil {
		return err
	}
	if layer && len(parts) > 0 && strings.HasPrefix(parts[len(parts)-1], whiteout) {
		if err := t.whiteOut(parts); err != nil {
			return err
		}
		return in.skip(h.stored())
	}
	t.owners.learn(h)
	if len(parts) == 0 {
		if h.Typeflag != tar.TypeDir {
			return fmt.Errorf("%w: the root is not a directory", ErrMalformed)
		}
		return t.directory(t.root, h)
	}
	up, err := t.lookup(parts[:len(parts)-1], true)
	if err != nil {
		return err
	}
	name := parts[len(parts)-1]
	old := up.dir.children[name]
	if h.Typeflag == tar.TypeDir {
		return t.placeDirectory(up, name, old, h)
	}
	if h.Typeflag == tar.TypeLink {
		return t.link(up, name, old, h)
	}
	c, err := creation(h)
	if err != nil {
		return err
	}
	n := &node{parent: up, name: name}
	if c.Op == sendstream.OpSymlink {
		n.link = c.Link
		if err := t.remember(len(n.link)); err != nil {
			return err
		}
	}
	if err := t.replace(old, n); err != nil {
		return err
	}
	c.Path = n.path()
	if err := t.out.Write(&c); err != nil {
		return err
	}
	if c.Op == sendstream.OpMkfile {
		if err := t.content(in, h, c.Path); err != nil {
			return err
		}
	}
	if err := t.metadata(n, c.Path, h, c.Op != sendstream.OpSymlink); err != nil {
		return err
	}
	return t.times(c.Path, h.AccessTime, h.ModTime)
}

// creation gives the command that makes what the entry is, still without its path.
func creation(h *header) (sendstream.Command, error) {
	device := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		if h.Devmajor < 0 || h.Devmajor >= 1<<12 || h.Devminor < 0 || h.Devminor >= 1<<20 {
			return sendstream.Command{}, fmt.Errorf("%w: device %d:%d", ErrMalformed, h.Devmajor, h.Devminor)
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return sendstream.Command{Op: sendstream.OpMkfile}, nil
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > maxPath || strings.IndexByte(h.Linkname, 0) >= 0 {
			return sendstream.Command{}, fmt.Errorf("%w: a symbolic link to %.100q", ErrMalformed, h.Linkname)
		}
		return sendstream.Command{Op: sendstream.OpSymlink, Link: h.Linkname}, nil
	case tar.TypeChar:
		return sendstream.Command{Op: sendstream.OpMknod, Mode: unix.S_IFCHR, Rdev: device}, nil
	case tar.TypeBlock:
		return sendstream.Command{Op: sendstream.OpMknod, Mode: unix.S_IFBLK, Rdev: device}, nil
	case tar.TypeFifo:
		return sendstream.Command{Op: sendstream.OpMkfifo, Mode: unix.S_IFIFO}, nil
	}
	return sendstream.Command{}, fmt.Errorf("%w: type %q is not supported", ErrMalformed, h.Typeflag)
}

// replace puts n where old, if anything, was.
func (t *Tree) replace(old, n *node) error {
	if old != nil {
		if err := t.remove(old); err != nil {
			return err
		}
	}
	return t.attach(n)
}

func (t *Tree) placeDirectory(up *node, name string, old *node, h *header) error {
	if old != nil && old.dir != nil {
		t.touch(old)
		return t.directory(old, h)
	}
	n := newDirectory(up, name)
	if err := t.replace(old, n); err != nil {
		return err
	}
	if err := t.out.Write(&sendstream.Command{Op: sendstream.OpMkdir, Path: n.path()}); err != nil {
		return err
	}
	return t.directory(n, h)
}

// directory gives a directory that is there the metadata of an entry.
func (t *Tree) directory(n *node, h *header) error {
	path := n.path()
	for _, x := range n.dir.xattrs {
		if err := t.out.Write(&sendstream.Command{Op: sendstream.OpRemoveXattr, Path: path, XattrName: x}); err != nil {
			return err
		}
	}
	n.dir.named, n.dir.xattrs, n.dir.preset, n.acl = true, nil, nil, nil
	n.dir.atime, n.dir.mtime = h.AccessTime, h.ModTime
	return t.metadata(n, path, h, true)
}

func (t *Tree) link(up *node, name string, old *node, h *header) error {
	target, err := t.find(h.Linkname)
	if err != nil {
		return err
	}
	switch {
	case target == nil:
		return fmt.Errorf("%w: it is a hard link to %q, which does not exist", ErrMalformed, h.Linkname)
	case target.dir != nil:
		return fmt.Errorf("%w: it is a hard link to the directory %q", ErrMalformed, h.Linkname)
	case target == old:
		t.touch(old)
		return nil
	case target.within(old):
		return fmt.Errorf("%w: it is a hard link to %q, which it replaces", ErrMalformed, h.Linkname)
	}
	n := &node{parent: up, name: name, link: target.link, acl: target.acl}
	if err := t.remember(len(n.link)); err != nil {
		return err
	}
	if err := t.replace(old, n); err != nil {
		return err
	}
	return t.out.Write(&sendstream.Command{Op: sendstream.OpLink, Path: n.path(), Link: target.path()})
}

// zeroTime is what an entry without a time has.
func zeroTime(at time.Time) time.Time {
	if at.IsZero() {
		return time.Unix(0, 0)
	}
	return at
}
