package imagestore

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/errgroup"
)

// withDictionaries makes the encoding for who has the parent.
func (w recompression) withDictionaries(ctx context.Context, e Encoder) (Encoded, error) {
	ref, err := ParseRef(w.stream.Parent)
	if err != nil {
		return Encoded{}, err
	}
	parent, err := w.s.tree(ctx, ref, func(string, int64, int64) {})
	if err != nil {
		return Encoded{}, err
	}
	defer parent.release()
	image, err := ParseRef(w.listed.Ref)
	if err != nil {
		return Encoded{}, err
	}
	l, err := w.s.Resolve(ctx, image)
	if err != nil {
		return Encoded{}, err
	}
	opened, err := w.s.Open(ctx, Plan{Ref: l.Ref, Document: l.Document}, OpenOptions{})
	if err != nil {
		return Encoded{}, err
	}
	m, err := opened.Content(ctx)
	if err != nil {
		return Encoded{}, err
	}
	d := newDictionaries(parent.Content, m)
	e.Parent, e.Dictionary = parent.Dir, d.frame
	return w.encode(ctx, e, d)
}

// encode reads the stream, verified, and encodes it. d, where it is not nil, learns on the way what the stream is about.
func (w recompression) encode(ctx context.Context, e Encoder, d *dictionaries) (Encoded, error) {
	plan := Plan{Ref: w.listed.Ref, Document: w.listed.Document,
		Streams: []PlanStream{{w.stream.Document, w.stream.Index, w.stream.Raw, w.stream.Wire}}}
	opened, err := w.s.Open(ctx, plan, OpenOptions{})
	if err != nil {
		return Encoded{}, err
	}
	in, err := opened.OpenStream(ctx, 0, "")
	if err != nil {
		return Encoded{}, err
	}
	defer in.Close()
	if d == nil {
		return e.Encode(ctx, in, w.s.Blobs)
	}
	g, gctx := errgroup.WithContext(ctx)
	r, p := io.Pipe()
	var out Encoded
	g.Go(func() error {
		err := d.pass(in, p)
		p.CloseWithError(err)
		return err
	})
	g.Go(func() (err error) {
		out, err = e.Encode(gctx, r, w.s.Blobs)
		r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		return err
	})
	return out, g.Wait()
}
