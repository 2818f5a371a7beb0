package imagestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"griddle/imagestore/catalog"
	"griddle/imagestore/content"
	"griddle/imagestore/delta"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/minisign"
	"griddle/imagestore/packages"
	"griddle/imagestore/ref"
	"griddle/imagestore/sendstream"
	"griddle/imagestore/source"
)

// PublishOptions says what Publish publishes and under which name.
type PublishOptions struct {
	Source      *source.Source
	Ref         ref.Ref // without a version it gets the one of NextVersion, without an architecture the source's
	Description string  // one line, for menus
	Comment     string  // what is new
	Key         *minisign.SecretKey
	Encoder     encoding.Encoder      // its Progress is replaced
	Progress    func(PublishedSoFar)  // called from one goroutine at a time; may be nil
	Warn        func(sentence string) // gets warnings, which do not stop the publication; may be nil
	Now         func() time.Time      // for the default version and the documents; nil means time.Now

	// Prepared returns what the Source's Prepare did to the copy. It is called after the copy is made; nil means
	// nothing.
	Prepared func() []document.Prepared

	// Packages lists what is installed in the copy at dir; nil skips that. Its error goes to Warn, and the image
	// then has no list.
	Packages func(ctx context.Context, dir string) (packages.List, error)

	// Inspect looks at the copy at dir, which will be an image for arch; nil skips that.
	Inspect    func(ctx context.Context, dir, arch string) (Inspected, error)
	AllowEmpty bool // publish a tree with nothing in it
}

// PublishedSoFar is the progress of a publication.
type PublishedSoFar struct {
	Raw, Wire int64
	Total     int64 // about what Raw will be at the end; zero while it is not known
}

// Published is the result of a publication: the JSON of `griddle publish -o json`.
type Published struct {
	Ref     string  `json:"ref"`              // in full
	Source  string  `json:"source"`           // as it was given
	Kind    string  `json:"kind"`             // "full" or "delta"
	Parent  string  `json:"parent,omitempty"` // of a delta: its parent
	Raw     int64   `json:"raw"`              // bytes of the plain send stream
	Wire    int64   `json:"wire"`             // bytes of its encoding
	Size    int64   `json:"size"`             // bytes of the tree's file contents, without holes
	Files   int64   `json:"files"`            // paths of the tree
	Seconds float64 `json:"seconds"`

	Prepared []document.Prepared `json:"prepared,omitempty"` // what was done to the copy
	NoKernel bool                `json:"noKernel,omitempty"` // a machine needs an image with a kernel too
	Accounts []document.Account  `json:"accounts,omitempty"` // that are on every machine, with a password or ssh keys
	Settings json.RawMessage     `json:"settings,omitempty"` // that every machine gets beside the image
}

// Publish makes the next image of a source. It copies the source (package source says how), calls package delta to
// write the stream of the copy, and compresses and stores the stream on the way, together with the content
// manifest. The stream is a delta from the newest image of that name whose copy is still next to the source. For a
// source without kept copies it is a delta from the newest image, if the store has a place for its tree. Otherwise
// it is full. When Publish returns without an error the image is in the catalog. After any error, the end of ctx
// included, it is not: Publish removes the copy and the blobs, and leaves blobs that it cannot remove for Collect.
// ErrArch and ErrEmpty refuse mistakes; the error is catalog.ErrExists if the version was published meanwhile,
// source.ErrBusy if another process is publishing it.
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
	p := publication{store: s, o: o, start: o.Now()}
	if err := p.run(ctx); err != nil {
		return Published{}, fmt.Errorf("publishing %s: %w", o.Ref, err)
	}
	return p.published(), nil
}

// publication is one image on its way from a source into the catalog. Its steps fill it in, from top to bottom.
type publication struct {
	store *Store
	o     PublishOptions
	start time.Time

	view      *catalog.View // of the catalog as it was at the start
	ref       ref.Ref       // with its version
	copied    *source.Copy
	inspected Inspected
	base      *base // what the stream is a delta from; nil where it is full
	encoded   encoding.Encoded
	manifest  *content.Manifest
	image     document.Image
	stream    document.Stream
}

