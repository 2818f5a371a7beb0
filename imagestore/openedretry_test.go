package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
)

func TestReadAgainFromLastVerifiedFrame(t *testing.T) {
	f, raw, l, p := threeFrames(t)
	x, err := encoding.ReadIndex(t.Context(), f.s.Blobs, l.Streams[0].Index)
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("connection reset")
	encoding := x.Encoding
	cut := x.Frames[1].Offset + 1000 // in the middle of the second frame
	src := &flaky{Reader: f.s.Blobs}
	fails := 0
	src.open = func(_ int, d blob.Digest, off int64) error {
		if d == encoding && off == x.Frames[1].Offset && fails < 20 {
			fails++ // the server stays away for a while
			return gone
		}
		return nil
	}
	src.body = func(_ int, d blob.Digest, off int64, r io.Reader) io.Reader {
		if d == encoding && off == 0 {
			return io.MultiReader(io.LimitReader(r, cut), errReader{io.ErrUnexpectedEOF})
		}
		return r
	}
	var attempts []int
	var wire int64
	got, err := readStream(f, p, fetch.Options{Retry: func(_ error, n int) { attempts = append(attempts, n) },
		Wire: func(n int64) { wire += n }}, src)
	if err != nil || !bytes.Equal(got, raw) {
		t.Fatalf("read %d of %d bytes, %v", len(got), len(raw), err)
	}
	if len(attempts) != 21 || attempts[20] != 21 {
		t.Errorf("told of attempts %v, want 1 to 21", attempts)
	}
	if want := x.Size + 1000; wire < want {
		t.Errorf("told of %d bytes on the wire, want at least %d", wire, want)
	}
	if last := src.log[len(src.log)-1]; last != x.Frames[1].Offset {
		t.Errorf("went on at %d, want the second frame at %d", last, x.Frames[1].Offset)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestWaitsForSourceUntilCancelled(t *testing.T) {
	f, _, _, p := threeFrames(t)
	away := errors.New("no route to host")
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	src := &flaky{Reader: f.s.Blobs, open: func(int, blob.Digest, int64) error { return away }}
	_, err := fetch.Open(ctx, []blob.Reader{src}, document.NewTrust(f.key.Public()), p,
		quick(fetch.Options{Retry: func(err error, _ int) {
			if n++; n == 50 {
				cancel()
			}
			if !errors.Is(err, away) {
				t.Errorf("told of %v, want %v", err, away)
			}
		}}))
	if !errors.Is(err, context.Canceled) || n < 50 {
		t.Errorf("OpenPlan = %v after %d attempts, want %v after 50", err, n, context.Canceled)
	}
}

func TestSilentSourceIsLeft(t *testing.T) {
	f, raw, l, p := threeFrames(t)
	silent := &flaky{Reader: f.s.Blobs}
	silent.body = func(_ int, d blob.Digest, _ int64, r io.Reader) io.Reader {
		if d == l.Streams[0].Encoding {
			return io.MultiReader(io.LimitReader(r, 100), silence{t.Context()})
		}
		return r
	}
	// The test's silence ends when the request is given up, as a network's does.
	hang := hanging{silent}
	var told error
	got, err := readStream(f, p,
		fetch.Options{Stall: 50 * time.Millisecond, Retry: func(err error, _ int) { told = err }}, hang, f.s.Blobs)
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("read %d of %d bytes, %v", len(got), len(raw), err)
	}
	if told == nil || !strings.Contains(told.Error(), "nothing came for 50ms") {
		t.Errorf("told of %v, want the silence", told)
	}
}

// hanging hands the context of Open to the body, as net/http does.
type hanging struct{ *flaky }

func (h hanging) Open(ctx context.Context, d blob.Digest, off, n int64) (io.ReadCloser, error) {
	rc, err := h.flaky.Open(ctx, d, off, n)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(pw, rc)
		pw.CloseWithError(err)
		stop()
	}()
	return pr, nil
}

type silence struct{ ctx context.Context }

func (s silence) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
