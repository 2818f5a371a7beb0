package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"griddle/imagestore/blob"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/minisign"
	"griddle/imagestore/sendstream"
)

// Opened is an image whose documents were all fetched and checked; its streams are verified as they are read.
type Opened struct {
	plan    Plan
	image   document.Image
	streams []openedStream
	fetch   *Sources
}

type openedStream struct {
	doc   document.Stream
	index encoding.Index
}

// StreamInfo says what one stream of a plan makes and what it needs.
type StreamInfo struct {
	Ref      string             // the image that it makes, in full
	UUID     sendstream.UUID    // that the received subvolume is to bear
	Ctransid uint64             // likewise
	Parent   *document.Identity // the image that must be there; nil for a full stream
	Raw      int64              // bytes, decoded
	Wire     int64              // bytes, encoded

	NeedsParent bool        // decoding it takes the parent's files
	Encoding    blob.Digest // what is fetched
}

// Open fetches all documents and indexes of p and checks them: signatures by a key of t, and that each speaks of the
// others. When it returns without an error nothing can go wrong any more but the transport and the frames. It tries
// again, at every source, until ctx ends, where a source is out of reach; a bad signature is final at once, and content
// that is wrong or absent is after three attempts at each source.
func Open(ctx context.Context, sources []blob.Reader, t *document.Trust, p Plan, o Options) (*Opened, error) {
	if len(sources) == 0 {
		return nil, errors.New("opening image: there is no source")
	}
	opened := &Opened{plan: p, fetch: NewSources(sources, o)}
	b, err := opened.fetch.Whole(ctx, p.Document, document.MaxSize)
	if err == nil {
		opened.image, _, err = document.OpenImage(b, t)
	}
	if err == nil && opened.image.Ref != p.Ref {
		err = fmt.Errorf("%w: the document is of %s", minisign.ErrSignature, opened.image.Ref)
	}
	if err != nil {
		return nil, fmt.Errorf("opening image %s: %w", p.Ref, err)
	}
	for i, s := range p.Streams {
		os, err := opened.openStream(ctx, t, i, s)
		if err != nil {
			return nil, fmt.Errorf("opening image %s: stream %d: %w", p.Ref, i+1, err)
		}
		opened.streams = append(opened.streams, os)
	}
	if n := len(opened.streams); n > 0 && opened.streams[n-1].doc.Image != opened.image.Identity {
		return nil, fmt.Errorf("opening image %s: the last stream makes %s, and not this image", p.Ref,
			opened.streams[n-1].doc.Image.Ref)
	}
	return opened, nil
}

func (o *Opened) openStream(ctx context.Context, t *document.Trust, i int, s PlanStream) (openedStream, error) {
	var os openedStream
	b, err := o.fetch.Whole(ctx, s.Document, document.MaxSize)
	if err != nil {
		return os, err
	}
	if os.doc, _, err = document.OpenStream(b, t); err != nil {
		return os, err
	}
	if b, err = o.fetch.Whole(ctx, s.Index, encoding.MaxIndexSize); err != nil {
		return os, err
	}
	if os.index, err = encoding.ParseIndex(b); err != nil {
		return os, err
	}
	if err := encoding.Fits(os.doc, os.index, os.doc.Image); err != nil {
		return os, err
	}
	if i > 0 && (os.doc.Parent == nil || *os.doc.Parent != o.streams[i-1].doc.Image) {
		return os, errors.New("its parent is not what the stream before it makes")
	}
	return os, nil
}

// Ref is the image's full reference, as its signed document has it.
func (o *Opened) Ref() string { return o.image.Ref }

// Size is the bytes of the tree's file contents, as the signed document has it.
func (o *Opened) Size() int64 { return o.image.Size }

// Image is the signed document.
func (o *Opened) Image() document.Image { return o.image }

// Streams describes the streams, in the order in which they are applied.
func (o *Opened) Streams() []StreamInfo {
	out := []StreamInfo{}
	for _, s := range o.streams {
		out = append(out, StreamInfo{s.doc.Image.Ref, s.doc.Image.UUID, s.doc.Image.Ctransid, s.doc.Parent, s.doc.Raw,
			s.index.Size, s.index.NeedsParent(), s.index.Encoding})
	}
	return out
}

// ContentBytes fetches the text of the content manifest, verified.
func (o *Opened) ContentBytes(ctx context.Context) ([]byte, error) {
	b, err := o.fetch.clone().content(ctx, o.image.Content)
	if err != nil {
		return nil, fmt.Errorf("opening image %s: %w", o.image.Ref, err)
	}
	return b, nil
}

// Content fetches the content manifest, verified.
func (o *Opened) Content(ctx context.Context) (*content.Manifest, error) {
	b, err := o.ContentBytes(ctx)
	if err != nil {
		return nil, err
	}
	m, err := content.Parse(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("opening image %s: %w", o.image.Ref, err)
	}
	return m, nil
}

// document.OpenStream reads the plain send stream i, from 0. Every byte that Read returns belongs to a piece that was
// compared with its signed SHA-256 first. A source that fails is asked again, from the frame after the last verified
// one, until ctx ends. parent is the directory of the tree on which the stream stands, unchanged; it may be "" where no
// frame has a dictionary (StreamInfo.NeedsParent), and the files in it are trusted no more than a frame is.
//
// Reading goes one frame ahead. Memory is about 3 times the bytes of a frame's pieces, and the dictionary: 25 MiB for
// frames of one piece, 130 MiB at the most, and free again when Close returns. The caller closes the reader.
func (o *Opened) OpenStream(ctx context.Context, i int, parent string) (io.ReadCloser, error) {
	if i < 0 || i >= len(o.streams) {
		return nil, fmt.Errorf("opening stream %d of image %s: there are %d", i, o.image.Ref, len(o.streams))
	}
	if parent == "" && o.streams[i].index.NeedsParent() {
		return nil, fmt.Errorf("opening stream %d of image %s: %w", i, o.image.Ref, encoding.ErrNeedsParent)
	}
	return newFrameReader(ctx, o.fetch.clone(), o.streams[i], parent, false), nil
}

// OpenAhead reads stream i, which needs no parent's files, and decodes up to ahead frames before they are asked for;
// with less than 2 it decodes a frame when the one before it was read. With encoded it gives out the frames themselves,
// each after all its pieces were verified. The caller closes the reader.
func (o *Opened) OpenAhead(ctx context.Context, i int, encoded bool, ahead int) io.ReadCloser {
	return newFrameReaderAhead(ctx, o.fetch.clone(), o.streams[i], "", encoded, max(1, ahead))
}

// Memory is what reading the streams takes at the most, one at a time: the longest frame, and what it decodes to for
// each of ahead buffers; frames that are given out as they are have a second copy, and one buffer to be checked in.
func (o *Opened) Memory(ahead int) int64 {
	var most int64
	for _, s := range o.streams {
		var raw, frame int64
		for _, f := range s.index.Frames {
			raw, frame = max(raw, min(int64(f.Pieces)*document.PieceSize, s.index.Raw)), max(frame, f.Length)
		}
		most = max(most, raw*int64(max(1, ahead))+2*frame)
	}
	return most + 1<<20 // the decoder's own tables
}

// Refs names the images whose blobs the plan takes.
func (o *Opened) Refs() []string {
	out := []string{o.image.Ref}
	for _, s := range o.streams {
		out = append(out, s.doc.Image.Ref)
	}
	return out
}

func (f *Sources) clone() *Sources {
	c := *f
	return &c
}
