package imagestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// Grant trusts a key for what its Grant says, from now on, and replaces what the key may sign so far. The error is
// catalog.ErrRevoked if the key was revoked and g.Again is not set.
func (s *Store) Grant(ctx context.Context, g catalog.Granting) error {
	if _, err := s.Catalog.Change(ctx, catalog.Change{Grant: &g}); err != nil {
		return fmt.Errorf("trusting a key: %w", err)
	}
	return nil
}

// Revoke makes the signatures of k not count. The images that it signed stay in lists, marked as Untrusted, but
// are neither planned nor opened.
func (s *Store) Revoke(ctx context.Context, k minisign.PublicKey) error {
	if _, err := s.Catalog.Change(ctx, catalog.Change{Revoke: k.String()}); err != nil {
		return fmt.Errorf("revoking key %s: %w", k.ID(), err)
	}
	return nil
}

// MaySign returns nil if image documents with that name count when k signs them, and otherwise the reason why not.
func (s *Store) MaySign(ctx context.Context, k minisign.PublicKey, r ref.Ref) error {
	t, err := s.Trusted(ctx)
	if err != nil {
		return err
	}
	g, err := t.Find(k.ID())
	if err != nil {
		return err
	}
	if g.Key() != k {
		return fmt.Errorf("%w: another key with the ID %s is trusted here", minisign.ErrSignature, k.ID())
	}
	return g.Image(r)
}

// Keys lists every key that the catalog trusts or once trusted, the oldest first.
func (s *Store) Keys(ctx context.Context) ([]catalog.ListedKey, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	return v.Keys(), nil
}

// WithoutKey lists the images that can be installed now, but not after k is revoked.
func (s *Store) WithoutKey(ctx context.Context, k minisign.PublicKey) ([]catalog.Listed, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	then, err := v.WithoutKey(k)
	if err != nil {
		return nil, err
	}
	before := v.Usable().Ways(nil)
	after := then.Usable().Ways(nil)
	out := []catalog.Listed{}
	for _, l := range v.Sorted() {
		_, could := before[l.Ref]
		if _, can := after[l.Ref]; could && !can {
			out = append(out, *l)
		}
	}
	return out, nil
}

// headed is a catalog that may have a signed head.
type headed interface {
	Head(ctx context.Context) ([]byte, error)
}

// signer is a catalog whose head can be signed here.
type signer interface {
	KeepHead(ctx context.Context, k *minisign.SecretKey, lifetime time.Duration) error
	SignHead(ctx context.Context, k *minisign.SecretKey, now, expires time.Time) (head.Head, error)
}

var errNotLocal = errors.New("signing catalog: only a local store can be signed")

// Head returns the signed head of the store's catalog. The error is head.ErrMissing if it has none. If this
// process keeps the head, it covers every entry; otherwise it may be older than the catalog. Head checks nothing:
// see head.Open.
func (s *Store) Head(ctx context.Context) ([]byte, error) {
	c, ok := s.Catalog.(headed)
	if !ok {
		return nil, head.ErrMissing
	}
	return c.Head(ctx)
}

// KeepHead makes this process keep the head of a local store's catalog: it signs it now, after every change
// through s, and when someone asks for it after half of its lifetime. lifetime is how long a head is valid; 0
// means without end. The catalog must trust the key as a site's (document.SiteGrant). Call it before several
// goroutines use s. The error is head.ErrLost if entries are missing that a head of this key covers.
func (s *Store) KeepHead(ctx context.Context, k *minisign.SecretKey, lifetime time.Duration) error {
	c, ok := s.Catalog.(signer)
	if !ok {
		return errNotLocal
	}
	return c.KeepHead(ctx, k, lifetime)
}

// SignHead signs the catalog of a local store once, as it is now. The head is valid until expires; the zero time
// means without end. It is durable when SignHead returns.
func (s *Store) SignHead(ctx context.Context, k *minisign.SecretKey, now, expires time.Time) (head.Head, error) {
	c, ok := s.Catalog.(signer)
	if !ok {
		return head.Head{}, errNotLocal
	}
	return c.SignHead(ctx, k, now, expires)
}

// SiteKey returns the key that signed the head of the store's catalog, as the catalog itself says. The error is
// head.ErrMissing if there is no head. SiteKey checks the head's signature; the caller must know who owns the key.
func (s *Store) SiteKey(ctx context.Context) (minisign.PublicKey, error) {
	signed, err := s.Head(ctx)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	t, err := s.Trusted(ctx)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	_, k, err := head.Open(signed, t)
	return k, err
}

// MayChange returns nil if the publisher with the key k may make the change, and otherwise the reason why not. A
// publisher may only publish: documents that its key signed, of images that the store lets that key sign, and
// streams to existing images that it signed. The catalog makes its usual checks of a publication afterwards.
func (s *Store) MayChange(ctx context.Context, k minisign.PublicKey, c catalog.Change) error {
	rest := c
	rest.Publish = nil
	if c.Publish == nil || rest != (catalog.Change{}) {
		return fmt.Errorf("%w: a publisher's token only publishes what its key signs",
			blob.ErrDenied)
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

// MayPublish returns nil if someone may make the change who may publish the images that names admits, and otherwise the
// reason why not. By which key they are signed does not matter here: the catalog makes its usual checks afterwards.
func (s *Store) MayPublish(ctx context.Context, names func(ref.Ref) bool, c catalog.Change) error {
	rest := c
	rest.Publish = nil
	if c.Publish == nil || rest != (catalog.Change{}) {
		return fmt.Errorf("%w: a publisher only publishes", blob.ErrDenied)
	}
	b, err := blob.ReadAll(ctx, s.Blobs, c.Publish.Image, document.MaxSize)
	if err != nil {
		return err
	}
	all, err := s.Trusted(ctx)
	if err != nil {
		return err
	}
	image, _, err := document.OpenImage(b, all)
	if err != nil {
		return fmt.Errorf("%w: the image: %w", blob.ErrDenied, err)
	}
	if names == nil || !names(image.Parsed()) {
		return fmt.Errorf("%w: this token does not publish %s", blob.ErrDenied, image.Ref)
	}
	return nil
}

// signedImage returns nil where the image document is signed by a key of own for a name that it may sign, or is
// in the catalog already.
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
