// Package mirror copies images from store to store.
//
// Call Copy: it fetches the fewest bytes that the receiving store lacks, and publishes each image there as soon as
// it is complete, parents first. Either store may be a local one or one behind a server (package remote).
//
// All is verified before it is kept, against the keys that the receiving store trusts. Copy refuses a source whose
// signed catalog is older than one that was seen before, or has lost its signature on the way. After an
// interrupted copy the receiving store has complete images, and the next copy resumes after the last complete
// frame. Four encodings are fetched at once; memory is about three frames for each.
package mirror

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/head"
	"griddle/imagestore/minisign"
)

// Options says what Copy copies.
type Options struct {
	// Images are references, such as "web" (its newest version) or "web:stable", and filters, such as "web:*".
	// Without an architecture all architectures are copied.
	Images   []string
	Jobs     int                     // blobs that are fetched at once; zero means 4
	Channels bool                    // also make the channels that mean a copied version mean it here
	Progress func(done, total int64) // may be nil; gets bytes of encodings, from one goroutine at a time

	// Stall is how long the source may send nothing before a blob is requested again; zero means 15 s.
	Stall time.Duration

	// Seen remembers the catalogs of sites, in addition to what a local receiving store remembers itself: a source
	// whose signed catalog is older than what either has seen, or does not continue it, is refused. May be nil.
	Seen *head.SeenDir
	// Unsigned accepts a server that signs no catalog although signed ones of other servers were seen. A server
	// whose own signed catalog was seen, or whose log names a site that was seen, is refused all the same.
	Unsigned bool
	From     string // by which Seen knows the source, as in Seen.Servers; "" means its URL, and for a directory none
}

// Copied is what Copy did.
type Copied struct {
	// in the order in which they were published; those that lacked nothing are left out
	Images []CopiedImage `json:"images"`
	// that were deleted in the receiving store, and never come back
	Skipped  []string          `json:"skipped,omitempty"`
	Channels []catalog.Channel `json:"channels,omitempty"` // that were set
	Blobs    int               `json:"blobs"`              // that were missing
	Bytes    int64             `json:"bytes"`              // that were fetched
	Resumed  int64             `json:"resumed"`            // bytes of earlier attempts that were used
}

// CopiedImage is one image of a Copied.
type CopiedImage struct {
	Ref     string `json:"ref"`     // in full
	Streams int    `json:"streams"` // that came
	New     bool   `json:"new"`     // false where the image was there, and got further streams
}

// UntrustedError says that a document of an image to copy is signed by a key that the receiving store does not
// trust. It wraps minisign.ErrSignature.
type UntrustedError struct {
	Ref string // of the image
	Key string // ID of the key that signed
	// Line is the whole public key if the other store trusts it and shows it, and otherwise "". It does not prove
	// who owns the key.
	Line string
}

// Error implements error.
func (e *UntrustedError) Error() string {
	return fmt.Sprintf("%s is signed by key %s, which the receiving store does not trust", e.Ref, e.Key)
}

// Unwrap returns minisign.ErrSignature.
func (e *UntrustedError) Unwrap() error { return minisign.ErrSignature }

// Copy fetches images from another store into to. It fetches only blobs that are missing: documents as they were
// signed, and of the streams the cheapest ones that make each image here, and every delta between images that to
// has or gets. All is verified before it is kept: documents against the keys that to trusts, encodings frame by
// frame and piece by piece. One durable line of the catalog publishes each image as soon as it is complete,
// parents first. An interrupted copy leaves complete images, complete blobs and, in a local store, parts of
// encodings; the next one resumes after the last complete frame. If the disk is full, it leaves only complete
// images. From a store behind a server without a token Copy reads only what needs no token.
//
// Copy first checks the signed head of the source's catalog, if there is one: head.ErrRollback, head.ErrExpired
// and minisign.ErrSignature refuse the whole source, and nothing is written. So does head.ErrUnsigned if an http
// or https server has no head and the head of any site was seen before: an attacker between the two can remove a
// head. A server of an earlier version shows its log only to a caller with a token; without one Copy detects
// another history only if it has no more entries than the one that was seen.
func Copy(ctx context.Context, to, from *imagestore.Store, o Options) (Copied, error) {
	if o.Jobs <= 0 {
		o.Jobs = 4
	}
	c := copier{to: to, from: from, o: o, done: map[blob.Digest]chan struct{}{}}
	c.out.Images = []CopiedImage{}
	err := c.run(ctx)
	if IsFull(err) {
		to.GiveUp(ctx, c.putting...)
	}
	if err != nil {
		err = fmt.Errorf("copying images: %w", err)
	}
	return c.out, err
}

