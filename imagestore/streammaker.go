package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/encoding"
	"griddle/imagestore/sendstream"
)

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
func (m streamMaker) start(ctx context.Context, g *errgroup.Group, raw *encoding.Tap, e *encoding.Encoded, write func(io.Writer, delta.Options) error) {
	encoder := m.encoder
	encoder.Tap = raw
	encoder.EncodeWritten(ctx, g, m.s.Blobs, e, func(w io.Writer) error { return write(w, delta.Options{Name: m.name}) })
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
