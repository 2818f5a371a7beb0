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

// Opened is an image whose documents are all fetched and checked; its streams are verified as they are read.
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
	UUID     sendstream.UUID    // that the received subvolume gets
	Ctransid uint64             // likewise
	Parent   *document.Identity // the image that the receiver must have; nil for a full stream
	Raw      int64              // bytes, decoded
	Wire     int64              // bytes, encoded

	NeedsParent bool        // decoding it takes the parent's files
	Encoding    blob.Digest // what is fetched
}

// Open fetches all documents and indexes of p and checks them: they have signatures by keys of t, and agree with
// one another. After that only the transport and the frames can still fail. If a source cannot be reached, Open
// tries again, at every source, until ctx ends. A bad signature is final at once, wrong or missing content after
// three attempts at each source.
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

// Identity is the image's, as its signed document has it.
func (o *Opened) Identity() document.Identity { return o.image.Identity }

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

// OpenStream reads the plain send stream i, from 0. Every byte that Read returns belongs to a piece that was
// compared with its signed SHA-256 first. When a source fails, it is asked again, from the frame after the last
// verified one, until ctx ends. parent is the directory with the unchanged tree of the stream's parent; it may be
// "" if no frame has a dictionary (StreamInfo.NeedsParent). The files in it are not trusted: what they decode to
// is verified.
//
// Reading is one frame ahead. Memory is about 3 times the bytes of a frame's pieces, and the dictionary: 25 MiB
// for frames of one piece, at most 130 MiB. Close frees it. The caller closes the reader.
func (o *Opened) OpenStream(ctx context.Context, i int, parent string) (io.ReadCloser, error) {
	if i < 0 || i >= len(o.streams) {
		return nil, fmt.Errorf("opening stream %d of image %s: it has %d streams", i, o.image.Ref, len(o.streams))
	}
	if parent == "" && o.streams[i].index.NeedsParent() {
		return nil, fmt.Errorf("opening stream %d of image %s: %w", i, o.image.Ref, encoding.ErrNeedsParent)
	}
	return newFrameReader(ctx, o.fetch.clone(), o.streams[i], parent, false), nil
}

// OpenAhead reads stream i, which must not need the parent's files, and decodes up to ahead frames before they are
// asked for; if ahead is less than 2, it decodes a frame when the one before is read. With encoded it returns the
// frames themselves, each after all its pieces were verified. The caller closes the reader.
func (o *Opened) OpenAhead(ctx context.Context, i int, encoded bool, ahead int) io.ReadCloser {
	return newFrameReaderAhead(ctx, o.fetch.clone(), o.streams[i], "", encoded, max(1, ahead))
}

// Memory is what reading the streams takes at most, one stream at a time: the longest frame, and a buffer for what
// it decodes to for each of ahead. Frames that are returned encoded take a second copy, and one buffer in which
// they are checked.
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

// Refs names the images whose blobs the plan needs.
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
