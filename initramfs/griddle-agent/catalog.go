package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/imagestore/document"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// trusted returns the keys that the boot image trusts.
func trusted(at site.Site) (*document.Trust, error) {
	t, err := document.ParseTrust(slices.Concat(at.Trusted, at.Limited))
	if err != nil {
		return nil, fmt.Errorf("reading the trusted keys: %w", err)
	}
	return t, nil
}

// headRetryMax is the longest pause between two attempts to get the head of the catalog.
const headRetryMax = 10 * time.Second

// catalog gets the signed head of the site's catalog, for as long as it takes, and refuses one that is forged, expired
// or older than this boot image knows. The zero value where the site signs none.
func (s *station) catalog(ctx context.Context, spec job.Spec) (head.Seen, error) {
	if s.site.Catalog.Key == "" {
		return head.Seen{}, nil
	}
	for pause, attempt := time.Second/4, 1; ; pause, attempt = min(2*pause, headRetryMax), attempt+1 {
		base, client := s.headSource(spec)
		b, err := fetchHead(ctx, client, base)
		if err == nil {
			return checkHead(b, s.site.Catalog, time.Now())
		}
		if errors.Is(err, head.ErrMissing) {
			return head.Seen{}, err
		}
		s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseCheck, Level: job.Warning,
			Message: job.Sentence(fmt.Sprintf("attempt %d: %v; trying again", attempt, err))})
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

// checkHead is the decision. The clock of this machine was set by the server's, so that a dead battery expires nothing.
func checkHead(b []byte, known site.Catalog, now time.Time) (head.Seen, error) {
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
