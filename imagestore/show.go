package imagestore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/ref"
)

// Shown is everything that the store knows about one image, as -o json shows it.
type Shown struct {
	catalog.Listed
	Image      document.Image `json:"image"` // the signed document
	StreamDocs []ShownStream  `json:"streamDocuments"`
	Needed     []string       `json:"neededBy,omitempty"` // images that can only be reached through this one
}

// ShownStream is one way to an image, with its documents.
type ShownStream struct {
	catalog.ListedStream
	Stream document.Stream `json:"stream"` // the signed document
	Frames int             `json:"frames"` // how many frames the encoding has
}

// Show reads the documents of an image and checks their signatures. It leaves out streams whose signatures do not
// count.
func (s *Store) Show(ctx context.Context, r ref.Ref) (Shown, error) {
	v, err := s.View(ctx)
	if err != nil {
		return Shown{}, err
	}
	l, err := v.Resolve(r)
	if err != nil {
		return Shown{}, err
	}
	if u := v.Usable().Image(l.Ref); u != nil {
		l = u
	}
	out := Shown{Listed: *l}
	trust := v.Trust(s.Trust)
	b, err := blob.ReadAll(ctx, s.Blobs, l.Document, document.MaxSize)
	if err == nil {
		out.Image, _, err = document.OpenImage(b, trust)
	}
	if err != nil {
		return Shown{}, fmt.Errorf("showing %s: %w", l.Ref, err)
	}
	for _, ls := range l.Streams {
		ss := ShownStream{ListedStream: ls}
		b, err := blob.ReadAll(ctx, s.Blobs, ls.Document, document.MaxSize)
		if err == nil {
			ss.Stream, _, err = document.OpenStream(b, trust)
		}
		if err != nil {
			return Shown{}, fmt.Errorf("showing %s: %w", l.Ref, err)
		}
		x, err := encoding.ReadIndex(ctx, s.Blobs, ls.Index)
		if err != nil {
			return Shown{}, fmt.Errorf("showing %s: %w", l.Ref, err)
		}
		ss.Frames = len(x.Frames)
		out.StreamDocs = append(out.StreamDocs, ss)
	}
	rest := v.Without(l.Ref)
	ways := rest.Ways(nil)
	for _, other := range rest.Sorted() {
		if _, ok := ways[other.Ref]; !ok {
			out.Needed = append(out.Needed, other.Ref)
		}
	}
	return out, nil
}

// Document returns the signed document of an image, whose signature it checks. It reads no stream.
func (s *Store) Document(ctx context.Context, r ref.Ref) (document.Image, error) {
	_, opened, err := s.openDocuments(ctx, r)
	if err != nil {
		return document.Image{}, err
	}
	return opened.Image(), nil
}

// WriteDocuments writes the signed documents of an image into dir, so that minisign checks them: image.json with
// image.json.minisig, and stream-1.json and so on, in the order of the list. It checks nothing itself. It returns
// the paths of the documents.
func (s *Store) WriteDocuments(ctx context.Context, r ref.Ref, dir string) ([]string, error) {
	l, err := s.Resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	names, docs := []string{"image.json"}, []blob.Digest{l.Document}
	for i, ls := range l.Streams {
		names, docs = append(names, fmt.Sprintf("stream-%d.json", i+1)), append(docs, ls.Document)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("writing documents: %w", err)
	}
	for i, d := range docs {
		b, err := blob.ReadAll(ctx, s.Blobs, d, document.MaxSize)
		if err != nil {
			return nil, fmt.Errorf("writing documents: %w", err)
		}
		line, sig, _ := strings.Cut(string(b), "\n")
		names[i] = filepath.Join(dir, names[i])
		for p, text := range map[string]string{names[i]: line + "\n", names[i] + ".minisig": sig} {
			if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
				return nil, fmt.Errorf("writing documents: %w", err)
			}
		}
	}
	return names, nil
}
