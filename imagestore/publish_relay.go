package imagestore

import (
	"context"
	"io"
)

// relay gives the bytes of one reader to two, which may be up to relayAhead apart.
type relay struct {
	ctx    context.Context
	r      io.Reader
	chunks chan []byte
	free   chan []byte
	err    error // of r; set before chunks is closed
}

const (
	relayChunk = 1 << 20
	relayAhead = 16 // chunks
)

func newRelay(ctx context.Context, r io.Reader) *relay {
	y := &relay{ctx: ctx, r: r, chunks: make(chan []byte, relayAhead), free: make(chan []byte, relayAhead)}
	for range relayAhead {
		y.free <- nil
	}
	return y
}

// Read reads for the first reader and puts by a copy for the second.
func (y *relay) Read(p []byte) (int, error) {
	n, err := y.r.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		k := min(len(rest), relayChunk)
		select {
		case b := <-y.free:
			y.chunks <- append(b[:0], rest[:k]...)
		case <-y.ctx.Done():
			return 0, y.ctx.Err()
		}
		rest = rest[k:]
	}
	if err != nil && y.err == nil {
		y.err = err
		close(y.chunks)
	}
	return n, err
}

// tap is the second reader.
func (y *relay) tap() io.Reader { return &relayTap{y: y} }

type relayTap struct {
	y         *relay
	buf, rest []byte
}

func (t *relayTap) Read(p []byte) (int, error) {
	for len(t.rest) == 0 {
		if t.buf != nil {
			t.y.free <- t.buf
			t.buf = nil
		}
		select {
		case b, ok := <-t.y.chunks:
			if !ok {
				return 0, t.y.err
			}
			t.buf, t.rest = b, b
		case <-t.y.ctx.Done():
			return 0, t.y.ctx.Err()
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}
