package imagestore

import (
	"context"

	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

// PlanOptions says what a receiver has and can do.
type PlanOptions struct {
	Have         []ref.Ref // images that it holds
	Dictionaries bool      // it decodes with the files of what it holds (Opened.document.OpenStream's parent)
}

// Plan finds the cheapest way for a receiver that holds the images of have and knows no dictionaries; see PlanWith.
func (s *Store) Plan(ctx context.Context, ref ref.Ref, have ...ref.Ref) (fetch.Plan, error) {
	return s.PlanWith(ctx, ref, PlanOptions{Have: have})
}

// PlanWith finds the cheapest way, in bytes to fetch, to ref: a full stream, a delta or a chain of them. References that have names but the store does not know are passed over, since they may come from
// somewhere else. catalog.ErrNotFound, or catalog.ErrNoWay where nothing leads there.
func (s *Store) PlanWith(ctx context.Context, ref ref.Ref, o PlanOptions) (fetch.Plan, error) {
	v, err := s.View(ctx)
	if err != nil {
		return fetch.Plan{}, err
	}
	l, err := v.Resolve(ref)
	if err != nil {
		return fetch.Plan{}, err
	}
	return v.Plan(l.Ref, v.ResolveAll(o.Have), o.Dictionaries)
}
