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
	"griddle/imagestore"
	"griddle/imagestore/document"
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

// headPatience is the longest pause between two attempts to get the head of the catalog.
const headPatience = 10 * time.Second

// catalog gets the signed head of the site's catalog, for as long as it takes, and refuses one that is forged, expired or
// older than this boot image knows. The zero value where the site signs none.
func (s *station) catalog(ctx context.Context, spec job.Spec) (imagestore.Seen, error) {
	if s.site.Catalog.Key == "" {
		return imagestore.Seen{}, nil
	}
	for pause, attempt := time.Second/4, 1; ; pause, attempt = min(2*pause, headPatience), attempt+1 {
		base, client := s.headSource(spec)
		b, err := fetchHead(ctx, client, base)
		if err == nil {
			return checkHead(b, s.site.Catalog, time.Now())
		}
		if errors.Is(err, imagestore.ErrNoHead) {
			return imagestore.Seen{}, err
		}
		s.events.Event(job.Event{Job: spec.ID, Phase: job.PhaseCheck, Level: job.Warning,
			Message: job.Sentence(fmt.Sprintf("attempt %d: %v; trying again", attempt, err))})
		select {
		case <-ctx.Done():
			return imagestore.Seen{}, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func fetchHead(ctx context.Context, client *http.Client, base string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, headPatience)
	defer cancel()
	return imagestore.FetchHead(ctx, client, base)
}

// checkHead is the decision. The clock of this machine was set by the server's, so that a dead battery expires nothing.
func checkHead(b []byte, known site.Catalog, now time.Time) (imagestore.Seen, error) {
	key, err := minisign.ParsePublicKey(known.Key)
	if err != nil {
		return imagestore.Seen{}, fmt.Errorf("reading the site's key: %w", err)
	}
	t := &document.Trust{}
	t.Allow(document.SiteGrant(key))
	head, _, err := imagestore.OpenHead(b, t)
	if err == nil {
		err = imagestore.Seen{Key: known.Key, Seq: known.Seq}.Check(head)
	}
	if err != nil {
		return imagestore.Seen{}, err
	}
	if err := head.Check(now); err != nil {
		return imagestore.Seen{}, fmt.Errorf("%w: the server must sign it again (griddle catalog sign)", err)
	}
	return imagestore.Seen{Key: known.Key, Seq: head.Seq, SHA256: head.SHA256, Time: head.Time}, nil
}
