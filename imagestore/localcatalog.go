package imagestore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

// localCatalog is the log of a local directory together with the blobs that it speaks of.
type localCatalog struct {
	log    *logFile
	blobs  blob.Store
	trust  *document.Trust
	head   *headFile
	leases string // directory

	// Now is the clock; tests set another one.
	Now func() time.Time

	// Collected and Cleared remove what else goes with images that are gone. Collected is called with the log locked; Cleared after
	// it, since to remove a large tree takes a while. keep admits the documents of the images that are there, in hex.
	Collected func(ctx context.Context, v *view) error
	Cleared   func(ctx context.Context, keep func(hex string) bool) error
}

// openLocal opens the catalog of the store in dir, and makes it where there is none. blobs are the store's.
func openLocal(disk durable.Disk, dir string, blobs blob.Store) (*localCatalog, error) {
	log, err := openLog(disk, filepath.Join(dir, "catalog"))
	if err != nil {
		return nil, err
	}
	return newLocal(log, dir, blobs), nil
}

// openReadOnly opens a catalog to which nothing can be added; why says why, and is wrapped in ErrReadOnly.
func openReadOnly(disk durable.Disk, dir string, blobs blob.Store, why error) *localCatalog {
	return newLocal(&logFile{disk: disk, path: filepath.Join(dir, "catalog"), readOnly: why}, dir, blobs)
}

func newLocal(log *logFile, dir string, blobs blob.Store) *localCatalog {
	c := &localCatalog{log: log, blobs: blobs, trust: &document.Trust{}, leases: filepath.Join(dir, "leases"), Now: time.Now,
		Collected: func(context.Context, *view) error { return nil },
		Cleared:   func(context.Context, func(string) bool) error { return nil }}
	c.head = &headFile{path: log.path + ".head", log: log, now: func() time.Time { return c.Now() }}
	return c
}

// Trust is the set of keys that count beside those that the log trusts. It is empty at first.
func (c *localCatalog) Trust() *document.Trust { return c.trust }

// orphanAge is how old a blob that no image needs must be before Collect takes it: longer than any publication,
// which puts its blobs first and its line last.
const orphanAge = 24 * time.Hour

// Dir is the directory of the store.
func (c *localCatalog) Dir() string { return filepath.Dir(c.log.path) }

// Locked calls f while no other process or goroutine changes the catalog. What was read of it is durable then.
func (c *localCatalog) Locked(ctx context.Context, f func() error) error {
	return c.log.update(ctx, func([]Entry) ([]Entry, error) { return nil, f() })
}

// Lines are the whole lines of the log, as they are on the disk.
func (c *localCatalog) Lines() ([]byte, error) { return c.log.lines() }

// Size is the length of the log as it was read last, in bytes.
func (c *localCatalog) Size() int64 { return c.log.size() }

// Read implements Catalog.
func (c *localCatalog) Read(context.Context) ([]Entry, error) { return c.log.read() }

