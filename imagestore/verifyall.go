package imagestore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
)

// Fault is one problem in a store.
type Fault struct {
	Blob    blob.Digest `json:"blob,omitempty"` // that is damaged, missing or says something wrong
	Problem string      `json:"problem"`
	Images  []string    `json:"images"` // that it is part of, and those that cannot be made without it, in full
	// Unchecked says that the problem is of the check itself: a full disk, an error of the disk, missing rights.
	// The blob may be right.
	Unchecked bool `json:"unchecked,omitempty"`

	err error
}

// VerifiedStore is the result of a check of a whole store.
type VerifiedStore struct {
	OK       bool          `json:"ok"`
	Images   int           `json:"images"`
	Blobs    int           `json:"blobs"` // that were read
	Bytes    int64         `json:"bytes"`
	Faults   []Fault       `json:"faults"`
	Repaired []blob.Digest `json:"repaired,omitempty"`
	// Revoked are streams that a revoked key signed, if their images can be made without them. They are not
	// faults.
	Revoked []catalog.RevokedStream `json:"revoked,omitempty"`
}

// VerifyStoreOptions is how VerifyStore works. The zero value works.
type VerifyStoreOptions struct {
	// RepairFrom fetches the blobs that are damaged or missing from this store, and then checks everything again.
	RepairFrom *Store
	Progress   func(done, total int64) // may be nil; gets bytes of blobs
}

// VerifyStore reads every blob of a store, including those that no image needs. It compares each with its name,
// documents with their signatures, indexes with encodings, and frames and pieces with the signed documents, and
// reads content manifests. An error means that the check itself failed; faults are in the result.
func (s *Store) VerifyStore(ctx context.Context, o VerifyStoreOptions) (VerifiedStore, error) {
	out, err := s.verifyStore(ctx, o.Progress)
	if err != nil {
		return VerifiedStore{}, fmt.Errorf("verifying store: %w", err)
	}
	if out.OK || o.RepairFrom == nil {
		return out, nil
	}
	repaired, err := s.repair(ctx, o.RepairFrom, out.Faults)
	if len(repaired) == 0 {
		return out, err
	}
	again, verr := s.verifyStore(ctx, o.Progress)
	if verr != nil {
		return VerifiedStore{}, fmt.Errorf("verifying store: %w", errors.Join(err, verr))
	}
	again.Repaired = repaired
	return again, err
}

// repair puts good blobs in the place of bad ones. What the other store does not have, or has no
// better, stays as it is.
func (s *Store) repair(ctx context.Context, from *Store, faults []Fault) (done []blob.Digest, err error) {
	var errs []error
	for _, f := range faults {
		// What the disk cannot read is written again; for the rest of what was not checked, other blobs do nothing.
		if f.Unchecked && !errors.Is(f.err, unix.EIO) {
			continue
		}
		if f.Blob == "" || len(f.Images) == 0 || slices.Contains(done, f.Blob) {
			continue
		}
		rc, err := from.Blobs.Open(ctx, f.Blob, 0, -1)
		if err == nil {
			_, _, err = s.Blobs.Put(ctx, rc, f.Blob)
			rc.Close()
		}
		switch {
		case ctx.Err() != nil:
			return done, context.Cause(ctx)
		case err == nil:
			done = append(done, f.Blob)
		case !errors.Is(err, blob.ErrNotExist):
			errs = append(errs, fmt.Errorf("repairing: %w", err))
		}
	}
	return done, errors.Join(errs...)
}

// storeCheck is one VerifyStore.
type storeCheck struct {
	s        *Store
	v        *catalog.View
	trust    *document.Trust
	progress func(done, total int64)
	total    int64
	seen     map[blob.Digest]error // what was read, and what is wrong with it
	out      VerifiedStore
}

