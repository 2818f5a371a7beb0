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
	UUID      string // of the filesystem
}

// maxAsked bounds the partitions of one disk that another program is asked about.
const maxAsked = 24

// maxUUID is how long the UUID of a filesystem is at most. Those of members of something larger may be longer.
const maxUUID = 36

// AddAnswers adds to what Inspect recognised what another program does, asked about the disk at path, of size bytes:
// what Inspect has no name for, labels and UUIDs.
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
		known := p.Signature.Label != "" && p.UUID != ""
		if known || p.Type == "extended" || p.Size <= 0 || p.Start < 0 || p.Start+p.Size > size {
			continue
		}
		if asked++; asked > maxAsked {
			return
		}
		answer := question(ctx, Region{path, p.Start, p.Size})
		p.Signature = p.Signature.mergedWith(answer.Signature)
		if p.UUID == "" && p.Signature.Type == answer.Signature.Type && len(answer.UUID) <= maxUUID {
			p.UUID = answer.UUID
		}
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
