package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast/watchdog"
)

// Fill fetches by HTTP every missing block that want says is wanted (nil wants all), until no block is left, ctx ends
// or the Download is closed. When a source fails, Fill pauses and tries the next one. A
// source that cannot be reached never ends Fill, as it may come back; bytes that are wrong or absent at every source,
// three times each, do. Blocks are compared with their hashes if these are known; the reader of the bytes verifies
// them either way.
func (d *Download) Fill(ctx context.Context, want func(block int) bool) error {
	pause, source, bad, attempt := d.o.Backoff, 0, 0, 0
	for {
		_, next := d.buffer.missing()
		i := d.buffer.firstMissing(next, want)
		if i < 0 {
			if left, _ := d.buffer.missing(); left == 0 || want != nil {
				return ctx.Err()
			}
			// All that memory has room for is there: the reader makes more.
			if err := d.buffer.waitForRoom(ctx); err != nil {
				return err
			}
			continue
		}
		n, err := d.fetch(ctx, source, i, want)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n > 0 {
			pause, bad, attempt = d.o.Backoff, 0, 0
		}
		if err == nil {
			continue
		}
		if errors.Is(err, errClosed) {
			return err
		}
		d.tell(func(p *Progress) { p.Why = err.Error() })
		if lasting(err) {
			if bad++; bad >= fillAttempts*len(d.o.HTTP) {
				return fmt.Errorf("asked %d times: %w", bad, err)
			}
		}
		if n == 0 {
			source = (source + 1) % len(d.o.HTTP)
		}
		if attempt++; d.o.Retry != nil {
			d.o.Retry(err, attempt)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 40*d.o.Backoff)
	}
}

// fillAttempts is how often each source may have wrong bytes, or not have the blob.
const fillAttempts = 3

// lasting says whether waiting does not help against an error.
func lasting(err error) bool {
	return errors.Is(err, blob.ErrMismatch) || errors.Is(err, blob.ErrRange) || errors.Is(err, blob.ErrNotExist) ||
		errors.Is(err, blob.ErrDenied)
}

// fetch reads the blocks that are missing in a row from i on, until a block comes another way, and returns how many
// it got. With a nil want it waits for room for each block; the source waits meanwhile.
func (d *Download) fetch(ctx context.Context, source, i int, want func(int) bool) (n int, err error) {
	end, length := i+max(1, d.buffer.missingRun(i, want)), int64(-1)
	if end < d.buffer.blocks {
		length = int64(end-i) * d.o.Layout.Block()
	}
	rc, err := watchdog.Open(ctx, d.o.HTTP[source], d.o.Encoding, int64(i)*d.o.Layout.Block(), length)
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	for ; i < end; i++ {
		if want == nil {
			if err := d.buffer.waitFor(ctx, i); err != nil {
				return n, err
			}
		}
		if n > 0 && (!d.buffer.wants(i) || want != nil && !want(i)) {
			break
		}
		b := make([]byte, d.o.Layout.BlockSize(d.o.Size, i))
		if err := d.block(rc, b, source, want == nil && n > 0); err != nil {
			return n, fmt.Errorf("block %d of encoding %s: %w", i, d.o.Encoding, err)
		}
		d.mu.Lock()
		h := d.hashes
		d.mu.Unlock()
		if h != nil && !h.Match(i, b) {
			return n, fmt.Errorf("block %d of encoding %s: %w", i, d.o.Encoding, blob.ErrMismatch)
		}
		d.buffer.put(i, b)
		n++
	}
	return n, nil
}

// block reads one block from a source, and reports the progress; alone says that no session brings others.
func (d *Download) block(r io.Reader, b []byte, source int, alone bool) error {
	for got := 0; got < len(b); {
		k, err := r.Read(b[got:])
		got += k
		d.tell(func(p *Progress) {
			way, bytes := "http", &p.HTTP
			if source < d.o.Relay {
				way, bytes = "relay", &p.Relay
			}
			*bytes += int64(k)
			if p.Way != "multicast" || alone {
				p.Way = way
			}
		})
		switch {
		case got == len(b):
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: it ends after %d of %d bytes", blob.ErrMismatch, got, len(b))
		case err != nil:
			return err
		}
	}
	return nil
}

var errPolluted = errors.New("its bytes are not what its hash says")
