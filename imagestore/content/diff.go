package content

import (
	"path"
	"slices"
)

// The kinds of Change.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
	Moved   = "moved"
)

// Change is one path by which two trees differ.
type Change struct {
	Kind string
	Path string // in the new tree; of what was removed: in the old one
	From string // of what was moved: the path in the old tree
	// of what was changed or moved: "type", "content", "target", "device", "mode", "owner", "xattrs", "links", "time"
	What []string
	Old  *Entry // the inode's own entry, also for a further name; nil for what was added
	New  *Entry // likewise; nil for what was removed
}

// Diff returns how the tree of b differs from that of a, ordered by path. A regular file that is gone and whose bytes
// are at a new path was moved there. With times, another modification time alone is a difference too.
func Diff(a, b *Manifest, times bool) []Change {
	d := diffing{inodes: [2]map[string]*inodeOf{inodesOf(a), inodesOf(b)}, times: times}
	i, j := 0, 0
	for i < len(a.Entries) || j < len(b.Entries) {
		switch {
		case j == len(b.Entries) || i < len(a.Entries) && less(a.Entries[i].Path, b.Entries[j].Path):
			p := a.Entries[i].Path
			d.changes = append(d.changes, Change{Kind: Removed, Path: p, Old: d.inodes[0][p].entry})
			i++
		case i == len(a.Entries) || less(b.Entries[j].Path, a.Entries[i].Path):
			p := b.Entries[j].Path
			d.changes = append(d.changes, Change{Kind: Added, Path: p, New: d.inodes[1][p].entry})
			j++
		default:
			d.both(a.Entries[i].Path)
			i, j = i+1, j+1
		}
	}
	d.findMoves()
	return d.changes
}

type diffing struct {
	inodes  [2]map[string]*inodeOf // of each path, before and after
	times   bool
	changes []Change
}

// inodeOf is what a path is, whichever of its names has the entry.
type inodeOf struct {
	entry *Entry
	names int
}

func inodesOf(m *Manifest) map[string]*inodeOf {
	out := make(map[string]*inodeOf, len(m.Entries))
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Type == HardLink && out[e.Target] != nil { // the target comes first, by the format
			out[e.Path] = out[e.Target]
			out[e.Path].names++
			continue
		}
		out[e.Path] = &inodeOf{e, 1}
	}
	return out
}

func (d *diffing) both(path string) {
	a, b := d.inodes[0][path], d.inodes[1][path]
	if what := d.compare(a, b); len(what) > 0 {
		d.changes = append(d.changes, Change{Kind: Changed, Path: path, What: what, Old: a.entry, New: b.entry})
	}
}

// compare names what is different of two inodes.
func (d *diffing) compare(x, y *inodeOf) (what []string) {
	a, b := x.entry, y.entry
	if a.Type != b.Type {
		return []string{"type"}
	}
	for _, c := range []struct {
		differ bool
		what   string
	}{
		{a.Size != b.Size || a.SHA256 != b.SHA256, "content"},
		{a.Target != b.Target, "target"},
		{a.Major != b.Major || a.Minor != b.Minor, "device"},
		{a.Mode != b.Mode, "mode"},
		{a.UID != b.UID || a.GID != b.GID, "owner"},
		{!slices.EqualFunc(a.Xattrs, b.Xattrs,
			func(v, w Xattr) bool { return v.Name == w.Name && string(v.Value) == string(w.Value) }), "xattrs"},
		{x.names != y.names, "links"},
		{d.times && a.Mtime != b.Mtime, "time"},
	} {
		if c.differ {
			what = append(what, c.what)
		}
	}
	return what
}

// findMoves makes one change of a removal and an addition of the same bytes. Of several removals one of the same file
// name is taken, else the first.
func (d *diffing) findMoves() {
	gone := map[[32]byte][]int{}
	movable := func(e *Entry) bool { return e != nil && e.Type == Regular && e.Size > 0 }
	for i, c := range d.changes {
		if c.Kind == Removed && movable(c.Old) {
			gone[c.Old.SHA256] = append(gone[c.Old.SHA256], i)
		}
	}
	spent := map[int]bool{}
	for _, sameName := range []bool{true, false} {
		for i := range d.changes {
			c := &d.changes[i]
			if c.Kind != Added || !movable(c.New) {
				continue
			}
			from := gone[c.New.SHA256]
			at := slices.IndexFunc(from, func(g int) bool {
				old := d.changes[g]
				return old.Old.Size == c.New.Size && (!sameName || path.Base(old.Path) == path.Base(c.Path))
			})
			if at < 0 {
				continue
			}
			old := d.changes[from[at]]
			spent[from[at]] = true
			gone[c.New.SHA256] = slices.Delete(from, at, at+1)
			c.Kind, c.From, c.Old = Moved, old.Path, old.Old
			c.What = d.compare(d.inodes[0][old.Path], d.inodes[1][c.Path])
		}
	}
	kept := d.changes[:0]
	for i, c := range d.changes {
		if !spent[i] {
			kept = append(kept, c)
		}
	}
	d.changes = kept
}

// Escape returns a path or target as the format writes it, in printable ASCII without spaces.
func Escape(path string) string { return escape(path) }
