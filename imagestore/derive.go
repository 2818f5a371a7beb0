package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/ref"
	"griddle/imagestore/sendstream"
)

// DeriveOptions says which stream Derive makes.
type DeriveOptions struct {
	Ref      ref.Ref
	Parent   *ref.Ref // that the stream is to start from; nil for a full one
	Encoder  encoding.Encoder
	Progress func(phase string, done, total int64) // may be nil; total is zero where it is not known
}

// Derived is what Derive made or found.
type Derived struct {
	Ref     string  `json:"ref"`              // in full
	Parent  string  `json:"parent,omitempty"` // likewise; "" for a full stream
	Raw     int64   `json:"raw"`              // bytes of the plain send stream
	Wire    int64   `json:"wire"`             // bytes of its encoding
	Made    bool    `json:"made"`             // false where the stream was there already
	Seconds float64 `json:"seconds"`
}

// deriver is a catalog whose server derives streams itself.
type deriver interface {
	Derive(ctx context.Context, o DeriveOptions) (Derived, error)
	Derives() bool // the server may: it was given a token
}

// ErrNoKey is wrapped by Derive if there is no key to sign the stream.
var ErrNoKey = errors.New("there is no key that signs for this store")

// Derive makes a stream to an image, from nothing or from any other image of the store, unless there is one
// already: it gets both trees, compares them, and adds the stream, signed by s.Key, to the catalog by one durable
// line. A killed Derive leaves blobs for Collect. For a store behind a server the server does the work.
func (s *Store) Derive(ctx context.Context, o DeriveOptions) (Derived, error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	if c, ok := s.Catalog.(deriver); ok {
		return c.Derive(ctx, o)
	}
	d, err := s.derive(ctx, o)
	if err != nil {
		return Derived{}, fmt.Errorf("deriving %s: %w", o.Ref, err)
	}
	return d, nil
}

func (s *Store) derive(ctx context.Context, o DeriveOptions) (Derived, error) {
	start := time.Now()
	v, err := s.View(ctx)
	if err != nil {
		return Derived{}, err
	}
	l, err := v.Resolve(o.Ref)
	if err != nil {
		return Derived{}, err
	}
	out := Derived{Ref: l.Ref}
	var p *catalog.Listed
	if o.Parent != nil {
		if p, err = v.Resolve(*o.Parent); err != nil {
			return Derived{}, err
		}
		if out.Parent = p.Ref; p == l {
			return Derived{}, fmt.Errorf("%w: %s from itself", catalog.ErrNoWay, l.Ref)
		}
	}
	if err := l.Trusted(); err != nil {
		return Derived{}, err
	}
	for _, have := range v.Usable().Image(l.Ref).Streams {
		if have.Parent == out.Parent {
			out.Raw, out.Wire = have.Raw, have.Wire
			return out, s.Settle(ctx)
		}
	}
	if s.Key == nil {
		return Derived{}, ErrNoKey
	}
	e, err := s.deriveStream(ctx, o, l, p)
	if err != nil {
		return Derived{}, err
	}
	doc := document.Stream{Image: l.Identity, Raw: e.Raw, Pieces: e.Pieces}
	if p != nil {
		doc.Parent = &p.Identity
	}
	d, err := s.PutStream(ctx, doc, s.Key)
	if err != nil {
		return Derived{}, err
	}
	if _, err := s.Add(ctx, catalog.Publication{Image: l.Document,
		Streams: []catalog.StreamBlobs{{Document: d, Index: e.Index}}}); err != nil {
		return Derived{}, err
	}
	out.Raw, out.Wire, out.Made, out.Seconds = e.Raw, e.Wire, true, time.Since(start).Seconds()
	return out, nil
}

