package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/minisign"
)

// documents fetches and checks everything but the encodings.
func (c *copier) documents(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Jobs)
	for _, p := range c.plan {
		g.Go(func() error {
			if err := c.image(gctx, p.image); err != nil {
				return fmt.Errorf("%s: %w", p.image.Ref, err)
			}
			for _, s := range p.streams {
				if err := c.stream(gctx, p.image, s); err != nil {
					return fmt.Errorf("stream to %s: %w", p.image.Ref, err)
				}
			}
			return nil
		})
	}
	err := g.Wait()
	// In the order of publication, so that the first images are whole first.
	place := map[string]int{}
	for i, p := range c.plan {
		place[p.image.Ref] = i
	}
	slices.SortStableFunc(c.fetching, func(a, b fetching) int { return place[a.of] - place[b.of] })
	return err
}

// small fetches a blob that is read whole, and returns it and whether it was missing.
func (c *copier) small(ctx context.Context, d blob.Digest, max int64) ([]byte, bool, error) {
	if b, err := blob.ReadAll(ctx, c.to.Blobs, d, max); err == nil {
		return b, false, nil
	} else if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	src := fetch.NewSources([]blob.Reader{c.from.Blobs}, fetch.Options{Stall: c.o.Stall, Attempts: imagestore.Attempts})
	b, err := src.Whole(ctx, d, max)
	return b, true, err
}

func (c *copier) image(ctx context.Context, l *catalog.Listed) error {
	b, missing, err := c.small(ctx, l.Document, document.MaxSize)
	if err != nil {
		return err
	}
	m, _, err := document.OpenImage(b, c.trust)
	if err != nil {
		return c.signature(ctx, l.Ref, l.Signer, err)
	}
	if m.Ref != l.Ref || m.Identity != l.Identity {
		return fmt.Errorf("%w: the document describes another image than the catalog of the other store",
			minisign.ErrSignature)
	}
	z, zmissing, err := c.small(ctx, m.Content.Blob, fetch.MaxContentBlob(m.Content))
	if err != nil {
		return fmt.Errorf("content manifest: %w", err)
	}
	if _, err := fetch.DecodeContent(z, m.Content); err != nil {
		return err
	}
	if err := c.packages(ctx, m.Packages); err != nil {
		return err
	}
	return errors.Join(c.put(ctx, m.Content.Blob, z, zmissing), c.put(ctx, l.Document, b, missing))
}

func (c *copier) packages(ctx context.Context, p *document.Packages) error {
	if p == nil {
		return nil
	}
	z, missing, err := c.small(ctx, p.Blob, fetch.MaxContentBlob(p.Content))
	if err != nil {
		return fmt.Errorf("package list: %w", err)
	}
	if _, err := fetch.DecodePackages(z, p); err != nil {
		return err
	}
	return c.put(ctx, p.Blob, z, missing)
}

func (c *copier) stream(ctx context.Context, l *catalog.Listed, s catalog.ListedStream) error {
	b, missing, err := c.small(ctx, s.Document, document.MaxSize)
	if err != nil {
		return err
	}
	doc, _, err := document.OpenStream(b, c.trust)
	if err != nil {
		return c.signature(ctx, l.Ref, s.Signer, err)
	}
	xb, xmissing, err := c.small(ctx, s.Index, encoding.MaxIndexSize)
	if err != nil {
		return err
	}
	x, err := encoding.ParseIndex(xb)
	if err != nil {
		return err
	}
	if err := encoding.Fits(doc, x, l.Identity); err != nil {
		return err
	}
	if !doc.HasParent(s.Parent) || x.Encoding != s.Encoding {
		return fmt.Errorf("%w: the document differs from the catalog of the other store", minisign.ErrSignature)
	}
	size, err := c.to.Blobs.Stat(ctx, x.Encoding)
	if err != nil && !errors.Is(err, blob.ErrNotExist) {
		return err
	}
	if err == nil {
		c.claim(x.Encoding)
	}
	if err != nil || size != x.Size {
		c.mu.Lock()
		if c.done[x.Encoding] == nil {
			c.done[x.Encoding] = make(chan struct{})
			c.fetching = append(c.fetching, fetching{l.Ref, doc, x})
			c.total += x.Size
		}
		c.mu.Unlock()
	}
	return errors.Join(c.put(ctx, s.Index, xb, xmissing), c.put(ctx, s.Document, b, missing))
}

// puts notes a blob that this copy is about to put.
func (c *copier) puts(d blob.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putting = append(c.putting, d)
}

// claim keeps a blob of the receiving store that is there from a collection meanwhile.
func (c *copier) claim(d blob.Digest) {
	if dir, ok := c.to.Blobs.(*blob.Dir); ok {
		dir.Claim(d)
	}
}

// put stores a blob that was missing and is checked.
func (c *copier) put(ctx context.Context, d blob.Digest, b []byte, missing bool) error {
	if !missing {
		c.claim(d)
		return nil
	}
	c.puts(d)
	if _, _, err := c.to.Blobs.Put(ctx, bytes.NewReader(b), d); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Blobs++
	c.out.Bytes += int64(len(b))
	return nil
}

// signature says of a signature that does not count whose it is.
func (c *copier) signature(ctx context.Context, ref, signer string, err error) error {
	trusted := func(k minisign.PublicKey) bool { return k.ID() == signer }
	if !errors.Is(err, minisign.ErrSignature) || slices.ContainsFunc(c.trust.Keys(), trusted) {
		return err
	}
	e := &UntrustedError{Ref: ref, Key: signer}
	if t, err := c.from.Trusted(ctx); err == nil {
		if i := slices.IndexFunc(t.Keys(), trusted); i >= 0 {
			e.Line = t.Keys()[i].String()
		}
	}
	return e
}