func (s *Store) verifyStore(ctx context.Context, progress func(done, total int64)) (VerifiedStore, error) {
	v, err := s.View(ctx)
	if err != nil {
		return VerifiedStore{}, err
	}
	c := storeCheck{s: s, v: v, trust: v.Trust(s.Trust), progress: progress, seen: map[blob.Digest]error{}}
	c.out.Faults = []Fault{}
	c.out.Revoked = v.RevokedStreams(c.trust)
	var there []blob.Digest
	err = s.Blobs.List(ctx, func(i blob.Info) error {
		there = append(there, i.Digest)
		c.total += i.Size
		return nil
	})
	if err != nil {
		return VerifiedStore{}, err
	}
	for _, l := range v.Sorted() {
		c.image(ctx, l)
	}
	for _, d := range there {
		if c.read(ctx, d) != nil && c.direct(d) == nil {
			// It went since the list was made, or nothing counts on it.
			if _, err := s.Blobs.Stat(ctx, d); !errors.Is(err, blob.ErrNotExist) {
				c.fault(d, c.seen[d])
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return VerifiedStore{}, context.Cause(ctx)
	}
	c.out.OK = len(c.out.Faults) == 0
	return c.out, nil
}

func (c *storeCheck) image(ctx context.Context, l *catalog.Listed) {
	c.out.Images++
	whole := true
	documents := []blob.Digest{l.Document, l.Identity.Content.Blob}
	if l.Packages != nil {
		documents = append(documents, l.Packages.Blob)
	}
	for _, d := range documents {
		whole = c.sound(ctx, d) && whole
	}
	if whole {
		one := check{store: c.s, trust: c.trust}
		one.image(ctx, l)
		for _, err := range one.errs {
			c.fault(l.Document, err)
		}
	}
	for _, ls := range l.Streams {
		if ls.Parent != "" && c.v.Image(ls.Parent) == nil && c.v.Gone(ls.Parent) == nil {
			c.fault(ls.Document, fmt.Errorf("parent %s: %w", ls.Parent, catalog.ErrNotFound))
		}
		whole := c.sound(ctx, ls.Document)
		if whole = c.sound(ctx, ls.Index) && whole; !whole || isRevoked(c.out.Revoked, l.Ref, ls) {
			c.sound(ctx, ls.Encoding)
			continue
		}
		// Each document may speak of the same encoding, and each is held against it.
		one := check{store: c.s, trust: c.trust, total: ls.Wire}
		if c.progress != nil {
			base := c.out.Bytes
			one.progress = func(done, _ int64) { c.progress(base+done, c.total) }
		}
		err := one.stream(ctx, l, ls)
		if _, again := c.seen[ls.Encoding]; !again {
			c.out.Blobs++
			c.out.Bytes += ls.Wire
			c.seen[ls.Encoding] = err
		}
		if err != nil {
			c.fault(ls.Encoding, err)
		}
	}
}

// sound reads a blob that an image needs, and reports it where it is not what its name says.
func (c *storeCheck) sound(ctx context.Context, d blob.Digest) bool {
	err := c.read(ctx, d)
	if err != nil {
		c.fault(d, err)
	}
	return err == nil
}

// read compares a blob with its name, once.
func (c *storeCheck) read(ctx context.Context, d blob.Digest) error {
	if err, ok := c.seen[d]; ok {
		return err
	}
	c.out.Blobs++
	n, err := compare(ctx, c.s.Blobs, d)
	c.out.Bytes += n
	c.seen[d] = err
	if c.progress != nil {
		c.progress(c.out.Bytes, c.total)
	}
	return err
}

func compare(ctx context.Context, r blob.Reader, d blob.Digest) (int64, error) {
	rc, err := r.Open(ctx, d, 0, -1)
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(h, rc, make([]byte, 256<<10))
	if err != nil {
		return n, fmt.Errorf("reading blob %s: %w", d, err)
	}
	if got := blob.FromSum(h.Sum(nil)); got != d {
		return n, fmt.Errorf("reading blob %s: %w: got %s", d, blob.ErrMismatch, got)
	}
	return n, nil
}

func (c *storeCheck) fault(d blob.Digest, err error) {
	f := Fault{Blob: d, Problem: err.Error(), Images: c.hit(d), Unchecked: prevented(err), err: err}
	if !slices.ContainsFunc(c.out.Faults, func(o Fault) bool { return o.Blob == d && o.Problem == f.Problem }) {
		c.out.Faults = append(c.out.Faults, f)
	}
}

// direct lists the images that name a blob.
func (c *storeCheck) direct(d blob.Digest) (out []string) {
	for _, l := range c.v.Sorted() {
		named := false
		l.EachBlob(func(o blob.Digest) { named = named || o == d })
		if named {
			out = append(out, l.Ref)
		}
	}
	return out
}

// hit lists these, and the images that cannot be made without the streams that need the blob.
func (c *storeCheck) hit(d blob.Digest) []string {
	out := append([]string{}, c.direct(d)...)
	needs := func(s catalog.ListedStream) bool { return s.Document == d || s.Index == d || s.Encoding == d }
	for _, l := range c.v.CutWithout(needs) {
		out = append(out, l.Ref)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