// Change implements Catalog.
func (c *localCatalog) Change(ctx context.Context, ch Change) (Changed, error) {
	var out Changed
	var gone []string // full references of what got tombstones
	err := c.log.update(ctx, func(old []Entry) ([]Entry, error) {
		v, err := replay(old)
		if err != nil {
			return nil, err
		}
		v.With(c.trust)
		switch {
		case ch.Publish != nil:
			return c.publish(ctx, v, *ch.Publish, &out)
		case ch.Delete != "":
			gone = []string{ch.Delete}
			return c.delete(v, ch.Delete)
		case ch.Trust != "":
			return v.trustOnce(ch.Trust)
		case ch.Grant != nil:
			return v.grant(*ch.Grant)
		case ch.Revoke != "":
			return v.revocation(ch.Revoke)
		case ch.Channel != nil:
			return c.channel(v, *ch.Channel)
		case ch.Reencode != nil:
			return c.reencode(ctx, v, *ch.Reencode)
		case ch.Keep != nil:
			return c.keepRule(v, *ch.Keep)
		case ch.Expire != nil && ch.Expire.DryRun:
			out.Deleted, err = c.rehearse(ctx, old, *ch.Expire)
			return nil, err
		case ch.Expire != nil:
			gone = ch.Expire.Refs
			return c.expire(v, *ch.Expire, c.Now())
		case ch.Collect:
			return nil, nil
		}
		return nil, errors.New("changing catalog: nothing was asked for")
	})
	if err != nil {
		return Changed{}, err
	}
	if ch.Delete == "" && !ch.Collect && (ch.Expire == nil || ch.Expire.DryRun) {
		return out, nil
	}
	// The tombstone is durable: only now may blobs go. The log is locked again, so that no publication that counts on
	// one of them comes between the look and the removal.
	out.Deleted = &Deleted{Ref: ch.Delete}
	live := map[string]bool{}
	err = c.log.update(ctx, func(old []Entry) ([]Entry, error) {
		v, err := replay(old)
		if err != nil {
			return nil, err
		}
		for _, l := range v.images {
			live[l.Document.Hex()] = true
		}
		return nil, errors.Join(c.sweep(ctx, old, v, gone, false, out.Deleted), c.Collected(ctx, v))
	})
	if err == nil {
		// Without the log's lock: to remove a large tree takes a while. One that came on the shelf since goes too, and comes again.
		err = c.Cleared(ctx, func(hex string) bool { return live[hex] })
	}
	return out, err
}

func (c *localCatalog) publish(ctx context.Context, v *view, p Publication, out *Changed) ([]Entry, error) {
	l, err := c.examine(ctx, v, p)
	if err != nil {
		return nil, err
	}
	kind := KindPublish
	switch old := v.images[l.Ref]; {
	case v.gone[l.Ref] != nil:
		return nil, fmt.Errorf("%w: %s was deleted, and a version is never used twice", ErrExists, l.Ref)
	case old != nil && old.Document != l.Document:
		return nil, fmt.Errorf("%w: %s", ErrExists, l.Ref)
	case old != nil:
		kind = KindStreams
		l.Streams = slices.DeleteFunc(l.Streams, func(s ListedStream) bool {
			return slices.ContainsFunc(old.Streams, func(o ListedStream) bool { return o.Index == s.Index && o.Document == s.Document })
		})
		if len(l.Streams) == 0 {
			out.Image = old
			return nil, nil
		}
	case len(l.Streams) == 0:
		return nil, fmt.Errorf("%w: to %s, since no stream comes with it", ErrNoWay, l.Ref)
	case v.channels[l.Template][l.Version] != "":
		return nil, fmt.Errorf("%w: %q is a channel of %s", ErrExists, l.Version, l.Template)
	}
	if err := c.settle(&l); err != nil {
		return nil, err
	}
	e := Entry{Seq: v.entries + 1, Kind: kind, Image: &l}
	if err := v.apply(&e); err != nil {
		return nil, err
	}
	v.complete()
	if _, err := v.way(l.Ref, nil); err != nil {
		return nil, err
	}
	shown := *v.images[l.Ref]
	out.Image = &shown
	return []Entry{e}, nil
}

// settle makes all blobs of an image durable. Whoever put them did so, but one that was found there may be of somebody who
// was killed before he could.
func (c *localCatalog) settle(l *Listed) error {
	dir, ok := c.blobs.(interface{ Settle(blob.Digest) error })
	if !ok {
		return nil
	}
	var errs []error
	l.blobs(func(d blob.Digest) { errs = append(errs, dir.Settle(d)) })
	return errors.Join(errs...)
}

// examine reads all documents of a publication and holds them against one another and against what the store has.
func (c *localCatalog) examine(ctx context.Context, v *view, p Publication) (Listed, error) {
	trust := v.Trust(c.trust)
	b, err := blob.ReadAll(ctx, c.blobs, p.Image, document.MaxSize)
	if err != nil {
		return Listed{}, err
	}
	m, key, err := document.OpenImage(b, trust)
	if err != nil {
		return Listed{}, err
	}
	if _, err := fetch.ReadContent(ctx, c.blobs, m.Content); err != nil {
		return Listed{}, err
	}
	if m.Packages != nil {
		if _, err := fetch.ReadPackages(ctx, c.blobs, m.Packages); err != nil {
			return Listed{}, err
		}
	}
	r, err := ref.Parse(m.Ref)
	if err != nil {
		return Listed{}, err
	}
	l := Listed{Ref: m.Ref, Template: r.Template(), Version: r.Version, Arch: r.Arch, Description: m.Description, Comment: m.Comment,
		Published: m.Published, Size: m.Size, Files: m.Files, Signer: key.ID(), Document: p.Image, Identity: m.Identity, Packages: m.Packages, NoKernel: m.NoKernel}
	for _, s := range p.Streams {
		ls, err := c.examineStream(ctx, v, trust, m, s)
		if err != nil {
			return Listed{}, err
		}
		l.Streams = append(l.Streams, ls)
	}
	return l, nil
}

