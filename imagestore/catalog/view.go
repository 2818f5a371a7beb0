package catalog

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/sendstream"
)

// View is the state that a log describes. Callers must not change the values that its methods return.
type View struct {
	images   map[string]*Listed           // live ones by full reference
	gone     map[string]*Listed           // deleted ones
	keys     keyring                      // who may sign
	others   *document.Trust              // who may sign beside them; nil for no one
	channels map[string]map[string]string // template -> channel -> version
	keeps    []Keep
	entries  int64
	retired  map[blob.Digest]time.Time // blobs of encodings that others replaced, and when
	dicts    bool                      // plans may have streams with dictionaries
}

// ViewOf is a view of the given images and nothing else, for example of those that two stores have together.
func ViewOf(images map[string]*Listed) *View { return &View{images: images} }

// Image is the existing image with that full reference, or nil.
func (v *View) Image(name string) *Listed { return v.images[name] }

// Gone is the deleted image with that full reference, or nil.
func (v *View) Gone(name string) *Listed { return v.gone[name] }

// Images are the existing images by full reference.
func (v *View) Images() iter.Seq2[string, *Listed] { return maps.All(v.images) }

// Sorted lists the existing images by template, then the newest version first, then by architecture.
func (v *View) Sorted() []*Listed {
	out := slices.Collect(maps.Values(v.images))
	slices.SortFunc(out, func(a, b *Listed) int {
		if c := strings.Compare(a.Template, b.Template); c != 0 {
			return c
		}
		if c := ref.CompareVersions(b.Version, a.Version); c != 0 {
			return c
		}
		return strings.Compare(a.Ref, b.Ref)
	})
	return out
}

// ByIdentity is the existing image of that tree, or nil.
func (v *View) ByIdentity(u sendstream.UUID, ctransid uint64) *Listed {
	for _, l := range v.images {
		if l.Identity.UUID == u && l.Identity.Ctransid == ctransid {
			return l
		}
	}
	return nil
}

// Versions lists the versions of a template, deleted ones too, in no order. A version for several architectures is
// in the list several times.
func (v *View) Versions(template string) []string {
	var out []string
	for _, m := range []map[string]*Listed{v.images, v.gone} {
		for _, l := range m {
			if l.Template == template {
				out = append(out, l.Version)
			}
		}
	}
	return out
}

// Channel is the version that a channel of a template means, or "".
func (v *View) Channel(template, name string) string { return v.channels[template][name] }

// Channels lists the channels of all templates, in no order.
func (v *View) Channels() []Channel {
	var out []Channel
	for template, channels := range v.channels {
		for name, version := range channels {
			out = append(out, Channel{Template: template, Name: name, Version: version})
		}
	}
	return out
}

// Keeps lists the keep rules in the order in which they were set.
func (v *View) Keeps() []Keep { return slices.Clone(v.keeps) }

// Trust has every key whose signatures count: those of extra, and those that the log trusts. A key that the log
// revokes does not count.
func (v *View) Trust(extra *document.Trust) *document.Trust { return v.keys.trust(extra) }

// With makes the signatures of the keys of others count too. It returns v.
func (v *View) With(others *document.Trust) *View {
	if len(others.Grants()) > 0 {
		v.others = others
		v.complete()
	}
	return v
}

// Keys lists every key that the log trusts or once trusted, the oldest first.
func (v *View) Keys() []ListedKey {
	signed := map[string]int{}
	for _, l := range v.images {
		signed[l.Signer]++
	}
	out := []ListedKey{}
	for _, k := range v.keys {
		g := k.grant
		l := ListedKey{ID: g.Key().ID(), Key: g.Key().String(), Comment: k.comment, Prefixes: g.Patterns(),
			Streams: g.Streams(),
			Site:    g.Site(), Since: k.since, Images: signed[g.Key().ID()]}
		if !k.revoked.IsZero() {
			at := k.revoked
			l.Revoked = &at
		}
		out = append(out, l)
	}
	return out
}

// Revoked returns nil if the log does not revoke k, and otherwise an error that says when it did.
func (v *View) Revoked(k minisign.PublicKey) error {
	if i := v.keys.find(k); i >= 0 && !v.keys[i].revoked.IsZero() {
		return document.RevokedError(k.ID(), v.keys[i].revoked)
	}
	return nil
}

