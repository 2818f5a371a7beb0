package catalog

import (
	"griddle/imagestore/blob"
	"griddle/imagestore/document"
)

// RevokedStream is a stream that a revoked key signed: nothing is damaged, and no machine is given it.
type RevokedStream struct {
	Ref      string      `json:"ref"`              // the image, in full
	Parent   string      `json:"parent,omitempty"` // likewise; "" for a full stream
	Document blob.Digest `json:"document"`
	Key      string      `json:"key"` // ID of the key
	Problem  string      `json:"problem"`
}

// RevokedStreams lists the streams that revoked keys signed, of the images that another way leads to. Of an image that
// no way leads to any more it lists none: that is damage.
func (v *View) RevokedStreams(t *document.Trust) []RevokedStream {
	out := []RevokedStream{}
	ways := v.Usable().Ways(nil)
	for _, l := range v.Sorted() {
		if _, ok := ways[l.Ref]; !ok {
			continue
		}
		for _, s := range l.Streams {
			if err := t.Revoked(s.Signer); err != nil {
				out = append(out, RevokedStream{l.Ref, s.Parent, s.Document, s.Signer, err.Error()})
			}
		}
	}
	return out
}