// deriveStream makes and stores the encoding.
func (s *Store) deriveStream(ctx context.Context, o DeriveOptions, l, p *catalog.Listed) (encoding.Encoded, error) {
	to, err := s.tree(ctx, l.Parsed(), o.Progress)
	if err != nil {
		return encoding.Encoded{}, err
	}
	defer to.release()
	m := streamMaker{s: s, encoder: o.Encoder, to: to.side(), name: l.Parsed().FileName()}
	m.encoder.Progress = func(raw, _ int64) { o.Progress("encoding", raw, 0) }
	if p != nil {
		from, err := s.tree(ctx, p.Parsed(), o.Progress)
		if err != nil {
			return encoding.Encoded{}, err
		}
		defer from.release()
		side := from.side()
		m.from = &side
	}
	return m.encode(ctx)
}

// side is the tree as package delta takes it.
func (t *shelved) side() delta.Tree {
	return delta.Tree{Dir: t.Dir, Content: t.Content, UUID: t.Identity.UUID, Ctransid: t.Identity.Ctransid}
}

// streamMaker makes one stream from trees, and puts it into the store.
type streamMaker struct {
	s       *Store
	encoder encoding.Encoder
	from    *delta.Tree // nil for a full stream
	to      delta.Tree
	name    string // of the subvolume in the stream
}

// encode writes the stream that leads from one tree to the other, and on the way encodes it and holds it against the
// manifests: what it makes of the one must be the other.
func (m streamMaker) encode(ctx context.Context) (encoding.Encoded, error) {
	g, gctx := errgroup.WithContext(ctx)
	raw := encoding.NewTap(gctx)
	var e encoding.Encoded
	m.start(gctx, g, raw, &e, func(w io.Writer, o delta.Options) error {
		var err error
		if m.from == nil {
			_, err = delta.WriteTree(gctx, w, m.to, o)
		} else {
			_, err = delta.Write(gctx, w, *m.from, m.to, o)
		}
		return err
	})
	g.Go(func() error { return m.check(gctx, raw) })
	if err := g.Wait(); err != nil {
		// What was cancelled because of it tells nothing; that the whole was cancelled does.
		return encoding.Encoded{}, errors.Join(ctx.Err(), err)
	}
	return e, nil
}

// start has write make the stream, and encodes it as it comes, beside each other.
func (m streamMaker) start(ctx context.Context, g *errgroup.Group, raw *encoding.Tap, e *encoding.Encoded,
	write func(io.Writer, delta.Options) error) {
	encoder := m.encoder
	encoder.Tap = raw
	encoder.EncodeWritten(ctx, g, m.s.Blobs, e, func(w io.Writer) error {
		return write(w, delta.Options{Name: m.name})
	})
}

// check reads the stream and compares the manifest of what it makes with the tree's own.
func (m streamMaker) check(ctx context.Context, raw *encoding.Tap) error {
	var before *content.Manifest
	var parent sendstream.UUID
	if m.from != nil {
		before, parent = m.from.Content, m.from.UUID
	}
	b := content.NewBuilder(before, m.to.Dir)
	if err := b.Read(raw); err != nil {
		return err
	}
	got, err := b.Finish(ctx)
	if err != nil {
		return err
	}
	if st := b.Stream; st.UUID != m.to.UUID || st.ParentUUID != parent {
		return fmt.Errorf("the stream makes %v from %v, not %v from %v", st.UUID, st.ParentUUID, m.to.UUID, parent)
	}
	if got.Digest() != m.to.Content.Digest() {
		return errors.New("the stream does not make the tree that it was made from")
	}
	return nil
}

// encodeWhole makes the full stream of a tree of which nothing is known yet, in one pass.
func (m streamMaker) encodeWhole(ctx context.Context) (encoding.Encoded, *content.Manifest, error) {
	g, gctx := errgroup.WithContext(ctx)
	var e encoding.Encoded
	var found *content.Manifest
	m.start(gctx, g, nil, &e, func(w io.Writer, o delta.Options) (err error) {
		found, err = delta.WriteFull(gctx, w, m.to.Dir, m.to.UUID, m.to.Ctransid, o)
		return err
	})
	if err := g.Wait(); err != nil {
		return encoding.Encoded{}, nil, errors.Join(ctx.Err(), err)
	}
	return e, found, nil
}
