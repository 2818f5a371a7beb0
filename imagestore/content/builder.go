package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/sendstream"

	"golang.org/x/sys/unix"
)

// ErrStream is wrapped by the Builder's errors about commands that do not fit together.
var ErrStream = errors.New("the stream does not fit the tree")

// Builder computes the manifest of a tree from the send stream that makes it: Apply every command in turn, or give
// the whole stream to Read, then call Finish.
//
// A file that is written from its beginning to its end, with or without holes, as the kernel's sender does it, is
// hashed as its bytes pass. If a stream does anything else to a file (clones, overlapping and backward writes,
// encoded writes, punched holes, a delta's partial overwrites), Finish reads that file from the snapshot that is
// sent.
type Builder struct {
	// Stream is what the first command says: the identity of this tree and of the stream's parent.
	Stream struct {
		UUID           sendstream.UUID
		Ctransid       uint64
		ParentUUID     sendstream.UUID // zero for a full stream
		ParentCtransid uint64
	}

	parent *Manifest
	tree   string
	root   *inode
	began  bool
	ended  bool
	last   struct { // the last path looked up: commands for one file follow one another
		path string
		node *inode
	}
	zeros   []byte
	touched int64
}

// Touched is how many bytes of content a stream without data named so far.
func (b *Builder) Touched() int64 { return b.touched }

// NewBuilder returns a Builder of a tree that is being sent from the read-only snapshot at the directory tree. parent
// is the manifest of a delta's parent, and nil for a full stream.
func NewBuilder(parent *Manifest, tree string) *Builder {
	return &Builder{parent: parent, tree: tree}
}

// Read applies the one stream that r holds. The errors of a broken stream name its offset.
func (b *Builder) Read(r io.Reader) error {
	sr, err := sendstream.NewReader(r)
	if err != nil {
		return err
	}
	for {
		c, err := sr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.Apply(c); err != nil {
			return err
		}
	}
}

// Apply takes the next command. It keeps nothing of c.Data.
func (b *Builder) Apply(c *sendstream.Command) error {
	err := b.apply(c)
	if err != nil {
		return fmt.Errorf("building content manifest: %v at byte %d, path %s: %w", c.Op, c.Offset, escape(c.Path), err)
	}
	return nil
}

func (b *Builder) apply(c *sendstream.Command) error {
	if b.ended {
		return fmt.Errorf("%w: a second stream follows", ErrStream)
	}
	if first := c.Op == sendstream.OpSubvol || c.Op == sendstream.OpSnapshot; first == b.began {
		return fmt.Errorf("%w: the command is not allowed here", ErrStream)
	}
	switch c.Op {
	case sendstream.OpSubvol, sendstream.OpSnapshot:
		return b.begin(c)
	case sendstream.OpMkfile:
		return b.create(c.Path, &inode{typ: Regular, content: running, fresh: true})
	case sendstream.OpMkdir:
		return b.create(c.Path, &inode{typ: Directory, children: map[string]*inode{}})
	case sendstream.OpMknod:
		n := &inode{typ: typeOf(uint32(c.Mode)), mode: uint32(c.Mode) & 0o7777}
		switch n.typ {
		case BlockDevice, CharDevice:
			n.major, n.minor = unix.Major(c.Rdev), unix.Minor(c.Rdev)
		case Fifo, Socket:
		default:
			return fmt.Errorf("%w: mode %o is not that of a node", ErrStream, c.Mode)
		}
		return b.create(c.Path, n)
	case sendstream.OpMkfifo:
		return b.create(c.Path, &inode{typ: Fifo})
	case sendstream.OpMksock:
		return b.create(c.Path, &inode{typ: Socket})
	case sendstream.OpSymlink:
		return b.create(c.Path, &inode{typ: Symlink, mode: 0o777, target: c.Link})
	case sendstream.OpRename:
		return b.rename(c.Path, c.To)
	case sendstream.OpLink:
		n, err := b.find(c.Link)
		if err != nil {
			return err
		}
		if n.typ == Directory {
			return fmt.Errorf("%w: %s is a directory", ErrStream, escape(c.Link))
		}
		return b.create(c.Path, n)
	case sendstream.OpUnlink:
		return b.remove(c.Path, false)
	case sendstream.OpRmdir:
		return b.remove(c.Path, true)
	case sendstream.OpEnd:
		b.ended = true
		return nil
	case sendstream.OpFileAttr:
		return nil // not part of the content
	case sendstream.OpEnableVerity:
		return nil // the content stays what it was
	}
	n, err := b.find(c.Path)
	if err != nil {
		return err
	}
	return b.change(n, c)
}

// change applies the commands that alter an inode that is there.
func (b *Builder) change(n *inode, c *sendstream.Command) error {
	switch c.Op {
	case sendstream.OpChmod:
		if n.typ != Symlink {
			n.mode = uint32(c.Mode) & 0o7777
		}
	case sendstream.OpChown:
		n.uid, n.gid = uint32(c.UID), uint32(c.GID)
	case sendstream.OpUtimes:
		n.mtime = timeOf(c.Mtime)
		n.settle()
	case sendstream.OpSetXattr:
		n.setXattr(c.XattrName, c.Data)
	case sendstream.OpRemoveXattr:
		n.removeXattr(c.XattrName)
	default:
		if n.typ != Regular {
			return fmt.Errorf("%w: it is %s", ErrStream, n.typ.words())
		}
		return b.changeContent(n, c)
	}
	return nil
}

