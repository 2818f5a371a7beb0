package imagestore

import (
	"context"
	"fmt"

	"griddle/imagestore/catalog"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// Grant trusts a key for what its Grant says, from now on. It is also how that is changed. catalog.ErrRevoked where the key was
// revoked and g.Again is not set.
func (s *Store) Grant(ctx context.Context, g catalog.Granting) error {
	if _, err := s.Catalog.Change(ctx, catalog.Change{Grant: &g}); err != nil {
		return fmt.Errorf("trusting a key: %w", err)
	}
	return nil
}

// Revoke makes the signatures of k count no more. What it signed stays listed, marked as Untrusted, and is neither planned
// nor opened.
func (s *Store) Revoke(ctx context.Context, k minisign.PublicKey) error {
	if _, err := s.Catalog.Change(ctx, catalog.Change{Revoke: k.String()}); err != nil {
		return fmt.Errorf("revoking key %s: %w", k.ID(), err)
	}
	return nil
}

// MaySign returns nil where image documents of that name count that k signs, and else why they do not.
func (s *Store) MaySign(ctx context.Context, k minisign.PublicKey, ref ref.Ref) error {
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
	return g.Image(ref)
}

// Keys lists every key that the catalog trusts or once trusted, the oldest first.
func (s *Store) Keys(ctx context.Context) ([]catalog.ListedKey, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	return v.Keys(), nil
}

// WithoutKey lists the images that can be installed now, and could not be were k revoked.
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
