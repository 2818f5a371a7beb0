package download

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"griddle/appliance/site"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// Trusted returns the keys that a site trusts.
func Trusted(at site.Site) (*document.Trust, error) {
	t, err := document.ParseTrust(slices.Concat(at.Trusted, at.Limited))
	if err != nil {
		return nil, fmt.Errorf("reading the trusted keys: %w", err)
	}
	return t, nil
}

// headRetryMax is the longest pause between two attempts to get the head of the catalog.
const headRetryMax = 10 * time.Second

// Head gets the signed head of the site's catalog, for as long as it takes, and refuses one that is forged, expired or
// older than known. from is where it is now, and failed gets each attempt that will be repeated. The zero value where
// the site signs none.
func Head(ctx context.Context, known site.Catalog, from func() (base string, client *http.Client),
	failed func(err error, attempt int)) (head.Seen, error) {
	if known.Key == "" {
		return head.Seen{}, nil
	}
	for pause, attempt := time.Second/4, 1; ; pause, attempt = min(2*pause, headRetryMax), attempt+1 {
		base, client := from()
		b, err := fetchHead(ctx, client, base)
		if err == nil {
			return CheckHead(b, known, time.Now())
		}
		if errors.Is(err, head.ErrMissing) {
			return head.Seen{}, err
		}
		failed(err, attempt)
		select {
		case <-ctx.Done():
			return head.Seen{}, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func fetchHead(ctx context.Context, client *http.Client, base string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, headRetryMax)
	defer cancel()
	return head.Fetch(ctx, client, base)
}

// CheckHead is the decision. The clock of a machine that installs was set by the server's, so that a dead battery
// expires nothing.
func CheckHead(b []byte, known site.Catalog, now time.Time) (head.Seen, error) {
	key, err := minisign.ParsePublicKey(known.Key)
	if err != nil {
		return head.Seen{}, fmt.Errorf("reading the site's key: %w", err)
	}
	t := &document.Trust{}
	t.Allow(document.SiteGrant(key))
	h, _, err := head.Open(b, t)
	if err == nil {
		err = head.Seen{Key: known.Key, Seq: known.Seq}.Check(h)
	}
	if err != nil {
		return head.Seen{}, err
	}
	if err := h.Check(now); err != nil {
		return head.Seen{}, fmt.Errorf("%w: the server must sign it again (griddle catalog sign)", err)
	}
	return head.Seen{Key: known.Key, Seq: h.Seq, SHA256: h.SHA256, Time: h.Time}, nil
}
