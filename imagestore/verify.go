package imagestore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

// Verified is the result of a check of one image.
type Verified struct {
	Ref      string   `json:"ref"` // in full
	OK       bool     `json:"ok"`
	Blobs    int      `json:"blobs"`              // that were read
	Bytes    int64    `json:"bytes"`              // encoded bytes that were read
	Problems []string `json:"problems,omitempty"` // what is wrong
	// Unchecked is what could not be checked, and why: a full disk, an error of the disk, missing rights. It may
	// be right or wrong.
	Unchecked []string `json:"unchecked,omitempty"`
	// Revoked are streams that a revoked key signed, if the image can be made without them. They are not problems.
	Revoked []catalog.RevokedStream `json:"revoked,omitempty"`
}

// Verify reads every blob of an image: signatures, digests, indexes, all frames and pieces of every stream, and
// the content manifest. It continues after a problem, so that it finds all of them; an error means that the check
// itself failed. progress gets the encoded bytes that are done, and the total; it may be nil.
func (s *Store) Verify(ctx context.Context, of ref.Ref, progress func(done, total int64)) (Verified, error) {
	v, err := s.View(ctx)
	if err != nil {
		return Verified{}, err
	}
	l, err := v.Resolve(of)
	if err != nil {
		return Verified{}, err
	}
	c := check{store: s, trust: v.Trust(s.Trust), progress: progress, out: Verified{Ref: l.Ref}}
	for _, ls := range l.Streams {
		c.total += ls.Wire
	}
	for _, r := range v.RevokedStreams(c.trust) {
		if r.Ref == l.Ref {
			c.out.Revoked = append(c.out.Revoked, r)
		}
	}
	c.image(ctx, l)
	for i, ls := range l.Streams {
		what := "full stream"
		if ls.Parent != "" {
			what = "stream from " + ls.Parent
		}
		if len(l.Streams) > 2 {
			what = fmt.Sprintf("%s (%d)", what, i+1)
		}
		read := func() error { return c.stream(ctx, l, ls) }
		if isRevoked(c.out.Revoked, l.Ref, ls) {
			read = func() error { return c.bytesOf(ctx, ls) }
		}
		if err := read(); err != nil {
			c.problem(what, err)
		}
		if ls.Parent != "" && v.Image(ls.Parent) == nil && v.Gone(ls.Parent) == nil {
			c.problem(what, fmt.Errorf("parent: %w", catalog.ErrNotFound))
		}
	}
	if err := ctx.Err(); err != nil {
		return Verified{}, fmt.Errorf("verifying %s: %w", l.Ref, err)
	}
	c.out.OK = len(c.out.Problems)+len(c.out.Unchecked) == 0
	return c.out, nil
}

type check struct {
	store    *Store
	trust    *document.Trust
	progress func(done, total int64)
	total    int64
	out      Verified
	errs     []error // all that problem was told
}

func (c *check) problem(what string, err error) {
	c.errs = append(c.errs, fmt.Errorf("%s: %w", what, err))
	if prevented(err) {
		c.out.Unchecked = append(c.out.Unchecked, fmt.Sprintf("%s: %v", what, err))
		return
	}
	c.out.Problems = append(c.out.Problems, fmt.Sprintf("%s: %v", what, err))
}

func (c *check) image(ctx context.Context, l *catalog.Listed) {
	c.out.Blobs += 2
	b, err := blob.ReadAll(ctx, c.store.Blobs, l.Document, document.MaxSize)
	var m document.Image
	if err == nil {
		m, _, err = document.OpenImage(b, c.trust)
	}
	switch {
	case err != nil:
		c.problem("image document", err)
	case m.Identity != l.Identity || m.Size != l.Size || !m.Packages.Equal(l.Packages):
		c.problem("image document", fmt.Errorf("%w: it differs from the catalog", fetch.ErrCorrupt))
	}
	b, err = fetch.ReadContent(ctx, c.store.Blobs, l.Identity.Content)
	if err == nil {
		_, err = content.Parse(bytes.NewReader(b))
	}
	if err != nil {
		c.problem("content manifest", err)
	}
	if m.Packages == nil {
		return
	}
	c.out.Blobs++
	if _, err := fetch.ReadPackages(ctx, c.store.Blobs, m.Packages); err != nil {
		c.problem("package list", err)
	}
}

func (c *check) stream(ctx context.Context, l *catalog.Listed, ls catalog.ListedStream) error {
	c.out.Blobs += 3
	b, err := blob.ReadAll(ctx, c.store.Blobs, ls.Document, document.MaxSize)
	if err != nil {
		return err
	}
	doc, _, err := document.OpenStream(b, c.trust)
	if err != nil {
		return err
	}
	x, err := encoding.ReadIndex(ctx, c.store.Blobs, ls.Index)
	if err != nil {
		return err
	}
	if err := encoding.Fits(doc, x, l.Identity); err != nil {
		return err
	}
	if !doc.HasParent(ls.Parent) {
		return fmt.Errorf("%w: its parent differs from the catalog", fetch.ErrCorrupt)
	}
	tree := ""
	if x.NeedsParent() {
		// Without the parent's files nothing can be said of what the frames decode to.
		parent, err := ref.Parse(ls.Parent)
		if err != nil {
			return err
		}
		held, err := c.store.tree(ctx, parent, nil)
		if err != nil {
			return err
		}
		defer held.release()
		tree = held.Dir
	}
	done := c.out.Bytes
	r := fetch.Frames(ctx, c.store.Blobs, doc, x, tree)
	defer r.Close()
	h := sha256.New()
	buf := make([]byte, min(1<<20, max(4096, x.Size)))
	for {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		c.out.Bytes += int64(n)
		if c.progress != nil && n > 0 {
			c.progress(c.out.Bytes, c.total)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			c.out.Bytes = done + ls.Wire // so that the progress of the other streams stays right
			return err
		}
	}
	size, err := c.store.Blobs.Stat(ctx, x.Encoding)
	if err != nil {
		return err
	}
	if got := blob.FromSum(h.Sum(nil)); size != x.Size || got != x.Encoding {
		return fmt.Errorf("encoding %s: %w: %d bytes, %s", x.Encoding, blob.ErrMismatch, size, got)
	}
	return nil
}

// prevented says whether err tells of what kept the reader from looking, and nothing of the content: a full disk, a
// disk or a network that fails, missing rights. Content that is wrong or gone is something else.
func prevented(err error) bool {
	return fetch.SourceFailed(err) || errors.Is(err, catalog.ErrRefused) || errors.Is(err, ErrNoShelf)
}

// isRevoked says whether a stream is among those.
func isRevoked(all []catalog.RevokedStream, name string, s catalog.ListedStream) bool {
	return slices.ContainsFunc(all, func(r catalog.RevokedStream) bool {
		return r.Ref == name && r.Document == s.Document
	})
}

// bytesOf reads the blobs of a stream whose signature counts for nothing: they must be what their names say, no more.
func (c *check) bytesOf(ctx context.Context, ls catalog.ListedStream) error {
	for _, d := range []blob.Digest{ls.Document, ls.Index, ls.Encoding} {
		c.out.Blobs++
		n, err := compare(ctx, c.store.Blobs, d)
		c.out.Bytes += n
		if err != nil {
			return fmt.Errorf("blob %s: %w", d, err)
		}
	}
	return nil
}
