package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
	"griddle/imagestore/source"
)

// PublishOptions says what Publish publishes and under which name.
type PublishOptions struct {
	Source      *source.Source
	Ref         Ref    // without a version it gets the one of NextVersion, without an architecture the source's
	Description string // one line, for menus
	Comment     string // what is new
	Key         *SecretKey
	Encoder     Encoder               // its Progress is replaced
	Progress    func(PublishedSoFar)  // called from one goroutine at a time; may be nil
	Warn        func(sentence string) // what a person should know though it does not stop anything; may be nil
	Now         func() time.Time      // for the default version and the documents; nil means time.Now
}

// PublishedSoFar is how far a publication is.
type PublishedSoFar struct {
	Raw, Wire int64
	Total     int64 // about what Raw will be at the end; zero while it is not known
}

// Published is what became of a publication: the JSON of `griddle publish -o json`.
type Published struct {
	Ref     string  `json:"ref"`              // in full
	Source  string  `json:"source"`           // as it was given
	Kind    string  `json:"kind"`             // "full" or "delta"
	Parent  string  `json:"parent,omitempty"` // of a delta: the image that it stands on
	Raw     int64   `json:"raw"`              // bytes of the plain send stream
	Wire    int64   `json:"wire"`             // bytes of its encoding
	Size    int64   `json:"size"`             // bytes of the tree's file contents
	Files   int64   `json:"files"`            // paths of the tree
	Seconds float64 `json:"seconds"`
}

// Publish makes the next image of a source. It copies the source (package source says how), sends the copy once, and on
// the way compresses, signs and stores the stream and computes the content manifest. The stream is a delta where the
// newest image of that name that the store has was sent from a copy that is still kept beside the source, and full
// otherwise. The image is in the catalog when Publish returns without an error; on any error, the end of ctx
// included, it is not, the copy is removed, and what blobs there are is left to Collect. ErrExists where the version was
// published meanwhile, source.ErrBusy where another process is publishing it.
func (s *Store) Publish(ctx context.Context, o PublishOptions) (Published, error) {
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ref.Arch == "" {
		o.Ref.Arch = o.Source.Arch
	}
	p, err := s.publish(ctx, o)
	if err != nil {
		return Published{}, fmt.Errorf("publishing %s: %w", o.Ref, err)
	}
	return p, nil
}

func (s *Store) publish(ctx context.Context, o PublishOptions) (_ Published, err error) {
	start := o.Now()
	v, err := s.view(ctx)
	if err != nil {
		return Published{}, err
	}
	isPublished := func(u sendstream.UUID, ctransid uint64) bool { return v.byIdentity(u, ctransid) != nil }
	if err := o.Source.Collect(ctx, isPublished); err != nil {
		return Published{}, err
	}
	ref, copied, err := s.take(ctx, o)
	if err != nil {
		return Published{}, err
	}
	added := false
	defer func() {
		if !added {
			err = errors.Join(err, copied.Discard())
		}
	}()
	old, parent, err := v.newestKept(o)
	if err != nil {
		return Published{}, err
	}
	if parent != nil {
		defer parent.Release()
	}
	e, m, id, err := s.sendAndStore(ctx, o, copied, old, parent)
	if err != nil {
		return Published{}, err
	}
	id.Ref = ref.String()
	image := Image{Identity: id, Description: o.Description, Comment: o.Comment, Published: start, Size: m.Size(), Files: int64(len(m.Entries))}
	out := Published{Ref: id.Ref, Source: o.Source.Name, Kind: "full", Raw: e.Raw, Wire: e.Wire, Size: image.Size, Files: image.Files}
	stream := Stream{Image: id, Raw: e.Raw, Pieces: e.Pieces}
	if parent != nil {
		stream.Parent = &old.Identity
		out.Kind, out.Parent = "delta", old.Ref
	}
	if err := s.commit(ctx, image, stream, e, o.Key); err != nil {
		return Published{}, err
	}
	added = true
	if parent != nil {
		parent.Release()
	}
	// What follows cannot take the publication back, and what fails of it the next Collect sees to.
	if err := errors.Join(copied.Keep(), o.retire(ctx, copied.Name)); err != nil {
		o.Warn(err.Error())
	}
	out.Seconds = o.Now().Sub(start).Seconds()
	return out, nil
}

// take settles the version and makes the copy, whose name it is part of: a receiver of several streams back to back
// needs different names.
func (s *Store) take(ctx context.Context, o PublishOptions) (Ref, *source.Copy, error) {
	ref := o.Ref
	if ref.Version == Latest {
		return ref, nil, fmt.Errorf("%w: the version %q is reserved", ErrRef, Latest)
	}
	if ref.Version != "" {
		if l, err := s.Resolve(ctx, ref); err == nil && l.Ref == ref.String() {
			return ref, nil, fmt.Errorf("%w: %s was published %s", ErrExists, l.Ref, l.Published.Format(time.RFC3339))
		}
		c, err := o.Source.Take(ctx, ref.FileName(), o.Warn)
		return ref, c, err
	}
	version, err := s.NextVersion(ctx, ref, o.Now())
	if err != nil {
		return ref, nil, err
	}
	for {
		ref.Version = version
		c, err := o.Source.Take(ctx, ref.FileName(), o.Warn)
		if !errors.Is(err, source.ErrBusy) {
			return ref, c, err
		}
		// Somebody beside us will have this version.
		if version, err = increment(version); err != nil {
			return ref, nil, err
		}
	}
}

