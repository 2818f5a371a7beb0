package delta

import (
	"context"
	"fmt"
	"io"
	"strings"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
)

// minClone is the size in bytes from which on a file that the parent has elsewhere is cloned from there. A command to
// clone is some 150 bytes before compression.
const minClone = 512

// Write writes a delta that makes to from from, and returns its length in bytes. from.Dir may be empty: then changed
// files are written whole. Both manifests must be valid.
func Write(ctx context.Context, w io.Writer, from, to Tree, o Options) (raw int64, err error) {
	raw, err = pipeline{new: to.Dir, old: from.Dir, out: w, o: o}.run(ctx, func(_ context.Context, add adder) error {
		p := newPlan(from, to)
		add(&command{Op: sendstream.OpSnapshot, Path: o.Name, UUID: to.UUID, Ctransid: to.Ctransid,
			CloneUUID: from.UUID, CloneCtransid: from.Ctransid})
		for _, phase := range []func(adder) error{p.remove, p.make, p.directories} {
			if err := phase(add); err != nil {
				return err
			}
		}
		return add(&command{Op: sendstream.OpEnd})
	})
	if err != nil {
		return 0, fmt.Errorf("writing delta from %s to %s: %w", from.Dir, to.Dir, err)
	}
	return raw, nil
}

// plan is what becomes of every inode.
type plan struct {
	from, to Tree
	old, new map[string]*inode // by each of their paths
	bySum    map[[32]byte]*content.Entry
	touched  map[string]bool // directories whose names change
}

// inode is a file of one of the trees.
type inode struct {
	e     *content.Entry // of its first path
	names []string       // in order
	// same is, of a new inode, the old one that becomes it, and the other way round. They share a path, so that it is
	// there from the beginning to the end.
	same *inode
}

func inodes(m *content.Manifest) map[string]*inode {
	all := make(map[string]*inode, len(m.Entries))
	for i := range m.Entries {
		e := &m.Entries[i]
		n := all[e.Target]
		if e.Type != content.HardLink {
			n = &inode{e: e}
		}
		n.names = append(n.names, e.Path)
		all[e.Path] = n
	}
	return all
}

func newPlan(from, to Tree) *plan {
	p := &plan{from: from, to: to, old: inodes(from.Content), new: inodes(to.Content), touched: map[string]bool{},
		bySum: map[[32]byte]*content.Entry{}}
	for i := range to.Content.Entries {
		if e := &to.Content.Entries[i]; e.Type != content.HardLink {
			p.pair(p.new[e.Path])
		}
	}
	for i := range from.Content.Entries {
		e := &from.Content.Entries[i]
		if e.Type != content.Regular || e.Size < minClone {
			continue
		}
		if _, ok := p.bySum[e.SHA256]; !ok {
			p.bySum[e.SHA256] = e
		}
	}
	return p
}

// pair finds the old inode that becomes n: one that shares a path, best of the same content.
func (p *plan) pair(n *inode) {
	var best *inode
	for _, name := range n.names {
		o := p.old[name]
		if o == nil || o.same != nil || !canBecome(o.e, n.e) {
			continue
		}
		if best == nil || !sameData(best.e, n.e) && sameData(o.e, n.e) {
			best = o
		}
	}
	if best != nil {
		n.same, best.same = best, n
	}
}

// canBecome says whether commands can make an inode another.
func canBecome(a, b *content.Entry) bool {
	if a.Type != b.Type {
		return false
	}
	switch a.Type {
	case content.Symlink:
		return a.Target == b.Target
	case content.BlockDevice, content.CharDevice:
		return a.Major == b.Major && a.Minor == b.Minor
	}
	return true
}

// stays says whether what is at path before the delta is what has to be there after it.
func (p *plan) stays(path string) bool {
	o, n := p.old[path], p.new[path]
	return o != nil && n != nil && o.same == n
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

// remove takes away what does not stay, children before their directories.
func (p *plan) remove(add adder) error {
	entries := p.from.Content.Entries
	for i := len(entries) - 1; i > 0; i-- {
		e := &entries[i]
		if p.stays(e.Path) {
			continue
		}
		op := sendstream.OpUnlink
		if e.Type == content.Directory {
			op = sendstream.OpRmdir
		}
		p.touched[parent(e.Path)] = true
		if err := add(&command{Op: op, Path: e.Path}); err != nil {
			return err
		}
	}
	return nil
}

// make makes and changes everything but the metadata of directories.
func (p *plan) make(add adder) error {
	grows := p.growing()
	for i := range p.to.Content.Entries {
		e := &p.to.Content.Entries[i]
		n := p.new[e.Path]
		stays := p.stays(e.Path)
		if !stays {
			p.touched[parent(e.Path)] = true
		}
		var err error
		switch {
		case n.same == nil && e.Type != content.HardLink:
			err = add(p.creation(e))
		case e.Type == content.Directory:
			if _, ok := xattr(n.same.e.Xattrs, defaultACL); ok && grows[e.Path] {
				err = add(&command{Op: sendstream.OpRemoveXattr, Path: raw(e.Path), XattrName: defaultACL})
			}
		default:
			if !stays {
				err = add(&command{Op: sendstream.OpLink, Path: e.Path, Link: p.linkTo(n, e)})
			}
			if err == nil && e.Type != content.HardLink {
				err = p.change(add, e, n.same.e)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// linkTo gives the name of n that is there when e comes to be linked.
func (p *plan) linkTo(n *inode, e *content.Entry) string {
	if e.Type == content.HardLink {
		return e.Target
	}
	for _, name := range n.names {
		if p.stays(name) {
			return name
		}
	}
	return "" // n.same shares a name
}

// growing gives the directories in which something is created.
func (p *plan) growing() map[string]bool {
	grows := map[string]bool{}
	for i := range p.to.Content.Entries {
		if e := &p.to.Content.Entries[i]; e.Type != content.HardLink && p.new[e.Path].same == nil {
			grows[parent(e.Path)] = true
		}
	}
	return grows
}

func (p *plan) creation(e *content.Entry) step {
	c := &creation{e: e}
	if e.Type == content.Regular {
		c.clone = p.cloned(e)
	}
	return c
}

func (p *plan) change(add adder, e, was *content.Entry) error {
	if sameData(e, was) && sameMetadata(e, was) {
		return nil
	}
	c := &change{e: e, was: was}
	if !sameData(e, was) {
		c.clone = p.cloned(e)
	}
	return add(c)
}

// cloned finds a file of the parent that has the content, if there is one.
func (p *plan) cloned(e *content.Entry) clone {
	if s := p.bySum[e.SHA256]; s != nil && s.Size == e.Size {
		return clone{p.from.UUID, p.from.Ctransid, s.Path}
	}
	return clone{}
}

// directories sends what is left to say of them.
func (p *plan) directories(add adder) error {
	grows := p.growing()
	for i := range p.to.Content.Entries {
		e := &p.to.Content.Entries[i]
		if e.Type != content.Directory {
			continue
		}
		d := &directory{e: e, touched: p.touched[e.Path]}
		if o := p.new[e.Path].same; o != nil {
			d.was = o.e
			_, acl := xattr(o.e.Xattrs, defaultACL)
			d.noACL = acl && grows[e.Path]
			if !d.touched && !d.noACL && sameMetadata(e, d.was) {
				continue
			}
		}
		if err := add(d); err != nil {
			return err
		}
	}
	return nil
}
