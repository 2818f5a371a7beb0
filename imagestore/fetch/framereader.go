package fetch

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
)

// frameReader fetches, verifies and decodes frames in a goroutine of its own and hands them out in order.
type frameReader struct {
	fetch   *Sources
	s       openedStream
	encoded bool   // give out the frames themselves
	parent  string // directory of the stream's parent, for dictionaries; "" for none

	cancel context.CancelFunc
	out    chan []byte // verified bytes
	free   chan []byte // buffers to decode into, given back by Read
	err    error       // why out was closed; set before it is

	closing atomic.Bool // so that what Close threw away is not taken for the end

	// A receiver that gave up may still be in Read while it is closed (receive's feed reads ahead), so mu is held
	// throughout Read: Close has it as soon as Read has seen the end of out.
	mu      sync.Mutex
	rest    []byte // of the last one out
	last    []byte
	scratch []byte // what is decoded only to be checked
}

// Ahead is how many verified frames may wait for the receiver by default.
const Ahead = 2

// much is from how many bytes on a stream's memory is given back at once. A collection costs some milliseconds.
const much = 16 << 20

// Frames reads the encoding that x describes, frame by frame, and returns each frame after all its pieces were
// compared with doc. parent is the directory of the stream's parent, for dictionaries, or "". The caller closes
// the reader.
func Frames(ctx context.Context, source blob.Reader, doc document.Stream, x encoding.Index,
	parent string) io.ReadCloser {
	return newFrameReader(ctx, NewSources([]blob.Reader{source}, Options{}), openedStream{doc, x}, parent, true)
}

// newFrameReader reads the frames of s, or, where encoded is set, gives out each as it is after all its
// pieces were verified.
func newFrameReader(ctx context.Context, f *Sources, s openedStream, parent string, encoded bool) *frameReader {
	return newFrameReaderAhead(ctx, f, s, parent, encoded, Ahead)
}

// newFrameReaderAhead has so many buffers: with 1 it decodes a frame when the one before it was read.
func newFrameReaderAhead(ctx context.Context, f *Sources, s openedStream, parent string, encoded bool,
	ahead int) *frameReader {
	ctx, cancel := context.WithCancel(ctx)
	r := &frameReader{fetch: f, s: s, encoded: encoded, parent: parent, cancel: cancel, out: make(chan []byte),
		free: make(chan []byte, ahead)}
	for range ahead {
		r.free <- nil
	}
	go func() {
		defer close(r.out)
		r.err = r.run(ctx)
	}()
	return r
}

// Read implements io.Reader. After Close it returns an error.
func (r *frameReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.rest) == 0 {
		if r.last != nil {
			r.free <- r.last
			r.last = nil
		}
		b, ok := <-r.out
		switch {
		case ok:
		case r.err != nil:
			return 0, r.err
		case r.closing.Load():
			return 0, os.ErrClosed
		default:
			return 0, io.EOF
		}
		r.rest, r.last = b, b
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close stops the fetching, waits until it ends, and frees the memory. Another goroutine may be in Read meanwhile.
func (r *frameReader) Close() error {
	r.closing.Store(true)
	r.cancel()
	for range r.out {
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free != nil {
		r.rest, r.last, r.scratch, r.free = nil, nil, nil, nil
		// The next stream of a chain takes as much again, and left to itself the collector lets
		// both stand side by side.
		if r.s.index.Raw >= much {
			runtime.GC()
		}
	}
	return nil
}

// run is the goroutine: it goes over the frames, and where one fails opens the encoding again at that very frame.
func (r *frameReader) run(ctx context.Context) error {
	dec, err := encoding.NewFrameDecoder(r.s.index, r.parent)
	if err != nil {
		return fmt.Errorf("opening stream: %w", err)
	}
	defer dec.Close()
	var body *Body
	defer func() {
		if body != nil {
			body.Close()
		}
	}()
	piece := 0
	var t trouble
	frame := make([]byte, dec.LongestFrame)
	for i := 0; i < len(r.s.index.Frames); {
		f := r.s.index.Frames[i]
		if body == nil {
			body, err = r.fetch.Open(ctx, r.s.index.Encoding, f.Offset, -1)
		}
		if err == nil {
			err = ReadFrame(body, f, frame[:f.Length])
		}
		if err != nil {
			if body != nil {
				body.Close()
				body = nil
			}
			err = fmt.Errorf("frame %d at %d of encoding %s: %w", i, f.Offset, r.s.index.Encoding, err)
			if err := r.fetch.again(ctx, &t, err); err != nil {
				return err
			}
			err = nil
			continue
		}
		if err := r.release(ctx, dec, i, piece, frame[:f.Length]); err != nil {
			return err
		}
		t = trouble{}
		piece += f.Pieces
		i++
	}
	return nil
}

// ReadFrame fills b and compares it with the index.
func ReadFrame(body *Body, f encoding.Frame, b []byte) error {
	if n, err := io.ReadFull(body, b); err != nil {
		if body.ended {
			return fmt.Errorf("%w: it ends after %d of %d bytes", blob.ErrMismatch, n, len(b))
		}
		return err
	}
	if blob.Sum(b).Hex() != f.SHA256 {
		return fmt.Errorf("%w: SHA-256 differs from the index", blob.ErrMismatch)
	}
	return nil
}

// release decodes a frame, holds its pieces against the signed document and gives it out. What is wrong here is wrong
// in the very bytes that the index names, so that asking again cannot help.
func (r *frameReader) release(ctx context.Context, dec *encoding.FrameDecoder, i, piece int, frame []byte) error {
	f := r.s.index.Frames[i]
	var buf []byte
	select {
	case buf = <-r.free:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	want := min(int64(f.Pieces)*document.PieceSize, r.s.index.Raw-int64(piece)*document.PieceSize)
	dst := &buf
	if r.encoded {
		dst = &r.scratch
	}
	if int64(cap(*dst)) < want {
		// enough for all frames: what it grew out of would stay for a while
		*dst = make([]byte, min(dec.MostRaw, r.s.index.Raw))
	}
	// The decoder writes no more than the slice holds, so a frame that decodes to more than its pieces ends here.
	raw, err := dec.Decode(f, frame, (*dst)[:0:want])
	if err == nil && int64(len(raw)) != want {
		err = fmt.Errorf("it decodes to %d bytes, not %d", len(raw), want)
	}
	if err == nil {
		err = encoding.CheckPieces(raw, r.s.doc.Pieces[piece:], piece)
	}
	if err != nil {
		return fmt.Errorf("frame %d at %d of encoding %s: %w: %w", i, f.Offset, r.s.index.Encoding, ErrCorrupt, err)
	}
	give := raw
	if r.encoded {
		give = append(buf[:0], frame...)
	}
	select {
	case r.out <- give:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