// copier is one Copy.
type copier struct {
	to, from *imagestore.Store
	o        Options
	trust    *document.Trust
	plan     []plannedImage

	mu       sync.Mutex
	out      Copied
	fetching []fetching
	putting  []blob.Digest                 // that this copy has put, or was about to
	done     map[blob.Digest]chan struct{} // closed when the encoding is there
	progress int64
	total    int64
}

// fetching is an encoding that is missing.
type fetching struct {
	of    string // image
	doc   document.Stream
	index encoding.Index
}

func (c *copier) run(ctx context.Context) error {
	here, err := c.to.View(ctx)
	if err != nil {
		return err
	}
	there, err := c.source(ctx, here)
	if err != nil {
		return err
	}
	want, err := wanted(there, c.o.Images)
	if err != nil {
		return err
	}
	c.trust = here.Trust(c.to.Trust)
	if c.plan, c.out.Skipped, err = planCopy(there, here, want); err != nil {
		return err
	}
	if len(c.plan) > 0 {
		var refs []string
		for _, p := range c.plan {
			refs = append(refs, p.image.Ref)
		}
		defer c.from.Hold(ctx, refs)()
	}
	if err := c.documents(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.encodings(gctx) })
	g.Go(func() error { return c.publish(gctx, here) })
	if err := g.Wait(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	if c.o.Channels {
		if err := c.channels(ctx, here, want); err != nil {
			return err
		}
	}
	if len(c.out.Images) == 0 && len(c.out.Channels) == 0 {
		return c.to.Settle(ctx)
	}
	return nil
}

// publish adds the images in the order of the plan, each when its encodings are there.
func (c *copier) publish(ctx context.Context, here *catalog.View) error {
	known := map[string]bool{}
	for ref := range here.Images() {
		known[ref] = true
	}
	var late []plannedImage
	for _, p := range c.plan {
		now := plannedImage{image: p.image}
		rest := now
		for _, s := range p.streams {
			if s.Parent == "" || known[s.Parent] {
				now.streams = append(now.streams, s)
			} else {
				rest.streams = append(rest.streams, s)
			}
		}
		if err := c.add(ctx, now, !known[p.image.Ref]); err != nil {
			return err
		}
		known[p.image.Ref] = true
		if len(rest.streams) > 0 {
			late = append(late, rest)
		}
	}
	for _, p := range late { // whose parents came after them
		if err := c.add(ctx, p, false); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) add(ctx context.Context, p plannedImage, isNew bool) error {
	pub := catalog.Publication{Image: p.image.Document}
	for _, s := range p.streams {
		if done := c.done[s.Encoding]; done != nil {
			select {
			case <-done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		pub.Streams = append(pub.Streams, catalog.StreamBlobs{Document: s.Document, Index: s.Index})
	}
	if _, err := c.to.Add(ctx, pub); err != nil {
		return fmt.Errorf("%s: %w", p.image.Ref, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.out.Images, func(o CopiedImage) bool { return o.Ref == p.image.Ref }); i >= 0 {
		c.out.Images[i].Streams += len(p.streams)
		return nil
	}
	c.out.Images = append(c.out.Images, CopiedImage{p.image.Ref, len(p.streams), isNew})
	return nil
}

// channels sets those that mean a version that was asked for, and that mean another one here or nothing.
func (c *copier) channels(ctx context.Context, here *catalog.View, want []*catalog.Listed) error {
	for _, l := range want {
		for _, name := range l.Channels {
			ch := catalog.Channel{Template: l.Template, Name: name, Version: l.Version}
			if slices.Contains(c.out.Skipped, l.Ref) || slices.Contains(c.out.Channels, ch) ||
				here.Channel(l.Template, name) == l.Version {
				continue
			}
			if err := c.to.SetChannel(ctx, ch); err != nil {
				return err
			}
			c.out.Channels = append(c.out.Channels, ch)
		}
	}
	return nil
}
