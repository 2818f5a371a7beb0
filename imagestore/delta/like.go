package delta

import "griddle/imagestore/content"

// Likeness finds files of a tree whose content may be like that of a new one, by their names and sizes.
type Likeness struct{ l *likeness }

// NewLikeness reads the manifest of the tree.
func NewLikeness(m *content.Manifest) *Likeness { return &Likeness{newLikeness(m)} }

// Find gives parts of at most three files of the tree, best first, that may be like the bytes of the regular file e at
// offset and behind it: whole files, or 4 MiB of longer ones. Where the tree has a file at the same path, that is the first.
func (k *Likeness) Find(e *content.Entry, offset int64) []Range { return near(k.l.find(e), offset) }
