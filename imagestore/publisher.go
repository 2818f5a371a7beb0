package imagestore

import (
	"context"
	"errors"
	"fmt"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
)

// MayChange returns nil where the publisher with the key k may make the change, and else why not. It publishes: documents that its
// key signed, of images that the store lets that key sign, and streams that it signed to images that are there. What the
// catalog checks of every publication it checks afterwards.
func (s *Store) MayChange(ctx context.Context, k minisign.PublicKey, c catalog.Change) error {
	rest := c
	rest.Publish = nil
	if c.Publish == nil || rest != (catalog.Change{}) {
		return fmt.Errorf("%w: a publisher's token publishes what its key signs, and changes nothing else", blob.ErrDenied)
	}
	all, err := s.Trusted(ctx)
	if err != nil {
		return err
	}
	g, err := all.Find(k.ID())
	if err == nil && g.Key() != k {
		err = errors.New("another key with its ID is trusted here")
	}
	if err != nil {
		return fmt.Errorf("%w: key %s: %w", blob.ErrDenied, k.ID(), err)
	}
	own := &document.Trust{}
	own.Allow(g)
	if err := s.signedImage(ctx, own, c.Publish.Image); err != nil {
		return fmt.Errorf("%w: the image: %w", blob.ErrDenied, err)
	}
	for i, st := range c.Publish.Streams {
		b, err := blob.ReadAll(ctx, s.Blobs, st.Document, document.MaxSize)
		if err == nil {
			_, _, err = document.OpenStream(b, own)
		}
		if err != nil {
			return fmt.Errorf("%w: stream %d: %w", blob.ErrDenied, i+1, err)
		}
	}
	return nil
}

// signedImage returns nil where the image document is signed by a key of own for a name that it may sign, or is in the catalog already.
func (s *Store) signedImage(ctx context.Context, own *document.Trust, d blob.Digest) error {
	b, err := blob.ReadAll(ctx, s.Blobs, d, document.MaxSize)
	if err != nil {
		return err
	}
	_, _, err = document.OpenImage(b, own)
	if err == nil {
		return nil
	}
	v, verr := s.View(ctx)
	if verr != nil {
		return verr
	}
	for _, l := range v.Images() {
		if l.Document == d {
			return nil // its streams must be signed by the key
		}
	}
	return err
}
