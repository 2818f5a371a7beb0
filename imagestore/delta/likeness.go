package delta

import (
	"cmp"
	"slices"
	"strings"

	"griddle/imagestore/content"
)

const (
	maxLike   = 3       // files of the parent that are named for one
	maxBucket = 16      // files of one kind of likeness that are looked at
	window    = 4 << 20 // bytes of an old file that are named for a part of a new one
)

// Range is a part of a regular file.
type Range struct {
	Path           string
	Offset, Length int64 // bytes
}

// Likeness finds files of a tree whose content may be similar to that of a new file, by their names and sizes.
type Likeness struct {
	byPath map[string]*content.Entry      // regular files, by all their paths
	byKey  [3]map[string][]*content.Entry // by keys
}

// NewLikeness reads the manifest of the tree.
func NewLikeness(m *content.Manifest) *Likeness {
	l := &Likeness{byPath: map[string]*content.Entry{}}
	for i := range l.byKey {
		l.byKey[i] = map[string][]*content.Entry{}
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		top := e
		if e.Type == content.HardLink {
			top = l.byPath[e.Target]
		}
		if top == nil || top.Type != content.Regular || top.Size == 0 {
			continue
		}
		l.byPath[e.Path] = top
		for k, key := range keys(e.Path) {
			l.byKey[k][key] = append(l.byKey[k][key], top)
		}
	}
	for _, buckets := range l.byKey {
		for _, b := range buckets {
			slices.SortStableFunc(b, func(a, b *content.Entry) int { return cmp.Compare(a.Size, b.Size) })
		}
	}
	return l
}

// keys gives the ways in which a path can be like another, the closest first: but for versions; in its last part but
// for versions; in its directory and suffix.
func keys(path string) [3]string {
	f := form(path)
	name := f[strings.LastIndexByte(f, '/')+1:]
	suffix := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		suffix = name[i:]
	}
	return [3]string{f, name, parent(f) + "/" + suffix}
}

// Find returns parts of at most three files of the tree, best first, that may be similar to the bytes of the regular
// file e from offset on: whole files, or 4 MiB of longer ones. A file at the same path comes first.
func (l *Likeness) Find(e *content.Entry, offset int64) []Range { return near(l.find(e), offset) }

// find gives at most maxLike whole files, best first.
func (l *Likeness) find(e *content.Entry) []Range {
	var out []Range
	take := func(o *content.Entry) {
		if !slices.ContainsFunc(out, func(r Range) bool { return r.Path == o.Path }) && len(out) < maxLike {
			out = append(out, Range{o.Path, 0, o.Size})
		}
	}
	if o := l.byPath[e.Path]; o != nil {
		take(o)
	}
	for k, key := range keys(e.Path) {
		bucket := l.byKey[k][key]
		at, _ := slices.BinarySearchFunc(bucket, e.Size, func(o *content.Entry, size int64) int {
			return cmp.Compare(o.Size, size)
		})
		bucket = slices.Clone(bucket[max(at-maxBucket/2, 0):min(at+maxBucket/2, len(bucket))])
		slices.SortStableFunc(bucket, func(a, b *content.Entry) int { return cmp.Compare(apart(a, e), apart(b, e)) })
		for _, o := range bucket {
			// A directory and a suffix say little: the size has to, too.
			if k < 2 || apart(o, e) <= e.Size/2 {
				take(o)
			}
		}
	}
	return out
}

// apart is by how much two files differ in size.
func apart(a, b *content.Entry) int64 { return max(a.Size-b.Size, b.Size-a.Size) }

// near cuts files to what may be like data at offset and the MiB behind it.
func near(files []Range, offset int64) []Range {
	out := make([]Range, len(files))
	for i, r := range files {
		if r.Length > window {
			r.Offset = min(max(offset-window*3/8, 0), r.Length-window)
			r.Length = window
		}
		out[i] = r
	}
	return out
}

// form replaces versions in a path, numbers with dots and dashes between them, by "#".
func form(path string) string {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	var b strings.Builder
	for i := 0; i < len(path); {
		if !digit(path[i]) {
			b.WriteByte(path[i])
			i++
			continue
		}
		b.WriteByte('#')
		for i < len(path) &&
			(digit(path[i]) || i+1 < len(path) && digit(path[i+1]) && strings.IndexByte(".-+~_:", path[i]) >= 0) {
			i++
		}
	}
	return b.String()
}