func (c *localCatalog) examineStream(ctx context.Context, v *view, trust *document.Trust, m document.Image, s StreamBlobs) (ListedStream, error) {
	b, err := blob.ReadAll(ctx, c.blobs, s.Document, document.MaxSize)
	if err != nil {
		return ListedStream{}, err
	}
	doc, key, err := document.OpenStream(b, trust)
	if err != nil {
		return ListedStream{}, err
	}
	x, err := encoding.ReadIndex(ctx, c.blobs, s.Index)
	if err != nil {
		return ListedStream{}, err
	}
	if err := encoding.Fits(doc, x, m.Identity); err != nil {
		return ListedStream{}, err
	}
	switch size, err := c.blobs.Stat(ctx, x.Encoding); {
	case err != nil:
		return ListedStream{}, err
	case size != x.Size:
		return ListedStream{}, fmt.Errorf("encoding %s: %w: it has %d bytes, not %d", x.Encoding, blob.ErrMismatch, size, x.Size)
	}
	out := ListedStream{Raw: x.Raw, Wire: x.Size, Signer: key.ID(), Document: s.Document, Index: s.Index, Encoding: x.Encoding,
		Level: x.Level, Dictionary: x.NeedsParent()}
	if doc.Parent == nil {
		return out, nil
	}
	out.Parent = doc.Parent.Ref
	parent := v.images[out.Parent]
	if parent == nil {
		return ListedStream{}, fmt.Errorf("parent %s of the stream: %w", out.Parent, ErrNotFound)
	}
	if parent.Identity != *doc.Parent {
		return ListedStream{}, fmt.Errorf("parent %s of the stream: %w: another image has this name here", out.Parent, ErrExists)
	}
	return out, nil
}

// reencode checks that the new encodings are of the very stream, and returns the entry that names them.
func (c *localCatalog) reencode(ctx context.Context, v *view, r Reencoding) ([]Entry, error) {
	l := v.images[r.Ref]
	if l == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, r.Ref)
	}
	if !slices.ContainsFunc(l.Streams, func(s ListedStream) bool { return s.Document == r.Stream && s.Index == r.Old }) {
		return nil, fmt.Errorf("%w: %s has no such encoding any more", ErrNotFound, r.Ref)
	}
	b, err := blob.ReadAll(ctx, c.blobs, l.Document, document.MaxSize)
	if err != nil {
		return nil, err
	}
	trust := v.Trust(c.trust)
	m, _, err := document.OpenImage(b, trust)
	if err != nil {
		return nil, err
	}
	// The stream is there already, and of use to who still has a parent that was deleted here.
	all := *v
	all.images = maps.Clone(v.gone)
	maps.Copy(all.images, v.images)
	e := Entry{Kind: KindEncoding, Replaces: r.Old, Image: &Listed{Ref: l.Ref}}
	for _, x := range r.New {
		s, err := c.examineStream(ctx, &all, trust, m, StreamBlobs{Document: r.Stream, Index: x})
		if err != nil {
			return nil, err
		}
		e.Image.Streams = append(e.Image.Streams, s)
	}
	if len(e.Image.Streams) == 0 || e.Image.Streams[0].Dictionary {
		return nil, fmt.Errorf("%w: to %s for who has no parent's files", ErrNoWay, l.Ref)
	}
	e.Image.Streams[0].NoDictionary = r.NoDictionary
	settled := *l
	settled.Streams = e.Image.Streams
	if err := c.settle(&settled); err != nil {
		return nil, err
	}
	return []Entry{e}, nil
}

