package imagestore

import (
	"context"
	"io"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

// withDictionaries makes the encoding for who has the parent.
func (w recompression) withDictionaries(ctx context.Context, e encoding.Encoder) (encoding.Encoded, error) {
	r, err := ref.Parse(w.stream.Parent)
	if err != nil {
		return encoding.Encoded{}, err
	}
	parent, err := w.s.tree(ctx, r, nil)
	if err != nil {
		return encoding.Encoded{}, err
	}
	defer parent.release()
	opened, err := w.s.openDocument(ctx, w.listed)
	if err != nil {
		return encoding.Encoded{}, err
	}
	m, err := opened.Content(ctx)
	if err != nil {
		return encoding.Encoded{}, err
	}
	d := encoding.NewDictionaries(parent.Content, m)
	e.Parent, e.Dictionary = parent.Dir, d.ForFrame
	return w.encode(ctx, e, d)
}

// encode reads the stream, verified, and encodes it. d, where it is not nil, learns on the way
// what the stream is about.
func (w recompression) encode(ctx context.Context, e encoding.Encoder,
	d *encoding.Dictionaries) (encoding.Encoded, error) {
	plan := fetch.Plan{Ref: w.listed.Ref, Document: w.listed.Document,
		Streams: []fetch.PlanStream{{Document: w.stream.Document, Index: w.stream.Index, Raw: w.stream.Raw,
			Wire: w.stream.Wire}}}
	opened, err := w.s.Open(ctx, plan, fetch.Options{})
	if err != nil {
		return encoding.Encoded{}, err
	}
	in, err := opened.OpenStream(ctx, 0, "")
	if err != nil {
		return encoding.Encoded{}, err
	}
	defer in.Close()
	if d == nil {
		return e.Encode(ctx, in, w.s.Blobs)
	}
	g, gctx := errgroup.WithContext(ctx)
	var out encoding.Encoded
	e.EncodeWritten(gctx, g, w.s.Blobs, &out, func(to io.Writer) error { return d.Copy(in, to) })
	return out, g.Wait()
}
