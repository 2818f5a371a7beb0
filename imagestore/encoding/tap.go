package encoding

import (
	"context"
	"io"
)

// Tap gives a second reader what an Encoder reads, from the memory that is being compressed: the second reader may
// be a frame or two behind.
type Tap struct {
	ctx     context.Context
	frames  chan tapped
	current tapped
}

type tapped struct {
	rest []byte
	done func() // says that the memory may be used again
}

func NewTap(ctx context.Context) *Tap { return &Tap{ctx: ctx, frames: make(chan tapped, 1)} }

// give hands over what was read next.
func (t *Tap) give(ctx context.Context, raw []byte, done func()) error {
	select {
	case t.frames <- tapped{raw, done}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end says that nothing follows. It is for the good end: at any other the context of the reader ends.
func (t *Tap) end() { close(t.frames) }

// Read is the second reader's.
func (t *Tap) Read(p []byte) (int, error) {
	for len(t.current.rest) == 0 {
		if t.current.done != nil {
			t.current.done()
		}
		t.current = tapped{}
		select {
		case f, ok := <-t.frames:
			if !ok {
				return 0, io.EOF
			}
			t.current = f
		case <-t.ctx.Done():
			return 0, t.ctx.Err()
		}
	}
	n := copy(p, t.current.rest)
	t.current.rest = t.current.rest[n:]
	return n, nil
}
