package imagestore

import (
	"context"
	"slices"
	"time"

	"griddle/imagestore/catalog"
	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

// List returns the images that match one of the filters, by template, the newest version first; without filters it
// returns all. See ref.ParseFilter for what a filter is.
func (s *Store) List(ctx context.Context, filters ...string) ([]catalog.Listed, error) {
	fs, err := ref.ParseFilters(filters)
	if err != nil {
		return nil, err
	}
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	out := []catalog.Listed{}
	for _, l := range v.Sorted() {
		if len(fs) == 0 || slices.ContainsFunc(fs, func(f ref.Filter) bool { return f.Match(l.Parsed()) }) {
			out = append(out, *l)
		}
	}
	return out, nil
}

// Resolve finds the one image that r means. Without a version, or with "latest", that is the newest; a version
// wins over a channel of the same name. If r has no architecture and the version exists for several, the error
// names them.
func (s *Store) Resolve(ctx context.Context, r ref.Ref) (catalog.Listed, error) {
	v, err := s.View(ctx)
	if err != nil {
		return catalog.Listed{}, err
	}
	l, err := v.Resolve(r)
	if err != nil {
		return catalog.Listed{}, err
	}
	return *l, nil
}

// NextVersion is the version that a publication of ref gets by default: the UTC date and a counter, "20261120.1",
// above every version of that date, deleted ones too. Two publishers may get the same one. Then the Add of the
// second fails with catalog.ErrExists; it asks for a version, and signs its documents, again.
func (s *Store) NextVersion(ctx context.Context, name ref.Ref, now time.Time) (string, error) {
	v, err := s.View(ctx)
	if err != nil {
		return "", err
	}
	return ref.NextVersion(now, v.Versions(name.Template())), nil
}

// PlanOptions says what a receiver has and can do.
type PlanOptions struct {
	Have         []ref.Ref // images that it holds
	Received     []string  // UUIDs of such, with which a receiver keeps what it received: document.Identity.UUID
	Dictionaries bool      // it decodes with the files of what it holds (the parent of fetch.Opened.OpenStream)
}

// Plan finds the cheapest way for a receiver that holds the images of have and knows no dictionaries; see PlanWith.
func (s *Store) Plan(ctx context.Context, r ref.Ref, have ...ref.Ref) (fetch.Plan, error) {
	return s.PlanWith(ctx, r, PlanOptions{Have: have})
}

// PlanWith finds the cheapest way to r, in bytes to fetch: a full stream, a delta or a chain of them. It ignores
// references and UUIDs that the store does not know, since they may come from another store. The error is
// catalog.ErrNotFound, or catalog.ErrNoWay if no stream makes the image.
func (s *Store) PlanWith(ctx context.Context, r ref.Ref, o PlanOptions) (fetch.Plan, error) {
	v, err := s.View(ctx)
	if err != nil {
		return fetch.Plan{}, err
	}
	l, err := v.Resolve(r)
	if err != nil {
		return fetch.Plan{}, err
	}
	return v.Plan(l.Ref, append(v.ResolveAll(o.Have), v.Received(o.Received)...), o.Dictionaries)
}
