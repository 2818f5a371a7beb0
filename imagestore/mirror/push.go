package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sort"
	"time"

	"griddle/imagestore/blob"
)

// partReceiver is a blob store elsewhere that keeps what came of a blob, and takes the rest of it.
type partReceiver interface {
	Part(ctx context.Context, d blob.Digest) (blob.Part, error)
	DropPart(ctx context.Context, d blob.Digest) error
	PutRest(ctx context.Context, d blob.Digest, r io.Reader, at, total int64) error
}

// pushPause is how long a push waits for another one of the same blob before it asks again.
const pushPause = time.Second

// push sends what the other side does not have of an encoding. While somebody else sends it, this waits: that one
// finishes it, or leaves more of it.
func (c *copier) push(ctx context.Context, store partReceiver, f fetching) error {
	for {
		part, err := store.Part(ctx, f.index.Encoding)
		if errors.Is(err, blob.ErrNotExist) {
			return c.send(ctx, f) // it keeps no parts
		}
		if err == nil {
			err = c.pushOnto(ctx, store, f, part)
		}
		if !errors.Is(err, blob.ErrBusy) {
			return err
		}
		select {
		case <-time.After(pushPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pushOnto goes on after the part that the other side has, or begins anew.
func (c *copier) pushOnto(ctx context.Context, store partReceiver, f fetching, part blob.Part) error {
	d, total := f.index.Encoding, f.index.Size
	if size, err := c.to.Blobs.Stat(ctx, d); err == nil && size == total {
		c.advance(size, 0, 0)
		return nil // somebody else was faster
	}
	ours, err := c.begins(ctx, d, part, total)
	if err != nil {
		return fmt.Errorf("comparing what the receiver has of it: %w", err)
	}
	if !ours {
		if err := store.DropPart(ctx, d); err != nil {
			return err
		}
		part.Size = 0
	}
	return c.rest(ctx, store, f, part.Size)
}

// begins says whether the encoding begins with the bytes that the other side has: a push is cut anywhere, and what is
// there may be anybody's.
func (c *copier) begins(ctx context.Context, d blob.Digest, part blob.Part, total int64) (bool, error) {
	if part.Size == 0 || part.Size > total {
		return part.Size == 0, nil
	}
	r, err := c.from.Blobs.Open(ctx, d, 0, part.Size)
	if err != nil {
		return false, err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.CopyN(h, r, part.Size); err != nil {
		return false, err
	}
	return blob.FromSum(h.Sum(nil)) == part.Digest, nil
}

// rest sends what follows the first at bytes. The frame that at is in is read and checked whole.
func (c *copier) rest(ctx context.Context, store partReceiver, f fetching, at int64) error {
	frames := f.index.Frames
	first := sort.Search(len(frames), func(i int) bool { return frames[i].Offset+frames[i].Length > at })
	done := f.index.Size
	if first < len(frames) {
		done = frames[first].Offset
	}
	c.advance(done, 0, at)
	r, w := io.Pipe()
	tail := &tail{w: w, skip: at - done}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.CloseWithError(c.frames(ctx, f, first, tail))
	}()
	err := store.PutRest(ctx, f.index.Encoding, r, at, f.index.Size)
	r.Close()
	<-ended
	if errors.Is(err, blob.ErrBusy) {
		c.advance(-done-tail.n, 0, -at) // it is counted again
	}
	return err
}

// tail passes on what follows the first skip bytes.
type tail struct {
	w    io.Writer
	skip int64
	n    int64 // bytes that came, those of writes that failed not counted
}

func (t *tail) Write(b []byte) (int, error) {
	skip := min(t.skip, int64(len(b)))
	t.skip -= skip
	if _, err := t.w.Write(b[skip:]); err != nil {
		return 0, err
	}
	t.n += int64(len(b))
	return len(b), nil
}
