package archive

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/sendstream"
)

// A node is a path of the tree.
type node struct {
	parent *node
	name   string
	layer  int32      // that named it, or something below it, last
	link   string     // what a symbolic link says; "" for all else
	dir    *directory // nil for all else
	acl    *texts     // ACLs that cannot be told yet; the names of one file share it
}

type directory struct {
	children     map[string]*node
	named        bool     // by an entry; else it was made for what is below it
	xattrs       []string // that it has, but for the default ACL
	preset       []byte   // the default ACL
	atime, mtime time.Time
}

// texts are ACLs with names that nobody has given a number to yet.
type texts struct{ access, preset string }

// perNode is about what a node takes in memory, without its name.
const perNode = 200

func newDirectory(parent *node, name string) *node {
	return &node{parent: parent, name: name, dir: &directory{children: map[string]*node{}, mtime: time.Unix(0, 0)}}
}

func (n *node) sorted() []string {
	if n.dir == nil {
		return nil
	}
	names := make([]string, 0, len(n.dir.children))
	for name := range n.dir.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	var parts []string
	for ; n.parent != nil; n = n.parent {
		parts = append(parts, n.name)
	}
	slices.Reverse(parts)
	return strings.Join(parts, "/")
}

// within says whether n is above, or something below it.
func (n *node) within(above *node) bool {
	for ; n != nil; n = n.parent {
		if n == above {
			return true
		}
	}
	return false
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// clean gives the parts of an entry's name, none for the root.
func clean(name string) ([]string, error) {
	if strings.IndexByte(name, 0) >= 0 {
		return nil, fmt.Errorf("%w: a NUL byte in a name", ErrMalformed)
	}
	if name == "" {
		return nil, fmt.Errorf("%w: an empty name", ErrMalformed)
	}
	if len(name) > 2*maxPath {
		return nil, fmt.Errorf("%w: a name of %d bytes", ErrMalformed, len(name))
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
		case part == "..":
			return nil, fmt.Errorf("%w: %q leads upwards", ErrMalformed, name)
		case len(part) > maxName:
			return nil, fmt.Errorf("%w: a name of %d bytes, limit %d", ErrMalformed, len(part), maxName)
		default:
			parts = append(parts, part)
		}
	}
	return parts, nil
}

// lookup walks to the directory that the parts name, through symbolic links of the tree. Where create is set, what is
// missing is made; else the result is nil.
func (t *Tree) lookup(parts []string, create bool) (*node, error) {
	at, links := t.root, 0
	rest := slices.Clone(parts)
	slices.Reverse(rest) // the next one is the last
	for len(rest) > 0 {
		part := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		switch part {
		case "", ".":
			continue
		case "..": // of a link; above the root is the root
			if at.parent != nil {
				at = at.parent
			}
			continue
		}
		next := at.dir.children[part]
		switch {
		case next == nil && !create:
			return nil, nil
		case next == nil:
			var err error
			if next, err = t.imply(at, part); err != nil {
				return nil, err
			}
		case next.link != "":
			if links++; links > maxLinks {
				return nil, fmt.Errorf("%w: %q leads through more than %d symbolic links", ErrMalformed,
					strings.Join(parts, "/"), maxLinks)
			}
			if next.link[0] == '/' {
				at = t.root
			}
			into := strings.Split(next.link, "/")
			slices.Reverse(into)
			if rest = append(rest, into...); len(rest) > maxPath {
				return nil, fmt.Errorf("%w: %q leads too far", ErrMalformed, strings.Join(parts, "/"))
			}
			continue
		case next.dir == nil:
			if !create {
				return nil, nil
			}
			return nil, fmt.Errorf("%w: %q is not a directory", ErrMalformed, next.path())
		}
		at = next
	}
	return at, nil
}

// find gives what an entry's name names, or nil. The last part is not followed.
func (t *Tree) find(name string) (*node, error) {
	parts, err := clean(name)
	if err != nil || len(parts) == 0 {
		return t.root, err
	}
	dir, err := t.lookup(parts[:len(parts)-1], false)
	if dir == nil || err != nil {
		return nil, err
	}
	return dir.dir.children[parts[len(parts)-1]], nil
}

// imply makes a directory that no entry has named.
func (t *Tree) imply(at *node, name string) (*node, error) {
	if len(name) > maxName { // of a link
		return nil, fmt.Errorf("%w: a name of %d bytes, limit %d", ErrMalformed, len(name), maxName)
	}
	n := newDirectory(at, name)
	if err := t.attach(n); err != nil {
		return nil, err
	}
	path := n.path()
	if err := t.out.Write(&sendstream.Command{Op: sendstream.OpMkdir, Path: path}); err != nil {
		return nil, err
	}
	return n, t.own(path, 0, 0, 0o755)
}

// attach puts a new node into the tree, and marks it and all above as of this layer.
func (t *Tree) attach(n *node) error {
	if err := t.remember(perNode + len(n.name)); err != nil {
		return err
	}
	if path := n.path(); len(path) > maxPath {
		return fmt.Errorf("%w: a path of %d bytes, limit %d", ErrMalformed, len(path), maxPath)
	}
	n.parent.dir.children[n.name] = n
	t.touch(n)
	return nil
}

func (t *Tree) touch(n *node) {
	for ; n != nil && n.layer != t.layer; n = n.parent {
		n.layer = t.layer
	}
}

func (t *Tree) remember(n int) error {
	if t.memory += int64(n); t.memory > maxRemembered {
		return fmt.Errorf("%w: names and attributes of more than %d bytes", ErrLimit, maxRemembered)
	}
	return nil
}

// remove takes away a node with all that is below it.
func (t *Tree) remove(n *node) error {
	op := sendstream.OpUnlink
	if n.dir != nil {
		op = sendstream.OpRmdir
		for _, name := range n.sorted() {
			if err := t.remove(n.dir.children[name]); err != nil {
				return err
			}
		}
	}
	if err := t.out.Write(&sendstream.Command{Op: op, Path: n.path()}); err != nil {
		return err
	}
	delete(n.parent.dir.children, n.name)
	n.parent = nil
	t.memory -= int64(perNode + len(n.name))
	return nil
}

// prune removes from a directory what lower layers have left there.
func (t *Tree) prune(n *node) error {
	for _, name := range n.sorted() {
		child := n.dir.children[name]
		switch {
		case child.layer != t.layer:
			if err := t.remove(child); err != nil {
				return err
			}
		case child.dir != nil:
			if err := t.prune(child); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	whiteout    = ".wh."
	whiteoutOwn = ".wh..wh."
	opaque      = ".wh..wh..opq"
)

// whiteOut does what a layer's ".wh." entry says.
func (t *Tree) whiteOut(parts []string) error {
	name := parts[len(parts)-1]
	if name != opaque && strings.HasPrefix(name, whiteoutOwn) {
		return nil
	}
	dir, err := t.lookup(parts[:len(parts)-1], false)
	if dir == nil || err != nil {
		return err
	}
	if name == opaque {
		return t.prune(dir)
	}
	name = strings.TrimPrefix(name, whiteout)
	if name == "" || name == "." || name == ".." {
		return fmt.Errorf("%w: it removes %q", ErrMalformed, name)
	}
	n := dir.dir.children[name]
	switch {
	case n == nil:
		return nil
	case n.layer != t.layer:
		return t.remove(n)
	case n.dir != nil:
		return t.prune(n)
	}
	return nil
}
