package document

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// Grant says what the signatures of one key count for. Everywhere a person or a program meets one it is a line:
//
//	RWS…                images of any name, and their streams
//	RWS… web* team/*    images, and streams to them, whose template any of the patterns admits
//	RWS… @streams       streams to images of any name, but no images: what another site derives
//	RWS… @site          likewise, and the head of the catalog: the site's own key
//
// The zero value counts for nothing.
type Grant struct {
	key      minisign.PublicKey
	streams  bool // and no images
	site     bool // streams too
	patterns []string
	filters  []ref.Filter // one for each pattern
}

const (
	siteMark    = "@site" // no pattern: a name has no "@"
	streamsMark = "@streams"
	maxPatterns = 64
)

// NewGrant lets k sign images whose template any of the patterns admits, of any name where there are none. A pattern is
// [namespace/]name in which "*" stands for any characters; without a namespace it admits none. Like names
// it has small letters only.
func NewGrant(k minisign.PublicKey, patterns ...string) (Grant, error) {
	g := Grant{key: k}
	var errs []error
	if len(patterns) > maxPatterns {
		errs = append(errs, fmt.Errorf("%d patterns are more than %d", len(patterns), maxPatterns))
	}
	for _, p := range patterns {
		f, err := ref.ParseFilter(p)
		if err == nil && strings.ContainsAny(p, ":@") {
			err = fmt.Errorf("%w %.200q: a pattern of templates has neither version nor architecture",
				ref.ErrInvalid, p)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if slices.Contains(g.patterns, p) {
			continue
		}
		g.patterns, g.filters = append(g.patterns, p), append(g.filters, f)
	}
	if err := errors.Join(errs...); err != nil {
		return Grant{}, fmt.Errorf("reading what key %s may sign: %w", k.ID(), err)
	}
	return g, nil
}

// SiteGrant makes k the key of a site: it signs the head of the catalog and the streams that a server derives.
func SiteGrant(k minisign.PublicKey) Grant { return Grant{key: k, streams: true, site: true} }

// StreamsGrant lets k sign streams to any image, and nothing else: the key of another site, for what that one derived.
func StreamsGrant(k minisign.PublicKey) Grant { return Grant{key: k, streams: true} }

// ParseGrant reads such a line. The whole file of a minisign public key, with its comment, means
// that key without limits.
func ParseGrant(line string) (Grant, error) {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(line, minisign.CommentPrefix) {
		words = []string{line}
	}
	k, err := minisign.ParsePublicKey(words[0])
	if err != nil {
		return Grant{}, err
	}
	if len(words) == 2 && words[1] == siteMark {
		return SiteGrant(k), nil
	}
	if len(words) == 2 && words[1] == streamsMark {
		return StreamsGrant(k), nil
	}
	return NewGrant(k, words[1:]...)
}

// String is the line that ParseGrant reads.
func (g Grant) String() string {
	words := append([]string{g.key.String()}, g.patterns...)
	switch {
	case g.site:
		words = append(words, siteMark)
	case g.streams:
		words = append(words, streamsMark)
	}
	return strings.Join(words, " ")
}

// Key is the key whose signatures count.
func (g Grant) Key() minisign.PublicKey { return g.key }

// Patterns are those of the templates that the key may sign; none mean any, unless it is a key for streams alone.
func (g Grant) Patterns() []string { return slices.Clone(g.patterns) }

// Site says whether the key is the site's own.
func (g Grant) Site() bool { return g.site }

// Streams says whether the key signs streams and no images.
func (g Grant) Streams() bool { return g.streams }

// Limited says whether the key may sign less than everything.
func (g Grant) Limited() bool { return g.streams || len(g.patterns) > 0 }

// Image returns nil if the key may sign an image document with that name, and otherwise an error that says what it
// may sign.
func (g Grant) Image(name ref.Ref) error {
	switch {
	case g.streams:
		return fmt.Errorf("%w: key %s may sign only streams, not images", minisign.ErrSignature, g.key.ID())
	case len(g.filters) == 0 || slices.ContainsFunc(g.filters, func(f ref.Filter) bool { return f.Match(name) }):
		return nil
	}
	return fmt.Errorf("%w: key %s may sign %s, but not %s", minisign.ErrSignature, g.key.ID(),
		strings.Join(g.patterns, " "), name.Template())
}

// Stream returns nil if the key may sign the document of a stream to an image with that name.
func (g Grant) Stream(r ref.Ref) error {
	if g.streams {
		return nil
	}
	return g.Image(r)
}