// increment adds one to the counter of a default version.
func increment(version string) (string, error) {
	date, counter, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(counter)
	if err != nil {
		return "", fmt.Errorf("counting on from version %s: %w", version, err)
	}
	return date + "." + strconv.Itoa(n+1), nil
}

func (v *view) byIdentity(u sendstream.UUID, ctransid uint64) *Listed {
	for _, l := range v.images {
		if l.Identity.UUID == u && l.Identity.Ctransid == ctransid {
			return l
		}
	}
	return nil
}

// newestKept finds the parent of a delta: the newest image of the same template and architecture whose copy is still
// there.
func (v *view) newestKept(o PublishOptions) (*Listed, *source.Copy, error) {
	for _, l := range v.sorted() {
		if l.Template != o.Ref.Template() || l.Arch != o.Ref.Arch || l.Installable() != nil {
			continue
		}
		c, err := o.Source.Kept(l.Identity.UUID, l.Identity.Ctransid)
		if c != nil || err != nil {
			return l, c, err
		}
	}
	return nil, nil, nil
}

// retire removes the copies of the other versions of the template.
func (o PublishOptions) retire(ctx context.Context, keep string) error {
	template := Ref{Namespace: o.Ref.Namespace, Name: o.Ref.Name}.FileName()
	return o.Source.Retire(ctx, func(name string) bool {
		parts := strings.Split(name, "@")
		if name == keep || len(parts) != 3 || parts[0] != template {
			return false
		}
		arch, _, _ := strings.Cut(parts[2], "+") // Take may have put a number behind it
		return arch == o.Ref.Arch
	})
}

// sendAndStore sends the copy and gives the encoding, the manifest and the identity, still without a name.
func (s *Store) sendAndStore(ctx context.Context, o PublishOptions, c *source.Copy, old *Listed, parent *source.Copy) (Encoded, *content.Manifest, Identity, error) {
	fail := func(err error) (Encoded, *content.Manifest, Identity, error) { return Encoded{}, nil, Identity{}, err }
	var before *content.Manifest
	if parent != nil {
		opened, err := s.Open(ctx, Plan{Ref: old.Ref, Document: old.Document}, OpenOptions{})
		if err != nil {
			return fail(fmt.Errorf("opening the parent: %w", err))
		}
		if before, err = opened.Content(ctx); err != nil {
			return fail(fmt.Errorf("opening the parent: %w", err))
		}
	}
	out, err := c.Send(ctx, parent)
	if err != nil {
		return fail(err)
	}
	defer out.Close()
	g, gctx := errgroup.WithContext(ctx)
	b := content.NewBuilder(before, c.Dir)
	raw := newTap(gctx)
	stop := o.measure(gctx, g, c, parent)
	var e Encoded
	g.Go(func() error {
		var err error
		encoder := stop(o.Encoder)
		encoder.tap = raw
		e, err = encoder.Encode(gctx, out, s.Blobs)
		return err
	})
	var m *content.Manifest
	g.Go(func() error {
		if err := b.Read(raw); err != nil {
			return err
		}
		var err error
		m, err = b.Finish(gctx)
		return err
	})
	if err := g.Wait(); err != nil {
		// What was cancelled because of it tells nothing; that the whole was cancelled does.
		return fail(errors.Join(ctx.Err(), err))
	}
	st := b.Stream
	if parent != nil && (st.ParentUUID != parent.UUID || st.ParentCtransid != parent.Ctransid) || parent == nil && !st.ParentUUID.IsZero() {
		return fail(fmt.Errorf("the stream stands on %v, not on the parent", st.ParentUUID))
	}
	var text bytes.Buffer
	if _, err := m.WriteTo(&text); err != nil {
		return fail(err)
	}
	ct, err := s.PutContent(ctx, text.Bytes())
	if err != nil {
		return fail(err)
	}
	return e, m, Identity{UUID: st.UUID, Ctransid: st.Ctransid, Content: ct}, nil
}

// measure finds out how long the stream will be, beside the work. It gives a function that makes an encoder report.
func (o PublishOptions) measure(ctx context.Context, g *errgroup.Group, c, parent *source.Copy) func(Encoder) Encoder {
	var total atomic.Int64
	if o.Progress != nil && parent == nil {
		total.Store(c.Bytes)
	}
	if o.Progress != nil && parent != nil {
		g.Go(func() error {
			if n, err := c.Measure(ctx, parent); err == nil { // without it there is no time left to show, that is all
				total.Store(n)
			}
			return nil
		})
	}
	return func(e Encoder) Encoder {
		e.Progress = nil
		if o.Progress != nil {
			e.Progress = func(raw, wire int64) { o.Progress(PublishedSoFar{raw, wire, total.Load()}) }
		}
		return e
	}
}

// commit signs and stores the documents and adds them to the catalog.
func (s *Store) commit(ctx context.Context, image Image, stream Stream, e Encoded, k *SecretKey) error {
	imageDoc, err := s.PutImage(ctx, image, k)
	if err != nil {
		return err
	}
	streamDoc, err := s.PutStream(ctx, stream, k)
	if err != nil {
		return err
	}
	_, err = s.Add(ctx, Publication{Image: imageDoc, Streams: []StreamBlobs{{Document: streamDoc, Index: e.Index}}})
	return err
}