func (b *Builder) begin(c *sendstream.Command) error {
	b.began = true
	b.Stream.UUID, b.Stream.Ctransid = c.UUID, c.Ctransid
	if c.Op == sendstream.OpSubvol {
		b.root = &inode{typ: Directory, mode: 0o755, children: map[string]*inode{}}
		return nil
	}
	if b.parent == nil {
		return fmt.Errorf("%w: it is a delta and its parent is not known", ErrStream)
	}
	b.Stream.ParentUUID, b.Stream.ParentCtransid = c.CloneUUID, c.CloneCtransid
	b.root = load(b.parent)
	b.parent = nil
	return nil
}

// find gives the inode at path.
func (b *Builder) find(path string) (*inode, error) {
	if path == b.last.path && b.last.node != nil {
		return b.last.node, nil
	}
	n := b.root
	for name := range parts(path) {
		if n.typ != Directory {
			return nil, fmt.Errorf("%w: a directory above %s is %s", ErrStream, escape(path), n.typ.words())
		}
		if n = n.children[name]; n == nil {
			return nil, fmt.Errorf("%w: there is no %s", ErrStream, escape(path))
		}
	}
	b.last.path, b.last.node = path, n
	return n, nil
}

// place gives the directory that holds path, and the last part of it.
func (b *Builder) place(path string) (*inode, string, error) {
	if path == "" {
		return nil, "", fmt.Errorf("%w: the root cannot be made, moved or removed", ErrStream)
	}
	if err := checkPath(path); err != nil || path == "." {
		return nil, "", fmt.Errorf("%w: bad path %s", ErrStream, escape(path))
	}
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i], path[i+1:]
	}
	n, err := b.find(dir)
	if err != nil {
		return nil, "", err
	}
	if n.typ != Directory {
		return nil, "", fmt.Errorf("%w: %s is %s", ErrStream, escape(dir), n.typ.words())
	}
	return n, name, nil
}

func (b *Builder) create(path string, n *inode) error {
	dir, name, err := b.place(path)
	if err != nil {
		return err
	}
	if dir.children[name] != nil {
		return fmt.Errorf("%w: it exists already", ErrStream)
	}
	dir.children[name] = n
	return nil
}

func (b *Builder) rename(from, to string) error {
	dir, name, err := b.place(from)
	if err != nil {
		return err
	}
	n := dir.children[name]
	if n == nil {
		return fmt.Errorf("%w: there is no %s", ErrStream, escape(from))
	}
	if n.typ == Directory && strings.HasPrefix(to, from+"/") {
		return fmt.Errorf("%w: %s cannot move into itself", ErrStream, escape(from))
	}
	toDir, toName, err := b.place(to)
	if err != nil {
		return err
	}
	if old := toDir.children[toName]; old != nil {
		if old == n {
			return nil // rename(2) of two names of one inode does nothing
		}
		if (old.typ == Directory) != (n.typ == Directory) || len(old.children) > 0 {
			return fmt.Errorf("%w: %s is in the way", ErrStream, escape(to))
		}
	}
	b.last.node = nil
	delete(dir.children, name)
	toDir.children[toName] = n
	return nil
}

func (b *Builder) remove(path string, directory bool) error {
	dir, name, err := b.place(path)
	if err != nil {
		return err
	}
	n := dir.children[name]
	if n == nil || (n.typ == Directory) != directory || len(n.children) > 0 {
		return fmt.Errorf("%w: nothing of that kind is there to remove", ErrStream)
	}
	b.last.node = nil
	delete(dir.children, name)
	return nil
}

// Finish reads from the snapshot what the stream did not say, and returns the manifest. The Builder cannot be used
// after that.
func (b *Builder) Finish(ctx context.Context) (*Manifest, error) {
	if !b.ended {
		return nil, fmt.Errorf("building content manifest: %w: it has no end", ErrStream)
	}
	m := &Manifest{}
	var inodes []*inode
	seen := map[*inode]bool{}
	long := ""
	var walk func(n *inode, path string)
	walk = func(n *inode, path string) {
		if len(path) > MaxPath {
			long = path
			return
		}
		m.Entries = append(m.Entries, Entry{Path: path})
		inodes = append(inodes, n)
		for name, child := range n.children {
			if path != "." {
				name = path + "/" + name
			}
			walk(child, name)
		}
	}
	walk(b.root, ".")
	if long != "" || len(m.Entries) > MaxEntries {
		return nil, fmt.Errorf("building content manifest: %w: %d paths, the longest %.60q", ErrStream,
			len(m.Entries), long)
	}
	order := make([]int, len(inodes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, c := m.Entries[i].Path, m.Entries[j].Path
		switch {
		case a == c:
			return 0
		case less(a, c):
			return -1
		}
		return 1
	})
	out := make([]Entry, len(order))
	first := map[*inode]string{}
	var unread []*Entry
	for k, i := range order {
		n, path := inodes[i], m.Entries[i].Path
		e := &out[k]
		if seen[n] {
			*e = Entry{Path: path, Type: HardLink, Target: first[n]}
			continue
		}
		seen[n], first[n] = true, path
		*e = n.entry(path)
		if n.typ == Regular && !n.finish(b.gap) {
			unread = append(unread, e)
			continue
		}
		e.Size, e.SHA256 = n.size, n.sum
	}
	m.Entries = out
	if err := hashFrom(ctx, b.tree, unread); err != nil {
		return nil, fmt.Errorf("building content manifest: %w", err)
	}
	return m, nil
}

func timeOf(t time.Time) Time { return Time{t.Unix(), int32(t.Nanosecond())} }

// parts iterates over the names in a path of a stream; "" has none.
func parts(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for path != "" {
			name, rest, _ := strings.Cut(path, "/")
			if !yield(name) {
				return
			}
			path = rest
		}
	}
}
