package fetch

import (
	"griddle/imagestore/blob"
)

// Plan is the way to an image: its document, and the streams that make it, in the order in which they are applied.
// The first is full or has a parent that the receiver has; the parent of each later one is the image before it.
// Without streams the receiver has the image already.
type Plan struct {
	Ref      string       `json:"ref"`      // in full
	Document blob.Digest  `json:"document"` // signed image document
	Size     int64        `json:"size"`     // bytes of the tree's file contents, without holes
	Streams  []PlanStream `json:"streams"`
}

// PlanStream is one step of a Plan.
type PlanStream struct {
	Document blob.Digest `json:"document"` // signed stream document
	Index    blob.Digest `json:"index"`    // of the encoding to fetch
	Raw      int64       `json:"raw"`      // bytes, decoded
	Wire     int64       `json:"wire"`     // bytes, encoded
}

// Wire is what the whole plan fetches, in bytes.
func (p Plan) Wire() (n int64) {
	for _, s := range p.Streams {
		n += s.Wire
	}
	return n
}
