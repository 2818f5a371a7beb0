package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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
	Warn        func(sentence string) // what a person should know though it does not stop anything; may be nil
	Now         func() time.Time      // for the default version and the documents; nil means time.Now

	// Prepared tells what the Source's Prepare did to the copy. It is asked once the copy is made; nil means nothing.
	Prepared func() []document.Prepared

	// Packages lists what is installed in the copy at dir; nil means that nobody looks. Its error is told to Warn, and the
	// image then has no list.
	Packages func(ctx context.Context, dir string) (packages.List, error)

	// Inspect looks at the copy at dir, which is to be an image for arch; nil means that no one does.
	Inspect    func(ctx context.Context, dir, arch string) (Inspected, error)
	AllowEmpty bool // publish a tree with nothing in it
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
	Size    int64   `json:"size"`             // bytes of the tree's file contents, without holes
	Files   int64   `json:"files"`            // paths of the tree
	Seconds float64 `json:"seconds"`

	Prepared []document.Prepared `json:"prepared,omitempty"` // what was done to the copy
	NoKernel bool                `json:"noKernel,omitempty"` // no machine can be installed with it
	Accounts []document.Account  `json:"accounts,omitempty"` // that are on every machine, with a password or ssh keys
}

// Publish makes the next image of a source. It copies the source (package source says how), has package delta write the
// stream of the copy, and on the way compresses and stores it; the content manifest comes of it too. The stream is a delta
// from the newest image of that name whose copy is still kept beside the source or, for a source of which no copies are kept,
// from the newest one, where the store has a place for its tree; it is full otherwise. The image is in the catalog when Publish returns without an error; on any error, the end of ctx
// included, it is not, the copy is removed, and so are its blobs, or what of them cannot be is left to Collect. ErrArch and ErrEmpty refuse what
// no one can mean; catalog.ErrExists where the version was published meanwhile, source.ErrBusy where another process is publishing it.
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
	if err := CheckArch(o.Ref.Arch); err != nil {
		return Published{}, err
	}
	v, err := s.View(ctx)
	if err != nil {
		return Published{}, err
	}
	isPublished := func(u sendstream.UUID, ctransid uint64) bool { return v.ByIdentity(u, ctransid) != nil }
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
	in, err := o.inspect(ctx, copied.Dir)
	if err != nil {
		return Published{}, err
	}
	from, err := s.findBase(ctx, v, o, copied)
	if err != nil {
		return Published{}, err
	}
	if from != nil {
		defer from.release()
	}
	e, m, id, err := s.send(ctx, o, copied, from)
	if err != nil {
		return Published{}, err
	}
	defer func() {
		if !added {
			s.GiveUp(ctx, e.Index, e.Frames.Encoding, id.Content.Blob)
		}
	}()
	id.Ref = ref.String()
	stored, err := content.Stored(ctx, copied.Dir, m)
	if err != nil {
		return Published{}, err
	}
	image := document.Image{Identity: id, Description: o.Description, Comment: o.Comment, Published: start, Size: stored, Files: int64(len(m.Entries)),
		NoKernel: !hasKernel(m), Accounts: in.Accounts}
	if o.Prepared != nil {
		image.Prepared = o.Prepared()
	}
	if image.Packages, err = s.listPackages(ctx, o, copied.Dir); err != nil {
		return Published{}, err
	}
	out := Published{Prepared: image.Prepared, Ref: id.Ref, Source: o.Source.Name, Kind: "full", Raw: e.Raw, Wire: e.Wire, Size: image.Size, Files: image.Files,
		NoKernel: image.NoKernel, Accounts: image.Accounts}
	stream := document.Stream{Image: id, Raw: e.Raw, Pieces: e.Pieces}
	if from != nil {
		stream.Parent = &from.listed.Identity
		out.Kind, out.Parent = "delta", from.listed.Ref
	}
	if err := s.commit(ctx, image, stream, e, o.Key); err != nil {
		return Published{}, err
	}
	added = true
	if from != nil {
		from.release()
	}
	// What follows cannot take the publication back, and what fails of it the next Collect sees to.
	if err := errors.Join(copied.Keep(), s.noteCopy(ctx, copied), o.retire(ctx, copied.Name)); err != nil {
		o.Warn(err.Error())
	}
	out.Seconds = o.Now().Sub(start).Seconds()
	return out, nil
}