// run makes the steps, and undoes them where one fails.
func (p *publication) run(ctx context.Context) error {
	steps := []func(context.Context) error{p.look, p.take, p.inspect, p.choose, p.send, p.describe, p.commit}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return errors.Join(err, p.undo(ctx))
		}
	}
	p.tidy(ctx)
	return nil
}

// undo gives back what the steps took: blobs, the base, the copy.
func (p *publication) undo(ctx context.Context) error {
	if p.manifest != nil {
		p.store.GiveUp(ctx, p.encoded.Index, p.encoded.Frames.Encoding, p.image.Content.Blob)
	}
	if p.base != nil {
		p.base.release()
	}
	if p.copied != nil {
		return p.copied.Discard()
	}
	return nil
}

// look reads the catalog, and removes what earlier publications left beside the source.
func (p *publication) look(ctx context.Context) (err error) {
	if err := CheckArch(p.o.Ref.Arch); err != nil {
		return err
	}
	if p.view, err = p.store.View(ctx); err != nil {
		return err
	}
	isPublished := func(u sendstream.UUID, ctransid uint64) bool { return p.view.ByIdentity(u, ctransid) != nil }
	return p.o.Source.Collect(ctx, isPublished)
}

// take settles the version and makes the copy, whose name it is part of: a receiver of several streams back to back
// needs different names.
func (p *publication) take(ctx context.Context) (err error) {
	p.ref = p.o.Ref
	if p.ref.Version == ref.Latest {
		return fmt.Errorf("%w: the version %q is reserved", ref.ErrInvalid, ref.Latest)
	}
	if p.ref.Version != "" {
		if l, err := p.store.Resolve(ctx, p.ref); err == nil && l.Ref == p.ref.String() {
			err = fmt.Errorf("%w: %s was published %s", catalog.ErrExists, l.Ref, l.Published.Format(time.RFC3339))
			return errors.Join(err, p.store.Settle(ctx))
		}
		p.copied, err = p.o.Source.Take(ctx, p.ref.FileName(), p.o.Warn)
		return err
	}
	if p.ref.Version, err = p.store.NextVersion(ctx, p.ref, p.o.Now()); err != nil {
		return err
	}
	for {
		p.copied, err = p.o.Source.Take(ctx, p.ref.FileName(), p.o.Warn)
		if !errors.Is(err, source.ErrBusy) {
			return err
		}
		// Another process will have this version.
		if p.ref.Version, err = increment(p.ref.Version); err != nil {
			return err
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

// inspect looks at the copy before anything is sent.
func (p *publication) inspect(ctx context.Context) (err error) {
	p.inspected, err = p.o.inspect(ctx, p.copied.Dir)
	return err
}

// choose finds what the stream can be a delta from.
func (p *publication) choose(ctx context.Context) (err error) {
	p.base, err = p.findBase(ctx)
	return err
}

// send makes and stores the stream of the copy, from nothing or from the base, and its manifest.
func (p *publication) send(ctx context.Context) error {
	c, total := p.copied, p.copied.Bytes
	m := streamMaker{s: p.store, encoder: p.o.Encoder,
		to: delta.Tree{Dir: c.Dir, UUID: c.UUID, Ctransid: c.Ctransid}, name: c.Name}
	if p.base != nil {
		var err error
		if m.to.Content, total, err = compared(ctx, c, p.base); err != nil {
			return err
		}
		m.from = &p.base.tree
	}
	m.encoder.Progress = nil
	if p.o.Progress != nil {
		m.encoder.Progress = func(raw, wire int64) { p.o.Progress(PublishedSoFar{raw, wire, max(total, raw)}) }
	}
	var err error
	if p.base != nil {
		p.encoded, err = m.encode(ctx)
	} else {
		p.encoded, m.to.Content, err = m.encodeWhole(ctx)
	}
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := m.to.Content.WriteTo(&text); err != nil {
		return err
	}
	stored, err := p.store.PutContent(ctx, text.Bytes())
	if err != nil {
		return err
	}
	p.manifest = m.to.Content
	p.image.Identity = document.Identity{Ref: p.ref.String(), UUID: c.UUID, Ctransid: c.Ctransid, Content: stored}
	return nil
}

// describe fills in the two documents.
func (p *publication) describe(ctx context.Context) error {
	size, err := content.Stored(ctx, p.copied.Dir, p.manifest)
	if err != nil {
		return err
	}
	m := &p.image
	m.Description, m.Comment, m.Published = p.o.Description, p.o.Comment, p.start
	m.Size, m.Files = size, int64(len(p.manifest.Entries))
	m.NoKernel, m.Accounts, m.Settings = !hasKernel(p.manifest), p.inspected.Accounts, p.inspected.Settings
	if p.o.Prepared != nil {
		m.Prepared = p.o.Prepared()
	}
	if m.Packages, err = p.listPackages(ctx); err != nil {
		return err
	}
	p.stream = document.Stream{Image: m.Identity, Raw: p.encoded.Raw, Pieces: p.encoded.Pieces}
	if p.base != nil {
		p.stream.Parent = &p.base.listed.Identity
	}
	return nil
}

// listPackages stores the list of what is installed in the copy. An image is published without one
// where it cannot be read.
func (p *publication) listPackages(ctx context.Context) (*document.Packages, error) {
	o := p.o
	if o.Packages == nil {
		return nil, nil
	}
	l, err := o.Packages(ctx, p.copied.Dir)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		o.Warn(fmt.Sprintf("the image will have no list of packages: %v", err))
		return nil, nil
	}
	return p.store.putPackages(ctx, l)
}

// commit signs and stores the documents and adds them to the catalog.
func (p *publication) commit(ctx context.Context) error {
	imageDoc, err := p.store.PutImage(ctx, p.image, p.o.Key)
	if err != nil {
		return err
	}
	streamDoc, err := p.store.PutStream(ctx, p.stream, p.o.Key)
	if err != nil {
		return err
	}
	blobs := catalog.StreamBlobs{Document: streamDoc, Index: p.encoded.Index}
	_, err = p.store.Add(ctx, catalog.Publication{Image: imageDoc, Streams: []catalog.StreamBlobs{blobs}})
	return err
}

// tidy keeps the copy for the next version, and removes those of earlier ones. It cannot take the publication back:
// what fails of it the next Collect sees to.
func (p *publication) tidy(ctx context.Context) {
	if p.base != nil {
		p.base.release()
	}
	if err := errors.Join(p.copied.Keep(), p.store.noteCopy(ctx, p.copied), p.retire(ctx)); err != nil {
		p.o.Warn(err.Error())
	}
}

// retire removes the copies of the other versions of the template.
func (p *publication) retire(ctx context.Context) error {
	template := ref.Ref{Namespace: p.ref.Namespace, Name: p.ref.Name}.FileName()
	return p.o.Source.Retire(ctx, func(name string) bool {
		parts := strings.Split(name, "@")
		if name == p.copied.Name || len(parts) != 3 || parts[0] != template {
			return false
		}
		arch, _, _ := strings.Cut(parts[2], "+") // Take may have put a number behind it
		return arch == p.ref.Arch
	})
}

// published says what came of it.
func (p *publication) published() Published {
	out := Published{Ref: p.image.Ref, Source: p.o.Source.Name, Kind: "full", Raw: p.encoded.Raw, Wire: p.encoded.Wire,
		Size: p.image.Size, Files: p.image.Files, Prepared: p.image.Prepared, NoKernel: p.image.NoKernel,
		Accounts: p.image.Accounts, Settings: p.image.Settings}
	if p.base != nil {
		out.Kind, out.Parent = "delta", p.base.listed.Ref
	}
	out.Seconds = p.o.Now().Sub(p.start).Seconds()
	return out
}
