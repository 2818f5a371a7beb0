package content

import "context"

// Region is a disk, or a part of one.
type Region struct {
	Path         string // of the disk's device file
	Offset, Size int64  // bytes; a Size of 0 means the whole disk
}

// Answer is what another program recognises in a Region.
type Answer struct {
	Table     string
	Signature Signature
}

// maxAsked bounds the partitions of one disk that another program is asked about.
const maxAsked = 24

// AddAnswers adds to what Inspect recognised what another program does, asked about the disk at path, of size bytes:
// what Inspect has no name for, and labels.
func (c *Content) AddAnswers(ctx context.Context, question func(context.Context, Region) Answer, path string,
	size int64) {
	whole := question(ctx, Region{Path: path})
	if c.Table == "" {
		c.Table = whole.Table
	}
	c.Signature = c.Signature.mergedWith(whole.Signature)
	asked := 0
	for i := range c.Partitions {
		p := &c.Partitions[i]
		if p.Signature.Label != "" || p.Type == "extended" || p.Size <= 0 || p.Start < 0 || p.Start+p.Size > size {
			continue
		}
		if asked++; asked > maxAsked {
			return
		}
		p.Signature = p.Signature.mergedWith(question(ctx, Region{path, p.Start, p.Size}).Signature)
	}
}

// mergedWith is s, completed by another opinion: by all of it where s is empty or unreadable, by its label
// where both are of a type.
func (s Signature) mergedWith(other Signature) Signature {
	switch {
	case s.Type == "", s.Type == Unreadable && other.Type != "":
		return other
	case s.Type == other.Type && s.Label == "":
		s.Label = other.Label
	}
	return s
}
