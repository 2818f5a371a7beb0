package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

func (c *Local) publish(ctx context.Context, v *View, p Publication, out *Changed) ([]Entry, error) {
	l, err := c.examine(ctx, v, p)
	if err != nil {
		return nil, err
	}
	kind := KindPublish
	switch old := v.images[l.Ref]; {
	case v.gone[l.Ref] != nil:
		return nil, fmt.Errorf("%w: %s was deleted, and a version is never used twice", ErrExists, l.Ref)
	case old != nil && old.Document != l.Document:
		return nil, fmt.Errorf("%w: %s", ErrExists, l.Ref)
	case old != nil:
		kind = KindStreams
		l.Streams = slices.DeleteFunc(l.Streams, func(s ListedStream) bool {
			return slices.ContainsFunc(old.Streams, func(o ListedStream) bool {
				return o.Index == s.Index && o.Document == s.Document
			})
		})
		if len(l.Streams) == 0 {
			out.Image = old
			return nil, nil
		}
	case len(l.Streams) == 0:
		return nil, fmt.Errorf("%w: %s is published without a stream", ErrNoWay, l.Ref)
	case v.channels[l.Template][l.Version] != "":
		return nil, fmt.Errorf("%w: %q is a channel of %s", ErrExists, l.Version, l.Template)
	}
	if err := c.settle(&l); err != nil {
		return nil, err
	}
	e := Entry{Seq: v.entries + 1, Kind: kind, Image: &l}
	if err := v.apply(&e); err != nil {
		return nil, err
	}
	v.complete()
	if _, err := v.way(l.Ref, nil); err != nil {
		return nil, err
	}
	shown := *v.images[l.Ref]
	out.Image = &shown
	return []Entry{e}, nil
}

// settle makes all blobs of an image durable. Whoever put them did so, but one that was found there may be of somebody
// who was killed before he could.
func (c *Local) settle(l *Listed) error {
	dir, ok := c.blobs.(interface{ Settle(blob.Digest) error })
	if !ok {
		return nil
	}
	var errs []error
	l.EachBlob(func(d blob.Digest) { errs = append(errs, dir.Settle(d)) })
	return errors.Join(errs...)
}

// examine reads all documents of a publication and holds them against one another and against what the store has.
func (c *Local) examine(ctx context.Context, v *View, p Publication) (Listed, error) {
	trust := v.Trust(c.trust)
	b, err := blob.ReadAll(ctx, c.blobs, p.Image, document.MaxSize)
	if err != nil {
		return Listed{}, err
	}
	m, key, err := document.OpenImage(b, trust)
	if err != nil {
		return Listed{}, err
	}
	if _, err := fetch.ReadContent(ctx, c.blobs, m.Content); err != nil {
		return Listed{}, err
	}
	if m.Packages != nil {
		if _, err := fetch.ReadPackages(ctx, c.blobs, m.Packages); err != nil {
			return Listed{}, err
		}
	}
	r, err := ref.Parse(m.Ref)
	if err != nil {
		return Listed{}, err
	}
	l := Listed{Ref: m.Ref, Template: r.Template(), Version: r.Version, Arch: r.Arch, Description: m.Description,
		Comment:   m.Comment,
		Published: m.Published, Size: m.Size, Files: m.Files, Signer: key.ID(), Document: p.Image, Identity: m.Identity,
		Packages: m.Packages, NoKernel: m.NoKernel}
	for _, s := range p.Streams {
		ls, err := c.examineStream(ctx, v, trust, m, s)
		if err != nil {
			return Listed{}, err
		}
		l.Streams = append(l.Streams, ls)
	}
	return l, nil
}

func (c *Local) examineStream(ctx context.Context, v *View, trust *document.Trust, m document.Image,
	s StreamBlobs) (ListedStream, error) {
	b, err := blob.ReadAll(ctx, c.blobs, s.Document, document.MaxSize)
	if err != nil {
		return ListedStream{}, err
	}
	doc, key, err := document.OpenStream(b, trust)
	if err != nil {
		return ListedStream{}, err
	}
	x, err := encoding.ReadIndex(ctx, c.blobs, s.Index)
	if err != nil {
		return ListedStream{}, err
	}
	if err := encoding.Fits(doc, x, m.Identity); err != nil {
		return ListedStream{}, err
	}
	switch size, err := c.blobs.Stat(ctx, x.Encoding); {
	case err != nil:
		return ListedStream{}, err
	case size != x.Size:
		return ListedStream{}, fmt.Errorf("encoding %s: %w: it has %d bytes, not %d", x.Encoding,
			blob.ErrMismatch, size, x.Size)
	}
	out := ListedStream{Raw: x.Raw, Wire: x.Size, Signer: key.ID(), Document: s.Document, Index: s.Index,
		Encoding: x.Encoding,
		Level:    x.Level, Dictionary: x.NeedsParent()}
	if doc.Parent == nil {
		return out, nil
	}
	out.Parent = doc.Parent.Ref
	parent := v.images[out.Parent]
	if parent == nil {
		return ListedStream{}, fmt.Errorf("parent %s of the stream: %w", out.Parent, ErrNotFound)
	}
	if parent.Identity != *doc.Parent {
		return ListedStream{}, fmt.Errorf("parent %s of the stream: %w: another image has this name here",
			out.Parent, ErrExists)
	}
	return out, nil
}

// reencode checks that the new encodings are of the very stream, and returns the entry that names them.
func (c *Local) reencode(ctx context.Context, v *View, r Reencoding) ([]Entry, error) {
	l := v.images[r.Ref]
	if l == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, r.Ref)
	}
	if !slices.ContainsFunc(l.Streams, func(s ListedStream) bool {
		return s.Document == r.Stream && s.Index == r.Old
	}) {
		return nil, fmt.Errorf("%w: %s has no such encoding any more", ErrNotFound, r.Ref)
	}
	b, err := blob.ReadAll(ctx, c.blobs, l.Document, document.MaxSize)
	if err != nil {
		return nil, err
	}
	trust := v.Trust(c.trust)
	m, _, err := document.OpenImage(b, trust)
	if err != nil {
		return nil, err
	}
	// The stream is there already, and of use to who still has a parent that was deleted here.
	all := *v
	all.images = maps.Clone(v.gone)
	maps.Copy(all.images, v.images)
	e := Entry{Kind: KindEncoding, Replaces: r.Old, Image: &Listed{Ref: l.Ref}}
	for _, x := range r.New {
		s, err := c.examineStream(ctx, &all, trust, m, StreamBlobs{Document: r.Stream, Index: x})
		if err != nil {
			return nil, err
		}
		e.Image.Streams = append(e.Image.Streams, s)
	}
	if len(e.Image.Streams) == 0 || e.Image.Streams[0].Dictionary {
		return nil, fmt.Errorf("%w: %s would need its parent's files", ErrNoWay, l.Ref)
	}
	e.Image.Streams[0].NoDictionary = r.NoDictionary
	settled := *l
	settled.Streams = e.Image.Streams
	if err := c.settle(&settled); err != nil {
		return nil, err
	}
	return []Entry{e}, nil
}
