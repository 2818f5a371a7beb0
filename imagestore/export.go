package imagestore

import (
	"context"
	"fmt"
	"io"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
	"griddle/imagestore/tarball"
)

// Attempts is how often in a row a request to a server that cannot be reached is tried. Then the work fails, and
// can be repeated.
const Attempts = 6

// Open checks the documents of a plan against the keys that the store trusts, as fetch.Open does, and reads from
// the store's own blobs. If o.Attempts is zero, Open tries a server that cannot be reached Attempts times.
func (s *Store) Open(ctx context.Context, p fetch.Plan, o fetch.Options) (*fetch.Opened, error) {
	t, err := s.Trusted(ctx)
	if err != nil {
		return nil, err
	}
	if o.Attempts == 0 {
		o.Attempts = Attempts
	}
	return fetch.Open(ctx, []blob.Reader{s.Blobs}, t, p, o)
}

// Stream writes what `btrfs receive` takes: the image from nothing or, with from, from that image. If the store
// has no single stream for that, Stream writes the streams of the cheapest chain one after another: btrfs receive
// applies them in this order and makes the images between as well, and so does our receiver. Without raw the bytes
// are zstd frames, which `zstd -d` decodes to the same.
//
// Every byte is verified before it is written. After an error w has the beginning of a stream, which no receiver
// takes for a whole one. With from, the error is catalog.ErrNoWay if only a full stream makes r.
func (s *Store) Stream(ctx context.Context, r ref.Ref, from *ref.Ref, raw bool, w io.Writer) error {
	return s.writeStream(ctx, r, from, raw, w, streaming{ahead: fetch.Ahead})
}

// StreamWithin is Stream for a reader that may be slow: it decodes nothing before the reader asks for it, and
// first takes the bytes of memory that it needs from a budget. The error of reserve ends it.
func (s *Store) StreamWithin(ctx context.Context, r ref.Ref, from *ref.Ref, raw bool, w io.Writer,
	reserve func(int64) error) error {
	return s.writeStream(ctx, r, from, raw, w, streaming{reserve: reserve})
}

// streaming is how a stream is written.
type streaming struct {
	ahead   int               // frames that are decoded before they are wanted; 0 means 1, which is none
	reserve func(int64) error // takes bytes of memory from a budget; nil has none
}

func (s *Store) writeStream(ctx context.Context, of ref.Ref, from *ref.Ref, raw bool, w io.Writer,
	how streaming) error {
	p, err := s.StreamPlan(ctx, of, from)
	if err == nil {
		err = how.take(planMemory(p))
	}
	if err != nil {
		return fmt.Errorf("streaming %s: %w", of, err)
	}
	o, err := s.Open(ctx, p, fetch.Options{})
	if err == nil {
		err = how.take(o.Memory(how.ahead))
	}
	if err != nil {
		return fmt.Errorf("streaming %s: %w", of, err)
	}
	defer s.Hold(ctx, o.Refs())()
	for i, st := range o.Streams() {
		if st.NeedsParent {
			return fmt.Errorf("streaming %s: %w", of, encoding.ErrNeedsParent)
		}
		r := o.OpenAhead(ctx, i, !raw, how.ahead)
		_, err = io.Copy(w, r)
		r.Close()
		if err != nil {
			return fmt.Errorf("streaming %s: %w", of, err)
		}
	}
	return nil
}

// take takes n bytes from the budget of the stream.
func (h streaming) take(n int64) error {
	if h.reserve == nil {
		return nil
	}
	return h.reserve(n)
}

// planMemory is what the documents and indexes of a plan take, decoded: some 500 bytes for each piece of a stream.
func planMemory(p fetch.Plan) int64 {
	n := int64(64 << 10)
	for _, s := range p.Streams {
		n += 16<<10 + s.Raw/document.PieceSize*512
	}
	return n
}

func (s *Store) StreamPlan(ctx context.Context, r ref.Ref, from *ref.Ref) (fetch.Plan, error) {
	v, err := s.View(ctx)
	if err != nil {
		return fetch.Plan{}, err
	}
	l, err := v.Resolve(r)
	if err != nil {
		return fetch.Plan{}, err
	}
	if from == nil {
		return v.Plan(l.Ref, nil, false)
	}
	have, err := v.Resolve(*from)
	if err != nil {
		return fetch.Plan{}, err
	}
	if have.Ref == l.Ref {
		return fetch.Plan{}, fmt.Errorf("%w: %s from itself", catalog.ErrNoWay, l.Ref)
	}
	return v.DeltaPlan(l.Ref, have.Ref)
}

// Tar writes the tree of an image as a tar archive in the PAX format (POSIX.1-2001), which GNU tar, bsdtar and Go
// read: each directory right before all that is in it, since GNU tar sets a directory's time when it meets the first
// path outside of it; times with nanoseconds; extended attributes, capabilities among them, as SCHILY.xattr records
// (`tar -x --acls --xattrs --xattrs-include='*'`), ACLs as SCHILY.acl records too. A file with a mebibyte of holes or
// more is a sparse one in the GNU format 1.0. Sockets have no place in an archive and are left out. The same image
// gives the same bytes. Each file is compared with the image's signed manifest as it is written; an error leaves w with
// a part of an archive without its end. A store behind a server has the server make it.
func (s *Store) Tar(ctx context.Context, r ref.Ref, w io.Writer,
	progress func(phase string, done, total int64)) error {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	if c, ok := s.Catalog.(tarrer); ok {
		return c.Tar(ctx, r, &counted{w: w, progress: progress})
	}
	t, err := s.tree(ctx, r, progress)
	if err != nil {
		return fmt.Errorf("archiving %s: %w", r, err)
	}
	defer t.release()
	if err := tarball.Write(ctx, w, t.Dir, t.Content, func(n int64) {
		progress("writing", n, t.Content.Size())
	}); err != nil {
		return fmt.Errorf("archiving %s: %w", t.Ref, err)
	}
	return nil
}

// counted reports the bytes of an archive that a server makes.
type counted struct {
	w        io.Writer
	n        int64
	progress func(phase string, done, total int64)
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.progress("receiving", c.n, 0)
	return n, err
}

// tarrer is a catalog whose server makes archives itself.
type tarrer interface {
	Tar(ctx context.Context, r ref.Ref, w io.Writer) error
}
