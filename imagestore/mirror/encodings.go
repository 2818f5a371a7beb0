package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
)

// partStore is a blob store that keeps parts for later.
type partStore interface {
	Partial(ctx context.Context, d blob.Digest) (*blob.Partial, error)
}

// encodings fetches what is missing, several at once.
func (c *copier) encodings(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Jobs)
	for _, f := range c.fetching {
		g.Go(func() error {
			var err error
			switch to := c.to.Blobs.(type) {
			case partStore:
				err = c.resume(gctx, to, f)
			case partReceiver:
				err = c.push(gctx, to, f)
			default:
				err = c.send(gctx, f)
			}
			if err != nil {
				return fmt.Errorf("stream to %s: encoding %s: %w", f.of, f.index.Encoding, err)
			}
			c.mu.Lock()
			c.out.Blobs++
			c.mu.Unlock()
			close(c.done[f.index.Encoding])
			return nil
		})
	}
	return g.Wait()
}

// resume goes on with the part that there is, or begins one.
func (c *copier) resume(ctx context.Context, store partStore, f fetching) error {
	c.puts(f.index.Encoding)
	p, err := store.Partial(ctx, f.index.Encoding)
	if err != nil {
		return err
	}
	defer p.Close()
	if size, err := c.to.Blobs.Stat(ctx, f.index.Encoding); err == nil && size == f.index.Size {
		c.advance(size, 0, 0)
		return p.Discard() // another process was faster
	}
	h := sha256.New()
	first := wholeFrames(p, f.index, h)
	at := f.index.Size
	if first < len(f.index.Frames) {
		at = f.index.Frames[first].Offset
	}
	if err := p.Cut(at); err != nil {
		return err
	}
	c.advance(at, 0, at)
	err = c.frames(ctx, f, first, io.MultiWriter(p, h))
	if err == nil {
		c.claim(f.index.Encoding)
		err = p.Commit(blob.FromSum(h.Sum(nil)))
	}
	if IsFull(err) {
		return errors.Join(err, p.Discard()) // the room is worth more than what came
	}
	return err
}

// IsFull says whether an error means that a disk is full or a quota is reached.
func IsFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// wholeFrames counts the frames that r begins with, and gives their bytes to h.
func wholeFrames(r io.Reader, x encoding.Index, h hash.Hash) int {
	var b []byte
	for i, f := range x.Frames {
		if int64(cap(b)) < f.Length {
			b = make([]byte, f.Length)
		}
		if _, err := io.ReadFull(r, b[:f.Length]); err != nil || blob.Sum(b[:f.Length]).Hex() != f.SHA256 {
			return i
		}
		h.Write(b[:f.Length])
	}
	return len(x.Frames)
}

// send puts the frames into a store that keeps no parts.
func (c *copier) send(ctx context.Context, f fetching) error {
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(c.frames(ctx, f, 0, w)) }()
	_, _, err := c.to.Blobs.Put(ctx, r, f.index.Encoding)
	return err
}

// frames fetches the frames from first on and writes each after it was verified.
func (c *copier) frames(ctx context.Context, f fetching, first int, w io.Writer) error {
	v, err := newFrameCheck(f)
	if err != nil {
		return err
	}
	defer v.dec.Close()
	for _, fr := range f.index.Frames[:first] {
		v.piece += fr.Pieces
	}
	src := fetch.NewSources([]blob.Reader{c.from.Blobs},
		fetch.Options{Stall: c.o.Stall, Wire: func(n int64) { c.advance(0, n, 0) }})
	var body *fetch.Body
	defer func() {
		if body != nil {
			body.Close()
		}
	}()
	failed := 0
	var buf []byte
	for i := first; i < len(f.index.Frames); {
		fr := f.index.Frames[i]
		if int64(cap(buf)) < fr.Length {
			buf = make([]byte, fr.Length)
		}
		if body == nil {
			body, err = src.Open(ctx, f.index.Encoding, fr.Offset, -1)
		}
		if err == nil {
			err = fetch.ReadFrame(body, fr, buf[:fr.Length])
		}
		if err != nil {
			if body != nil {
				body.Close()
				body = nil
			}
			failed++
			if failed >= imagestore.Attempts || fetch.Lasting(err) && failed >= fetch.ContentAttempts ||
				errors.Is(err, blob.ErrNotExist) || ctx.Err() != nil {
				return errors.Join(context.Cause(ctx), fmt.Errorf("frame %d at %d: %w", i, fr.Offset, err))
			}
			select {
			case <-time.After(src.Options.Backoff << failed):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			err = nil
			continue
		}
		if err := v.check(buf[:fr.Length], fr); err != nil {
			return fmt.Errorf("frame %d at %d: %w: %w", i, fr.Offset, fetch.ErrCorrupt, err)
		}
		if _, err := w.Write(buf[:fr.Length]); err != nil {
			return err
		}
		c.advance(fr.Length, 0, 0)
		failed = 0
		i++
	}
	return nil
}

// advance counts bytes of encodings that are there, that were fetched, and that were there from earlier.
func (c *copier) advance(there, fetched, resumed int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress += there
	c.out.Bytes += fetched
	c.out.Resumed += resumed
	if c.o.Progress != nil && there > 0 {
		c.o.Progress(c.progress, c.total)
	}
}

// frameCheck holds what frames decode to against the signed document: an index is not signed, and one that lies
// would else be found out only by machines.
type frameCheck struct {
	f     fetching
	dec   *zstd.Decoder
	raw   []byte
	piece int // the first of the next frame
}

func newFrameCheck(f fetching) (*frameCheck, error) {
	most := 1
	for _, fr := range f.index.Frames {
		most = max(most, fr.Pieces)
	}
	dec, err := encoding.NewZstdDecoder(int64(most)*document.PieceSize, true)
	return &frameCheck{f: f, dec: dec}, err
}

func (v *frameCheck) check(frame []byte, fr encoding.Frame) error {
	want := min(int64(fr.Pieces)*document.PieceSize, v.f.index.Raw-int64(v.piece)*document.PieceSize)
	if int64(cap(v.raw)) < want {
		v.raw = make([]byte, want)
	}
	raw, err := v.dec.DecodeAll(frame, v.raw[:0:want])
	if err == nil && int64(len(raw)) != want {
		err = fmt.Errorf("it decodes to %d bytes, not %d", len(raw), want)
	}
	if err == nil {
		err = encoding.CheckPieces(raw, v.f.doc.Pieces[v.piece:], v.piece)
	}
	v.piece += fr.Pieces
	return err
}
