package liveupdate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/imagestore/blob"
	"griddle/imagestore/content"
	"griddle/imagestore/fetch"
	"griddle/imagestore/multicast"
	"griddle/initramfs/download"
	"griddle/initramfs/resident/contact"
	"griddle/initramfs/update"
)

// held is an opened image with its content manifest, so that what is received needs no server any more.
type held struct {
	*fetch.Opened
	notice   int64    // the number of the notice whose keys counted
	have     []string // what the way was planned from
	manifest func(ctx context.Context) (*content.Manifest, error)
}

// Content implements update.Image.
func (h *held) Content(ctx context.Context) (*content.Manifest, error) { return h.manifest(ctx) }

// hold keeps the manifest once it came.
func hold(img *fetch.Opened, notice int64, have []string) *held {
	var mu sync.Mutex
	var kept *content.Manifest
	return &held{img, notice, have, func(ctx context.Context) (m *content.Manifest, err error) {
		mu.Lock()
		defer mu.Unlock()
		if kept == nil {
			kept, err = img.Content(ctx)
		}
		return kept, err
	}}
}

// getter gets what an update needs from the server.
type getter struct {
	*run
	server *contact.Contact
	reader *http.Client
	wire   atomic.Int64
	ways   download.Ways
}

func (r *run) getter(c *contact.Contact) (*getter, error) {
	reader, err := c.Reader()
	if err != nil {
		return nil, err
	}
	return &getter{run: r, server: c, reader: reader}, nil
}

// open implements update.Options.Open.
func (g *getter) open(ctx context.Context, have []string) (update.Image, error) {
	return g.get(ctx, g.spec.Image, job.PlanAsk{Job: g.spec.ID, Have: have})
}

// kernel implements update.Options.Kernel.
func (g *getter) kernel(ctx context.Context, have []string) (update.Image, error) {
	return g.get(ctx, g.spec.Kernel, job.PlanAsk{Job: g.spec.ID, Have: have, Kernel: true})
}

// get opens an image of the job. One that was opened under the same notice is the same, as long as the pool has all
// that the way to it was planned from.
func (g *getter) get(ctx context.Context, want job.Image, ask job.PlanAsk) (update.Image, error) {
	if h := g.held[want.Ref]; h != nil && h.notice == g.server.Notice.Seq && !slices.ContainsFunc(h.have,
		func(id string) bool { return !slices.Contains(ask.Have, id) }) {
		return h, nil
	}
	trust, err := download.Trusted(g.server.Site())
	if err != nil {
		return nil, err
	}
	known, err := g.server.Catalog()
	if err != nil {
		return nil, err
	}
	var plan job.Image
	err = g.ask(ctx, func(ctx context.Context, c *job.Client) (err error) {
		plan, err = c.Plan(ctx, ask)
		return err
	})
	if err != nil {
		return nil, err
	}
	if plan.Ref != want.Ref || plan.Document != want.Document {
		return nil, fmt.Errorf("the server plans the way to %s, and the job names %s", job.Printable(plan.Ref),
			job.Printable(want.Ref))
	}
	if _, err := download.Head(ctx, known, g.headSource, func(err error, attempt int) {
		g.attempt(job.PhaseCheck, err, attempt)
	}); err != nil {
		return nil, err
	}
	img, err := download.Open(ctx, plan, download.Options{Trust: trust, Sources: g.sources(), Source: g.source,
		Ask: g.way, Ways: &g.ways, Wire: func(n int64) { g.wire.Add(n) }, Failed: g.attempt})
	if err != nil {
		return nil, err
	}
	h := hold(img, g.server.Notice.Seq, ask.Have)
	g.held[want.Ref] = h
	return h, nil
}

// way asks how to get a stream.
func (g *getter) way(ctx context.Context, ask multicast.Ask) (a multicast.Answer, err error) {
	_, err = g.server.Do(ctx, func(ctx context.Context, c *job.Client) error { return c.Stream(ctx, ask, &a) })
	return a, err
}

// sources are those of the job.
func (g *getter) sources() []blob.Reader {
	var out []blob.Reader
	for _, base := range g.spec.Sources {
		out = append(out, g.source(base))
	}
	return out
}

// source reads blobs at base. The server's own https URL takes the key of this machine; no other server gets it.
func (g *getter) source(base string) blob.Reader {
	if base != g.server.Site().HTTPS {
		return &blob.HTTP{Base: base}
	}
	return &blob.HTTP{Base: base, Client: g.reader}
}

// headSource is where the head of the catalog is: where the images are, if they are private.
func (g *getter) headSource() (string, *http.Client) {
	at := g.server.Site()
	if len(g.spec.Sources) > 0 && g.spec.Sources[0] == at.HTTPS {
		return at.HTTPS, g.reader
	}
	return at.HTTP, http.DefaultClient
}

// settings asks for the settings of this machine.
func (g *getter) settings(ctx context.Context) (setting.Settings, error) {
	var got job.Settings
	err := g.ask(ctx, func(ctx context.Context, c *job.Client) (err error) {
		got, err = c.Settings(ctx)
		return err
	})
	if err != nil {
		return setting.Settings{}, err
	}
	if got.State != job.Ready {
		return setting.Settings{}, errors.New("the settings of this machine have secrets, and no operator " +
			"approved its key: install it from the network, and approve the code on its screen " +
			"(griddle machine approve)")
	}
	return download.Settings(got.Settings)
}

// Pauses between two attempts to reach the server.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// ask calls the server until it answers.
func (g *getter) ask(ctx context.Context, call func(ctx context.Context, c *job.Client) error) error {
	for pause, attempt := firstPause, 1; ; pause, attempt = min(2*pause, lastPause), attempt+1 {
		_, err := g.server.Do(ctx, call)
		if err == nil || !job.Retryable(err) {
			return err
		}
		g.attempt(job.PhaseCheck, err, attempt)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// attempt reports one that failed and is repeated.
func (r *run) attempt(phase job.Phase, err error, attempt int) {
	r.event(job.Event{Phase: phase, Level: job.Warning,
		Message: job.Sentence(fmt.Sprintf("attempt %d: %v; trying again", attempt, err))})
}
