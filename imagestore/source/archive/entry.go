package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"griddle/imagestore/sendstream"
)

// Tar adds what an archive, already decompressed, holds, and reads r to its end.
func (t *Tree) Tar(ctx context.Context, r io.Reader) error { return t.read(ctx, r, false) }

// Layer lays an archive over what is there, as the next layer of a container image, and reads r to its end.
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
			return fmt.Errorf("%w: the root is no directory", ErrMalformed)
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
	return sendstream.Command{}, fmt.Errorf("%w: type %q is not known", ErrMalformed, h.Typeflag)
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
		return fmt.Errorf("%w: it is a hard link to %q, which is not there", ErrMalformed, h.Linkname)
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

// metadata writes owner, mode and attributes. The order matters: a change of the owner takes away what comes behind it.
func (t *Tree) metadata(n *node, path string, h *header, hasMode bool) error {
	if h.Uid < 0 || int64(h.Uid) >= math.MaxUint32 || h.Gid < 0 || int64(h.Gid) >= math.MaxUint32 {
		return fmt.Errorf("%w: owner %d:%d", ErrMalformed, h.Uid, h.Gid)
	}
	if err := t.out.Write(&sendstream.Command{Op: sendstream.OpChown, Path: path, UID: uint64(h.Uid), GID: uint64(h.Gid)}); err != nil {
		return err
	}
	if hasMode {
		if err := t.out.Write(&sendstream.Command{Op: sendstream.OpChmod, Path: path, Mode: uint64(h.Mode & 0o7777)}); err != nil {
			return err
		}
	}
	xattrs, err := t.xattrs(n, h)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(xattrs))
	for name := range xattrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if n.dir != nil && name == aclDefault {
			n.dir.preset = []byte(xattrs[name])
			if err := t.remember(len(xattrs[name])); err != nil {
				return err
			}
			continue // what is made in the directory must not inherit it
		}
		if n.dir != nil {
			n.dir.xattrs = append(n.dir.xattrs, name)
			if err := t.remember(len(name)); err != nil {
				return err
			}
		}
		if err := t.out.Write(&sendstream.Command{Op: sendstream.OpSetXattr, Path: path, XattrName: name, Data: []byte(xattrs[name])}); err != nil {
			return err
		}
	}
	return nil
}

const (
	paxXattr      = "SCHILY.xattr."
	paxACL        = "SCHILY.acl."
	maxXattrName  = 255   // XATTR_NAME_MAX
	maxXattrValue = 65535 // one less than XATTR_SIZE_MAX: what a command can hold
)

// xattrs gives the extended attributes of an entry, ACLs among them. What of an ACL has to wait goes to n.acl.
func (t *Tree) xattrs(n *node, h *header) (map[string]string, error) {
	var all map[string]string
	set := func(name, value string) error {
		if name == "" || len(name) > maxXattrName || strings.IndexByte(name, 0) >= 0 || len(value) > maxXattrValue {
			return fmt.Errorf("%w: attribute %.100q of %d bytes", ErrMalformed, name, len(value))
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = value
		return nil
	}
	waits := texts{}
	for key, text := range h.PAXRecords {
		kind, ok := strings.CutPrefix(key, paxACL)
		if !ok || text == "" {
			continue
		}
		var to *string
		name := aclAccess
		switch kind {
		case "access":
			to = &waits.access
		case "default":
			to, name = &waits.preset, aclDefault
		default:
			return nil, fmt.Errorf("%w: %q is not supported", ErrMalformed, key)
		}
		if _, ok := h.PAXRecords[paxXattr+name]; ok {
			continue // which says it in numbers
		}
		value, err := parseACL(text, t.owners.id)
		if errors.Is(err, errUnknown) {
			*to = text
			if err := t.remember(len(text)); err != nil {
				return nil, err
			}
			continue
		}
		if err == nil {
			err = set(name, string(value))
		}
		if err != nil {
			return nil, err
		}
	}
	if waits != (texts{}) {
		n.acl = &waits
	}
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok || strings.HasPrefix(name, "btrfs.") {
			continue
		}
		name = strings.NewReplacer("%3D", "=", "%25", "%").Replace(name)
		if err := set(name, value); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// zeroTime is what an entry without a time has.
func zeroTime(at time.Time) time.Time {
	if at.IsZero() {
		return time.Unix(0, 0)
	}
	return at
}