// WithoutKey is a copy of the view as it will be after k is revoked.
func (v *View) WithoutKey(k minisign.PublicKey) (*View, error) {
	then := *v
	then.keys = slices.Clone(v.keys)
	if err := then.keys.revoke(&Entry{Key: k.String(), Time: time.Unix(1, 0)}); err != nil {
		return nil, err
	}
	return &then, nil
}

// Without is a copy of the view without one image.
func (v *View) Without(name string) *View {
	then := v.promising(nil)
	delete(then.images, name)
	return then
}

// CutWithout lists the images that could not be made without the streams that lack admits.
func (v *View) CutWithout(lack func(ListedStream) bool) (out []*Listed) {
	without := v.promising(nil)
	for name, l := range without.images {
		n := *l
		n.Streams = slices.DeleteFunc(slices.Clone(l.Streams), lack)
		without.images[name] = &n
	}
	return v.keptWays().cut(without)
}

// Resolve finds the one image that a name means. Without a version, or with "latest", that is the newest; a
// version wins over a channel of the same name. If the name has no architecture and the version exists for
// several, the error names them.
func (v *View) Resolve(name ref.Ref) (*Listed, error) {
	find := func(version string) (found []*Listed) {
		for _, l := range v.Sorted() {
			if l.Template != name.Template() || name.Arch != "" && l.Arch != name.Arch ||
				version != "" && l.Version != version {
				continue
			}
			if len(found) > 0 && ref.CompareVersions(found[0].Version, l.Version) != 0 {
				break // sorted: only older ones follow
			}
			found = append(found, l)
		}
		return found
	}
	version := name.Version
	if version == ref.Latest {
		version = ""
	}
	found := find(version)
	if len(found) == 0 && version != "" {
		if to := v.channels[name.Template()][version]; to != "" {
			found = find(to)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("%w: %s%s", ErrNotFound, name, v.whatThereIs(name))
	case len(found) > 1:
		var names []string
		for _, l := range found {
			names = append(names, l.Ref)
		}
		return nil, fmt.Errorf("%w: %s is more than one: %s", ref.ErrInvalid, name, strings.Join(names, ", "))
	}
	return found[0], nil
}

// whatThereIs helps with a name that was not found: other versions of the template, or the templates.
func (v *View) whatThereIs(r ref.Ref) string {
	var versions, templates []string
	for _, l := range v.Sorted() {
		if l.Template == r.Template() {
			versions = append(versions, l.Version+"@"+l.Arch)
		}
		if !slices.Contains(templates, l.Template) {
			templates = append(templates, l.Template)
		}
	}
	switch {
	case v.gone[r.String()] != nil:
		return " (it was deleted)"
	case len(versions) > 0:
		return fmt.Sprintf(" (there is %s)", strings.Join(versions[:min(len(versions), 10)], ", "))
	case len(templates) > 0:
		return fmt.Sprintf(" (there is %s)", strings.Join(templates[:min(len(templates), 10)], ", "))
	}
	return " (the store is empty)"
}

// OffersOf turns the list that List returns back into a view.
func OffersOf(list []Listed) (*View, error) {
	v, err := Replay(nil)
	if err != nil {
		return nil, err
	}
	for i := range list {
		l := &list[i]
		if v.images[l.Ref] != nil {
			return nil, fmt.Errorf("%q is listed twice", l.Ref)
		}
		for _, s := range l.Streams {
			if s.Wire <= 0 || s.Raw <= 0 || s.Wire > 1<<50 {
				return nil, fmt.Errorf("%q has a stream of %d bytes", l.Ref, s.Wire)
			}
		}
		if err := v.apply(&Entry{Seq: int64(i + 1), Kind: KindPublish, Image: l}); err != nil {
			return nil, err
		}
		for _, c := range l.Channels {
			if err := v.apply(&Entry{Seq: int64(i + 1), Kind: KindChannel, Ref: l.Template, Channel: c,
				Version: l.Version}); err != nil {
				return nil, err
			}
		}
	}
	v.complete()
	return v, nil
}
