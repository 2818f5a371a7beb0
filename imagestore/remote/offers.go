package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// maxOffers bounds the list of a server's images, in bytes: some 100,000 of them.
const maxOffers = 256 << 20

// Public says whether the client can request only what needs no token.
func (c *remoteCatalog) Public() bool { return c.public }

// Offered is what the server has for everyone: its images and channels. From a server over https Offered reads the
// log, and checks it against its signed head and what was seen before. From one over http, or of an earlier
// version, it reads the list of the API, which is not signed: a program that copies from it checks the head
// itself. The keys of others count too.
func (c *remoteCatalog) Offered(ctx context.Context, others *document.Trust) (*catalog.View, error) {
	if c.https() {
		entries, err := c.Read(ctx)
		if err == nil {
			v, err := catalog.Replay(entries)
			if err != nil {
				return nil, err
			}
			return v.With(others), nil
		}
		if !errors.Is(err, blob.ErrDenied) {
			return nil, err
		}
		if err := c.headless(ctx); err != nil {
			return nil, fmt.Errorf("listing the server's images: %w", err)
		}
	}
	resp, err := c.do(ctx, http.MethodGet, ImagesPath, nil)
	if err != nil {
		return nil, fmt.Errorf("listing the server's images: %w", err)
	}
	defer resp.Body.Close()
	var list []catalog.Listed
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxOffers)).Decode(&list); err != nil {
		return nil, fmt.Errorf("listing the server's images: %w", err)
	}
	v, err := catalog.OffersOf(list)
	if err != nil {
		return nil, fmt.Errorf("listing the server's images: %w", err)
	}
	return v, nil
}

// headless returns head.ErrRollback where a server that does not show its log was seen with a signed head, and has none
// now, or has shown it before.
func (c *remoteCatalog) headless(ctx context.Context) error {
	if c.seen == nil {
		return nil
	}
	s, path, err := c.seen.At(c.name)
	if err != nil || path == "" {
		return err
	}
	if s.Log {
		return fmt.Errorf("%w: the server showed its log to everyone when it was seen before, and does not now (%s)",
			head.ErrRollback, path)
	}
	if _, err := c.Head(ctx); errors.Is(err, head.ErrMissing) {
		return c.seen.Pinned(c.name, minisign.PublicKey{}, false)
	} else if err != nil {
		return err
	}
	return nil
}

// https says whether the server proves who it is.
func (c *remoteCatalog) https() bool { return strings.HasPrefix(c.base, "https:") }
