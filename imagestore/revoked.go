package imagestore

import (
	"context"
	"fmt"
	"slices"

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

// revokedStreams lists the streams that revoked keys signed, of the images that another way leads to. Of an image that no
// way leads to any more it lists none: that is damage.
func (v *view) revokedStreams(t *document.Trust) []RevokedStream {
	out := []RevokedStream{}
	ways := v.usable().ways(nil)
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

// isRevoked says whether a stream is among those.
func isRevoked(all []RevokedStream, ref string, s ListedStream) bool {
	return slices.ContainsFunc(all, func(r RevokedStream) bool { return r.Ref == ref && r.Document == s.Document })
}

// bytesOf reads the blobs of a stream whose signature counts for nothing: they must be what their names say, no more.
func (c *check) bytesOf(ctx context.Context, ls ListedStream) error {
	for _, d := range []blob.Digest{ls.Document, ls.Index, ls.Encoding} {
		c.out.Blobs++
		n, err := compare(ctx, c.store.Blobs, d)
		c.out.Bytes += n
		if err != nil {
			return fmt.Errorf("blob %s: %w", d, err)
		}
	}
	return nil
}
