package content

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"

	"griddle/imagestore/sendstream"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// state says what the Builder knows of a file's content.
type state byte

const (
	known   state = iota // size and sum are right
	running              // hash has seen the bytes up to pos
	unknown              // to be read from the snapshot
)

// maxGap is the longest hole, in bytes, that is hashed while the stream waits. A longer one is left to Finish, which
// can be interrupted.
const maxGap = 64 << 20

// inode is a file of the tree as the commands so far have made it.
type inode struct {
	typ          Type
	mode         uint32
	uid, gid     uint32
	mtime        Time
	xattrs       []Xattr // ordered by name; never changed in place, as the parent's manifest may own it
	target       string
	major, minor uint32
	children     map[string]*inode

	content state
	fresh   bool // while running: what was not written yet is a hole, not older content
	size    int64
	pos     int64
	hash    hash.Hash // nil until the first byte
	sum     [32]byte
}

// load makes a tree of the parent's manifest, which Parse has checked.
func load(m *Manifest) *inode {
	byPath := make(map[string]*inode, len(m.Entries))
	for i := range m.Entries {
		e := &m.Entries[i]
		n := &inode{
			typ: e.Type, mode: e.Mode, uid: e.UID, gid: e.GID, mtime: e.Mtime, xattrs: e.Xattrs, target: e.Target,
			major: e.Major, minor: e.Minor, size: e.Size, sum: e.SHA256,
		}
		switch e.Type {
		case Directory:
			n.children = map[string]*inode{}
		case HardLink:
			n = byPath[e.Target]
		}
		byPath[e.Path] = n
		if e.Path != "." {
			byPath[parent(e.Path)].children[e.Path[strings.LastIndexByte(e.Path, '/')+1:]] = n
		}
	}
	return byPath["."]
}

func (n *inode) entry(path string) Entry {
	return Entry{
		Path: path, Type: n.typ, Mode: n.mode, UID: n.uid, GID: n.gid, Mtime: n.mtime, Target: n.target,
		Major: n.major, Minor: n.minor, Xattrs: n.xattrs,
	}
}

func (n *inode) setXattr(name string, value []byte) {
	if !wanted(name) {
		return
	}
	i, found := slices.BinarySearchFunc(n.xattrs, name, func(x Xattr, name string) int {
		return strings.Compare(x.Name, name)
	})
	out := slices.Clone(n.xattrs)
	x := Xattr{name, bytes.Clone(value)}
	if found {
		out[i] = x
	} else {
		out = slices.Insert(out, i, x)
	}
	n.xattrs = out
}

func (n *inode) removeXattr(name string) {
	out := slices.Clone(n.xattrs)
	n.xattrs = slices.DeleteFunc(out, func(x Xattr) bool { return x.Name == name })
}

// changeContent applies the commands that touch the bytes of a regular file.
func (b *Builder) changeContent(n *inode, c *sendstream.Command) error {
	const limit = math.MaxInt64
	switch c.Op {
	case sendstream.OpWrite:
		if c.FileOffset > limit-uint64(len(c.Data)) {
			return fmt.Errorf("%w: it writes at %d", ErrStream, c.FileOffset)
		}
		n.write(int64(c.FileOffset), c.Data, b.gap)
	case sendstream.OpTruncate:
		if c.Size > limit {
			return fmt.Errorf("%w: it makes the file %d bytes long", ErrStream, c.Size)
		}
		n.truncate(int64(c.Size))
	case sendstream.OpClone, sendstream.OpEncodedWrite, sendstream.OpFallocate:
		n.lose()
	case sendstream.OpUpdateExtent: // the stream was made without data
		b.touched += int64(min(c.Size, limit))
		n.lose()
	default:
		return fmt.Errorf("%w: it carries no content (made with --no-data?)", ErrStream)
	}
	return nil
}

// write hashes data where it continues what was hashed.
func (n *inode) write(off int64, data []byte, gap func(hash.Hash, int64)) {
	if len(data) == 0 {
		return
	}
	if n.content == known && off == 0 {
		n.content, n.fresh, n.pos, n.hash = running, n.size == 0, 0, nil
	}
	if n.content != running || off < n.pos || off > n.pos && (!n.fresh || off-n.pos > maxGap) {
		n.lose()
		return
	}
	if n.hash == nil {
		n.hash = sha256.New()
	}
	gap(n.hash, off-n.pos)
	n.hash.Write(data)
	n.pos = off + int64(len(data))
	n.size = max(n.size, n.pos)
}

func (n *inode) truncate(size int64) {
	switch {
	case size == 0:
		n.content, n.fresh, n.pos, n.hash = running, true, 0, nil
	case n.content == known && size != n.size:
		n.lose()
	case n.content == running && size < n.pos:
		n.lose()
	case n.content == running && size > n.size && !n.fresh:
		n.lose() // between pos and the old size there is older content, or will be new content
	}
	n.size = size
}

// lose gives up on the stream as the source of the file's content.
func (n *inode) lose() { n.content, n.hash = unknown, nil }

// settle ends the hashing of a file that is whole, to be rid of the hash's memory. The kernel sends a file's times
// behind all else.
func (n *inode) settle() {
	if n.content == running && n.pos == n.size && n.hash != nil {
		n.hash.Sum(n.sum[:0])
		n.content, n.hash = known, nil
	}
}

// finish says whether size and sum could be had without reading the file.
func (n *inode) finish(gap func(hash.Hash, int64)) bool {
	if n.content == running && n.pos < n.size && (!n.fresh || n.size-n.pos > maxGap) {
		n.lose()
	}
	if n.content == running {
		if n.hash == nil {
			n.hash = sha256.New()
		}
		gap(n.hash, n.size-n.pos)
		n.hash.Sum(n.sum[:0])
		n.content, n.hash = known, nil
	}
	return n.content == known
}

// gap hashes count zeros.
func (b *Builder) gap(h hash.Hash, count int64) {
	if count > 0 && b.zeros == nil {
		b.zeros = make([]byte, 64<<10)
	}
	for count > 0 {
		k := min(count, int64(len(b.zeros)))
		h.Write(b.zeros[:k])
		count -= k
	}
}

// hashFrom fills in size and digest of entries from their files below the directory tree.
func hashFrom(ctx context.Context, tree string, entries []*Entry) error {
	if len(entries) == 0 {
		return nil
	}
	root, err := os.Open(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, e := range entries {
		g.Go(func() error {
			how := unix.OpenHow{
				Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK,
				Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
			}
			fd, err := unix.Openat2(int(root.Fd()), e.Path, &how)
			if err != nil {
				return fmt.Errorf("opening %s: %w", escape(e.Path), err)
			}
			f := os.NewFile(uintptr(fd), e.Path)
			defer f.Close()
			e.SHA256, e.Size, err = hashFile(ctx, f, make([]byte, 256<<10), nil)
			if err != nil {
				return fmt.Errorf("reading %s: %w", escape(e.Path), err)
			}
			return nil
		})
	}
	return g.Wait()
}
