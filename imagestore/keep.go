package imagestore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"griddle/imagestore/catalog"
)

// SetKeep adds a rule, or replaces the one that has its pattern; a rule that keeps nothing takes that one back.
func (s *Store) SetKeep(ctx context.Context, k catalog.Keep) error {
	if _, err := s.Catalog.Change(ctx, catalog.Change{Keep: &k}); err != nil {
		return fmt.Errorf("setting keep rule %s: %w", k.Pattern, err)
	}
	return nil
}

// Keeps lists the rules by pattern.
func (s *Store) Keeps(ctx context.Context) ([]catalog.Keep, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	out := v.Keeps()
	slices.SortFunc(out, func(a, b catalog.Keep) int { return strings.Compare(a.Pattern, b.Pattern) })
	return out, nil
}
