package imagestore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
)

// SetChannel makes the channel name of a template mean version. It is durable when SetChannel returns without an
// error. The error is catalog.ErrNotFound if the template has no such version, catalog.ErrExists if the name is a
// version.
func (s *Store) SetChannel(ctx context.Context, c catalog.Channel) error {
	if c.Version == "" {
		return fmt.Errorf("setting channel %s:%s: %w: there is no version", c.Template, c.Name, ref.ErrInvalid)
	}
	if _, err := s.Catalog.Change(ctx, catalog.Change{Channel: &c}); err != nil {
		return fmt.Errorf("setting channel %s:%s: %w", c.Template, c.Name, err)
	}
	return nil
}

// RemoveChannel removes the channel name of a template; its version stays. The error is catalog.ErrNotFound if
// there is no such channel.
func (s *Store) RemoveChannel(ctx context.Context, template, name string) error {
	if _, err := s.Catalog.Change(ctx,
		catalog.Change{Channel: &catalog.Channel{Template: template, Name: name}}); err != nil {
		return fmt.Errorf("removing channel %s:%s: %w", template, name, err)
	}
	return nil
}

// ListedChannel is a channel and the images that it means.
type ListedChannel struct {
	catalog.Channel
	Images []string `json:"images"` // full references, one an architecture; none where the version was deleted
}

// Channels lists the channels of all templates that match one of the filters, by template and name; without
// filters it lists all. ref.ParseFilter says what a filter is; its version is compared with the name of the
// channel.
func (s *Store) Channels(ctx context.Context, filters ...string) ([]ListedChannel, error) {
	fs, err := ref.ParseFilters(filters)
	if err != nil {
		return nil, err
	}
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	out := []ListedChannel{}
	for _, ch := range v.Channels() {
		r, err := ref.Parse(ch.Template + ":" + ch.Name)
		if err != nil {
			return nil, err
		}
		if len(fs) > 0 && !slices.ContainsFunc(fs, func(f ref.Filter) bool { return f.Match(r) }) {
			continue
		}
		c := ListedChannel{Channel: ch, Images: []string{}}
		for _, l := range v.Sorted() {
			if l.Template == ch.Template && l.Version == ch.Version {
				c.Images = append(c.Images, l.Ref)
			}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b ListedChannel) int {
		return strings.Compare(a.Template+"\x00"+a.Name, b.Template+"\x00"+b.Name)
	})
	return out, nil
}
