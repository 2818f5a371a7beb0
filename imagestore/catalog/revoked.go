package catalog

import (
	"griddle/imagestore/blob"
	"griddle/imagestore/document"
)

// RevokedStream is a stream that a revoked key signed. It is not damaged, but machines do not get it.
type RevokedStream struct {
	Ref      string      `json:"ref"`              // the image, in full
	Parent   string      `json:"parent,omitempty"` // likewise; "" for a full stream
	Document blob.Digest `json:"document"`
	Key      string      `json:"key"` // ID of the key
	Problem  string      `json:"problem"`
}

// RevokedStreams lists the streams that revoked keys signed, of images that can be made without them. Streams of
// an image that cannot be made any more are not in the list: that counts as damage.
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
