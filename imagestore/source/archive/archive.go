// Package archive makes a btrfs send stream from tar archives: from one, or from several that are layers of a
// container image.
//
// Call New, then Tree.Tar for an archive or Tree.Layer for each layer, the lowest first, then Tree.Finish. Decompress
// decompresses gzip, bzip2, xz, zstd and lz4, by their magic numbers.
//
// No file is touched here. A Tree knows what paths there are so far and of which type, and translates each entry
// into the commands that lead from there to what the entry wants; the stream is made for a receiver that keeps to its
// directory by itself (package receive), so what an archive can reach is bounded twice.
//
// # What an entry means
//
//   - Leading "/" and "./" are dropped; a name with ".." is refused. A directory that is not named is made, with mode
//     0755, owner 0 and time 0. A path that leads through a symbolic link goes where the link leads in the tree, which
//     is the root of absolute links: nothing outside of the tree can be named.
//   - An entry replaces what is at its path, with all that is below it, but for a directory in place of a directory,
//     whose owner, mode, time and attributes are replaced and whose content stays.
//   - A hard link must name what is there by then. A hard link's own metadata are ignored: they are the file's.
//   - PAX times have nanoseconds; SCHILY.xattr.* are extended attributes ("%3D" and "%25" in names as GNU tar writes
//     them), SCHILY.acl.access and .default are POSIX ACLs as text. Names in them become numbers by a fourth field as
//     star and bsdtar write it, or by what the archive's own entries say of owners, or by Options.Owner.
//     Attributes "btrfs.*" are left out.
//   - GNU sparse files, in all four forms, get the holes that the archive says. In other files runs of zeros of
//     64 KiB, aligned, become holes: the content is the same and takes less room.
//   - An archive ends with a block of zeros, which is missing from one that is cut off; behind it only
//     zeros may follow.
//
// Of a layer, ".wh.NAME" removes NAME and ".wh..wh..opq" the content of its directory as far as they come from lower
// layers; other names with ".wh..wh." are aufs's own and are left out. A layer needs no end: its digest says that it
// is whole.
//
// # Limits
//
// Limits.Bytes bounds what comes out of decompression, Limits.Entries the entries; the names, attributes and times
// that have to be remembered until the end take at most 1 GiB, and the files' sizes, holes included, 16 TiB together.
// A name has at most 255 bytes, a path and a link's target 4095, the headers of one entry 16 MiB. Decompress takes no
// window above 256 MiB.
//
// Sources: POSIX.1-2017 pax; the GNU tar manual, "Storing Sparse Files"; star(4); OCI image-spec layer.md; acl(5),
// Linux include/uapi/linux/posix_acl_xattr.h.
package archive

import (
	"errors"
	"fmt"
	"io"
	"time"

	"griddle/imagestore/sendstream"
)

// Errors on which callers branch. Both come with the entry's name and place.
var (
	// ErrMalformed is wrapped if the input is not an archive, or says what is not possible.
	ErrMalformed = errors.New("malformed archive")
	// ErrLimit is wrapped if one of the Limits is reached.
	ErrLimit = errors.New("archive is larger than allowed")
)

// Limits bound what an archive may become. Zero means the default.
type Limits struct {
	Bytes   int64 // that come out of decompression, headers included, all layers together; default 1 TiB
	Entries int   // all layers together; default 4 Mi
}

const (
	defaultBytes   = 1 << 40
	defaultEntries = 4 << 20
	maxRemembered  = 1 << 30
	maxApparent    = 16 << 40
	maxHeaders     = 16 << 20
	maxName        = 255
	maxPath        = 4095
	maxLinks       = 40 // symbolic links in one path, as in the kernel
)

// Options of the stream.
type Options struct {
	Name     string // of the subvolume
	UUID     sendstream.UUID
	Ctransid uint64
	Limits   Limits

	// Owner returns the number of a user or group that an ACL names and the archive does not; nil knows none.
	Owner func(name string, group bool) (id uint32, ok bool)
}

// Tree is the tree that the archives so far make.
type Tree struct {
	out         *sendstream.Writer
	root        *node
	layer       int32 // the one that is being read, from 1 on
	owners      owners
	lookupOwner lookup // where owners do not know
	left        Limits // what is left of the limits
	limits      Limits // in full, for messages
	memory      int64
	logical     int64 // sum of the sizes of files
	buf         []byte
	zeros       []byte
}

// New begins a full stream on w. It is of version 2 of the format, because long paths leave no room for content in the
// commands of version 1.
func New(w io.Writer, o Options) (*Tree, error) {
	if o.Limits.Bytes == 0 {
		o.Limits.Bytes = defaultBytes
	}
	if o.Limits.Entries == 0 {
		o.Limits.Entries = defaultEntries
	}
	out, err := sendstream.NewWriter(w, 2)
	if err != nil {
		return nil, err
	}
	t := &Tree{
		out: out, root: newDirectory(nil, ""), left: o.Limits, limits: o.Limits, lookupOwner: o.Owner,
		owners: owners{users: map[string]uint32{}, groups: map[string]uint32{}},
		buf:    make([]byte, 4*holeSize), zeros: make([]byte, holeSize),
	}
	t.root.dir.named = true
	err = t.out.Write(&sendstream.Command{Op: sendstream.OpSubvol, Path: o.Name, UUID: o.UUID, Ctransid: o.Ctransid})
	if err == nil {
		err = t.own("", 0, 0, 0o755)
	}
	return t, err
}

// Finish writes what comes last, the times and default ACLs of directories, and ends the stream.
func (t *Tree) Finish() error {
	if err := t.finish(t.root, ""); err != nil {
		return fmt.Errorf("finishing archive: %w", err)
	}
	return t.out.End()
}

func (t *Tree) finish(n *node, path string) error {
	for _, name := range n.sorted() {
		if err := t.finish(n.dir.children[name], join(path, name)); err != nil {
			return err
		}
	}
	if n.acl != nil && n.acl.access != "" {
		if err := t.setACL(path, aclAccess, n.acl.access); err != nil {
			return err
		}
		n.acl.access = "" // the other names of a hard link share it
	}
	if n.dir == nil {
		return nil
	}
	if n.acl != nil && n.acl.preset != "" {
		if err := t.setACL(path, aclDefault, n.acl.preset); err != nil {
			return err
		}
	}
	if len(n.dir.preset) > 0 {
		if err := t.out.Write(&sendstream.Command{Op: sendstream.OpSetXattr, Path: path, XattrName: aclDefault,
			Data: n.dir.preset}); err != nil {
			return err
		}
	}
	return t.times(path, n.dir.atime, n.dir.mtime)
}

func (t *Tree) times(path string, atime, mtime time.Time) error {
	if atime.IsZero() {
		atime = mtime
	}
	return t.out.Write(&sendstream.Command{Op: sendstream.OpUtimes, Path: path, Atime: atime,
		Mtime: mtime, Ctime: mtime})
}

func (t *Tree) own(path string, uid, gid uint32, mode uint64) error {
	if err := t.out.Write(&sendstream.Command{Op: sendstream.OpChown, Path: path, UID: uint64(uid),
		GID: uint64(gid)}); err != nil {
		return err
	}
	return t.out.Write(&sendstream.Command{Op: sendstream.OpChmod, Path: path, Mode: mode})
}
