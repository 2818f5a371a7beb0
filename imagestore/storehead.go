package imagestore

import (
	"context"
	"errors"
	"time"

	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

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

// Head returns the signed head of the store's catalog, head.ErrMissing where it has none. Where this process keeps the
// head, it speaks of every entry; else it may be older than the catalog. Nothing is checked: see head.Open.
func (s *Store) Head(ctx context.Context) ([]byte, error) {
	c, ok := s.Catalog.(headed)
	if !ok {
		return nil, head.ErrMissing
	}
	return c.Head(ctx)
}

// KeepHead makes this process keep the head of a local store's catalog: it signs it now, after every change that is made
// through s, and when it is asked for and its life is half over. lifetime is how long a head is good for, 0 for ever. The
// catalog must trust the key as a site's (document.SiteGrant). Call it before s is used by several goroutines. head.ErrLost where
// the catalog has lost entries that a head of this key speaks of.
func (s *Store) KeepHead(ctx context.Context, k *minisign.SecretKey, lifetime time.Duration) error {
	c, ok := s.Catalog.(signer)
	if !ok {
		return errNotLocal
	}
	return c.KeepHead(ctx, k, lifetime)
}

// SignHead signs the catalog of a local store once, as it is now, good until expires, or for ever where that is zero. It
// is durable when it returns.
func (s *Store) SignHead(ctx context.Context, k *minisign.SecretKey, now, expires time.Time) (head.Head, error) {
	c, ok := s.Catalog.(signer)
	if !ok {
		return head.Head{}, errNotLocal
	}
	return c.SignHead(ctx, k, now, expires)
}

// SiteKey returns the key that signed the head of the store's catalog, as the catalog itself says. head.ErrMissing where there is
// no head. The head's signature is checked, and whether the key belongs to whom one thinks is for the caller to know.
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
