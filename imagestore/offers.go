package imagestore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxOffers bounds the list of a server's images, in bytes: some 100,000 of them.
const maxOffers = 256 << 20

// offered is what a store has for everybody: its images and channels. Of a store behind a server that is the list of
// its API, which needs no token, and which nobody signed.
func (s *Store) offered(ctx context.Context) (*view, error) {
	c, ok := s.Catalog.(*remoteCatalog)
	if !ok {
		return s.view(ctx)
	}
	resp, err := c.do(ctx, http.MethodGet, ImagesPath, nil)
	if err != nil {
		return nil, fmt.Errorf("listing the server's images: %w", err)
	}
	defer resp.Body.Close()
	var list []Listed
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxOffers)).Decode(&list); err != nil {
		return nil, fmt.Errorf("listing the server's images: %w", err)
	}
	v, err := viewOf(list)
	if err != nil {
		return nil, fmt.Errorf("listing the server's images: %w", err)
	}
	return v, nil
}

// viewOf turns the list that List gives back into what it was made of.
func viewOf(list []Listed) (*view, error) {
	v, err := replay(nil)
	if err != nil {
		return nil, err
	}
	for i := range list {
		l := &list[i]
		if v.images[l.Ref] != nil {
			return nil, fmt.Errorf("%q is there twice", l.Ref)
		}
		for _, s := range l.Streams {
			if s.Wire <= 0 || s.Raw <= 0 || s.Wire > 1<<50 {
				return nil, fmt.Errorf("%q has a stream of %d bytes", l.Ref, s.Wire)
			}
		}
		if err := v.apply(&Entry{Seq: int64(i + 1), Kind: KindPublish, Image: l}); err != nil {
			return nil, err
		}
		for _, c := range l.Channels {
			if err := v.apply(&Entry{Seq: int64(i + 1), Kind: KindChannel, Ref: l.Template, Channel: c, Version: l.Version}); err != nil {
				return nil, err
			}
		}
	}
	v.complete()
	return v, nil
}