// delete refuses what would cut others off, then returns the tombstone.
func (c *localCatalog) delete(v *view, ref string) ([]Entry, error) {
	if v.images[ref] == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, ref)
	}
	if cut := v.cutBy([]string{ref}, nil); len(cut) > 0 {
		return nil, fmt.Errorf("%w: %s leads to %s", ErrInUse, ref, strings.Join(cut, ", "))
	}
	return []Entry{{Kind: KindDelete, Ref: ref}}, nil
}

func (c *localCatalog) channel(v *view, ch Channel) ([]Entry, error) {
	r, err := ref.Parse(ch.Template + ":" + ch.Name)
	if err != nil {
		return nil, err
	}
	if ch.Name == ref.Latest {
		return nil, fmt.Errorf("%w: %q is reserved", ref.ErrInvalid, ref.Latest)
	}
	if ch.Version == "" {
		if v.channels[r.Template()][ch.Name] == "" {
			return nil, fmt.Errorf("%w: the channel %s", ErrNotFound, r)
		}
		return []Entry{{Kind: KindChannel, Ref: r.Template(), Channel: ch.Name}}, nil
	}
	known := false
	for _, l := range v.images {
		if l.Template != r.Template() {
			continue
		}
		if l.Version == ch.Name {
			return nil, fmt.Errorf("%w: %q is a version of %s", ErrExists, ch.Name, ch.Template)
		}
		known = known || l.Version == ch.Version
	}
	if !known {
		return nil, fmt.Errorf("%w: %s:%s", ErrNotFound, ch.Template, ch.Version)
	}
	return []Entry{{Kind: KindChannel, Ref: r.Template(), Channel: ch.Name, Version: ch.Version}}, nil
}

// sweep removes blobs that no live image needs: those of the deleted images refs, and all that are old; dry, it names
// them and removes none. Those that were put again since an entry of the log last named them stay until they are old: a
// publication that has not come to its own entry yet may count on them, unless its process is dead.
func (c *localCatalog) sweep(ctx context.Context, log []Entry, v *view, refs []string, dry bool, done *Deleted) error {
	keep, named := v.needed(), lastNamed(log)
	err := c.eachLease(c.Now(), func(l leaseFile) {
		for _, d := range l.Blobs {
			keep[d] = true
		}
	})
	if err != nil {
		return err
	}
	deleted := map[blob.Digest]bool{}
	for _, ref := range refs {
		v.gone[ref].blobs(func(d blob.Digest) { deleted[d] = true })
	}
	old := c.Now().Add(-orphanAge)
	var errs []error
	var left blob.Abandoned
	if dir, ok := c.blobs.(*blob.Dir); ok {
		left = dir.Abandoned()
	}
	err = c.blobs.List(ctx, func(i blob.Info) error {
		spent := deleted[i.Digest] && !i.Time.After(named[i.Digest])
		if keep[i.Digest] || v.retired[i.Digest].After(old) || i.Time.After(old) && !spent && !left.Blobs[i.Digest] {
			return nil
		}
		if dry {
			done.Blobs++
			done.Bytes += i.Size
			done.Digests = append(done.Digests, i.Digest)
			return nil
		}
		switch err := c.blobs.Delete(ctx, i.Digest); {
		case err == nil:
			done.Blobs++
			done.Bytes += i.Size
		case !errors.Is(err, blob.ErrNotExist):
			errs = append(errs, err)
		}
		return nil
	})
	if errors.Join(append(errs, err)...) == nil {
		var n int64
		done.Files, n, err = left.Clear(dry)
		done.Bytes += n
	}
	return errors.Join(append(errs, err)...)
}

// lastNamed says when each blob was last part of a publication.
func lastNamed(log []Entry) map[blob.Digest]time.Time {
	out := map[blob.Digest]time.Time{}
	for _, e := range log {
		if e.Image == nil {
			continue
		}
		at := e.Time.Add(time.Millisecond) // entries are dated in whole ones, and a blob may be put in the same
		e.Image.blobs(func(d blob.Digest) {
			if at.After(out[d]) {
				out[d] = at
			}
		})
	}
	return out
}