// listPackages stores the list of what is installed in the copy. That nobody can read it is no reason not to publish.
func (s *Store) listPackages(ctx context.Context, o PublishOptions, dir string) (*document.Packages, error) {
	if o.Packages == nil {
		return nil, nil
	}
	l, err := o.Packages(ctx, dir)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		o.Warn(fmt.Sprintf("the image will have no list of packages: %v", err))
		return nil, nil
	}
	return s.putPackages(ctx, l)
}

// take settles the version and makes the copy, whose name it is part of: a receiver of several streams back to back
// needs different names.
func (s *Store) take(ctx context.Context, o PublishOptions) (ref.Ref, *source.Copy, error) {
	name := o.Ref
	if name.Version == ref.Latest {
		return name, nil, fmt.Errorf("%w: the version %q is reserved", ref.ErrInvalid, ref.Latest)
	}
	if name.Version != "" {
		if l, err := s.Resolve(ctx, name); err == nil && l.Ref == name.String() {
			err = fmt.Errorf("%w: %s was published %s", catalog.ErrExists, l.Ref, l.Published.Format(time.RFC3339))
			return name, nil, errors.Join(err, s.Settle(ctx))
		}
		c, err := o.Source.Take(ctx, name.FileName(), o.Warn)
		return name, c, err
	}
	version, err := s.NextVersion(ctx, name, o.Now())
	if err != nil {
		return name, nil, err
	}
	for {
		name.Version = version
		c, err := o.Source.Take(ctx, name.FileName(), o.Warn)
		if !errors.Is(err, source.ErrBusy) {
			return name, c, err
		}
		// Somebody beside us will have this version.
		if version, err = increment(version); err != nil {
			return name, nil, err
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

// retire removes the copies of the other versions of the template.
func (o PublishOptions) retire(ctx context.Context, keep string) error {
	template := ref.Ref{Namespace: o.Ref.Namespace, Name: o.Ref.Name}.FileName()
	return o.Source.Retire(ctx, func(name string) bool {
		parts := strings.Split(name, "@")
		if name == keep || len(parts) != 3 || parts[0] != template {
			return false
		}
		arch, _, _ := strings.Cut(parts[2], "+") // Take may have put a number behind it
		return arch == o.Ref.Arch
	})
}

// base is what a delta starts from.
type base struct {
	listed  *catalog.Listed
	tree    delta.Tree
	kept    *source.Copy // that the tree is, beside the source; nil where it is on the shelf
	release func()
}

// findBase finds what the publication's delta can start from: the newest image of the same template and architecture whose
// copy is still there, or, for a source of which no copies are kept, the newest one, whose tree the store then gets. It is
// nil where a full stream is all that there can be.
func (s *Store) findBase(ctx context.Context, v *catalog.View, o PublishOptions, c *source.Copy) (*base, error) {
	for _, l := range v.Sorted() {
		if l.Template != o.Ref.Template() || l.Arch != o.Ref.Arch || l.Installable() != nil {
			continue
		}
		if !c.Snapshot {
			t, err := s.tree(ctx, l.Parsed(), nil)
			if errors.Is(err, ErrNoShelf) {
				return nil, nil // the server may derive a delta
			}
			if err != nil {
				return nil, fmt.Errorf("opening the parent: %w", err)
			}
			return &base{listed: l, tree: t.side(), release: t.release}, nil
		}
		kept, err := o.Source.Kept(l.Identity.UUID, l.Identity.Ctransid)
		if kept == nil && err == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		opened, err := s.openDocument(ctx, l)
		var m *content.Manifest
		if err == nil {
			m, err = opened.Content(ctx)
		}
		if err != nil {
			kept.Release()
			return nil, fmt.Errorf("opening the parent: %w", err)
		}
		t := delta.Tree{Dir: kept.Dir, Content: m, UUID: kept.UUID, Ctransid: kept.Ctransid}
		return &base{listed: l, tree: t, kept: kept, release: kept.Release}, nil
	}
	return nil, nil
}

// send makes the stream of the copy, from nothing or from a base, and gives the encoding, the manifest and the
// identity, still without a name.
func (s *Store) send(ctx context.Context, o PublishOptions, c *source.Copy, from *base) (encoding.Encoded, *content.Manifest, document.Identity, error) {
	fail := func(err error) (encoding.Encoded, *content.Manifest, document.Identity, error) {
		return encoding.Encoded{}, nil, document.Identity{}, err
	}
	total := c.Bytes
	m := making{s: s, encoder: o.Encoder, to: delta.Tree{Dir: c.Dir, UUID: c.UUID, Ctransid: c.Ctransid}, name: c.Name}
	if from != nil {
		var err error
		if m.to.Content, total, err = compared(ctx, c, from); err != nil {
			return fail(err)
		}
		m.from = &from.tree
	}
	m.encoder.Progress = nil
	if o.Progress != nil {
		m.encoder.Progress = func(raw, wire int64) { o.Progress(PublishedSoFar{raw, wire, max(total, raw)}) }
	}
	var e encoding.Encoded
	var err error
	if from != nil {
		e, err = m.encode(ctx)
	} else {
		e, m.to.Content, err = m.encodeWhole(ctx)
	}
	if err != nil {
		return fail(err)
	}
	var text bytes.Buffer
	if _, err := m.to.Content.WriteTo(&text); err != nil {
		return fail(err)
	}
	ct, err := s.PutContent(ctx, text.Bytes())
	if err != nil {
		return fail(err)
	}
	return e, m.to.Content, document.Identity{UUID: c.UUID, Ctransid: c.Ctransid, Content: ct}, nil
}

// compared gives the manifest of a copy, and about how many bytes of content a delta has. Of a snapshot the kernel says
// what is different, so that only that is read.
func compared(ctx context.Context, c *source.Copy, from *base) (*content.Manifest, int64, error) {
	if from.kept == nil {
		m, err := content.Walk(ctx, c.Dir)
		return m, 0, err
	}
	changes, err := c.Changes(ctx, from.kept)
	if err != nil {
		return nil, 0, err
	}
	defer changes.Close()
	b := content.NewBuilder(from.tree.Content, c.Dir)
	if err := b.Read(changes); err != nil {
		return nil, 0, err
	}
	if st := b.Stream; st.UUID != c.UUID || st.ParentUUID != from.tree.UUID || st.ParentCtransid != from.tree.Ctransid {
		return nil, 0, fmt.Errorf("what has changed was told of %v from %v, not of the copy from its parent", st.UUID, st.ParentUUID)
	}
	m, err := b.Finish(ctx)
	return m, b.Touched(), err
}

// encodeWhole makes the full stream of a tree of which nothing is known yet, in one pass.
func (m making) encodeWhole(ctx context.Context) (encoding.Encoded, *content.Manifest, error) {
	g, gctx := errgroup.WithContext(ctx)
	var e encoding.Encoded
	var found *content.Manifest
	m.start(gctx, g, nil, &e, func(w io.Writer, o delta.Options) (err error) {
		found, err = delta.WriteFull(gctx, w, m.to.Dir, m.to.UUID, m.to.Ctransid, o)
		return err
	})
	if err := g.Wait(); err != nil {
		return encoding.Encoded{}, nil, errors.Join(ctx.Err(), err)
	}
	return e, found, nil
}

// commit signs and stores the documents and adds them to the catalog.
func (s *Store) commit(ctx context.Context, image document.Image, stream document.Stream, e encoding.Encoded, k *minisign.SecretKey) error {
	imageDoc, err := s.PutImage(ctx, image, k)
	if err != nil {
		return err
	}
	streamDoc, err := s.PutStream(ctx, stream, k)
	if err != nil {
		return err
	}
	_, err = s.Add(ctx, catalog.Publication{Image: imageDoc, Streams: []catalog.StreamBlobs{{Document: streamDoc, Index: e.Index}}})
	return err
}
