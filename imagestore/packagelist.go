package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/packages"
	"griddle/imagestore/ref"
)

// ErrNoPackages is wrapped where an image has no list of packages.
var ErrNoPackages = errors.New("has no list of packages")

// putPackages compresses a package list and stores it; nil where it is empty.
func (s *Store) putPackages(ctx context.Context, l packages.List) (*document.Packages, error) {
	if len(l.Packages) == 0 {
		return nil, nil
	}
	var text bytes.Buffer
	if _, err := l.WriteTo(&text); err != nil {
		return nil, err
	}
	c, err := s.putText(ctx, "package list", text.Bytes())
	if err != nil {
		return nil, err
	}
	return &document.Packages{Manager: l.Manager, Count: int64(len(l.Packages)), Content: c}, nil
}

// ReadPackages reads what is installed in an image, after its document's signature and the list's digest were checked.
// ErrNoPackages where the image has no list.
func (s *Store) ReadPackages(ctx context.Context, ref ref.Ref) (packages.List, error) {
	l, opened, err := s.openDocuments(ctx, ref)
	if err != nil {
		return packages.List{}, err
	}
	p := opened.Image().Packages
	if p == nil {
		return packages.List{}, fmt.Errorf("%s %w", l.Ref, ErrNoPackages)
	}
	list, err := fetch.ReadPackages(ctx, s.Blobs, p)
	if err != nil {
		return packages.List{}, fmt.Errorf("%s: %w", l.Ref, err)
	}
	return list, nil
}

// openDocuments finds an image and checks its signed document.
func (s *Store) openDocuments(ctx context.Context, ref ref.Ref) (catalog.Listed, *fetch.Opened, error) {
	l, err := s.Resolve(ctx, ref)
	if err != nil {
		return l, nil, err
	}
	opened, err := s.openDocument(ctx, &l)
	return l, opened, err
}

// document.Open checks the signed document of an image that is listed; no stream comes with it.
func (s *Store) openDocument(ctx context.Context, l *catalog.Listed) (*fetch.Opened, error) {
	return s.Open(ctx, fetch.Plan{Ref: l.Ref, Document: l.Document}, fetch.Options{})
}
