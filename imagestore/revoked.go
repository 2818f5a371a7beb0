package imagestore

import (
	"context"
	"fmt"
	"slices"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
)

// isRevoked says whether a stream is among those.
func isRevoked(all []catalog.RevokedStream, ref string, s catalog.ListedStream) bool {
	return slices.ContainsFunc(all, func(r catalog.RevokedStream) bool { return r.Ref == ref && r.Document == s.Document })
}

// bytesOf reads the blobs of a stream whose signature counts for nothing: they must be what their names say, no more.
func (c *check) bytesOf(ctx context.Context, ls catalog.ListedStream) error {
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
