package delta

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"

	"griddle/imagestore/content"
	"griddle/imagestore/sendstream"
)

// worker turns steps into bytes.
type worker struct {
	ctx      context.Context
	new, old *content.Root
	enc      *sendstream.Appender
	out      chan<- *chunk // of the job
	free     chan *chunk
	now      *chunk // nil, or one with room
	unsummed bool   // Options.Unsummed: nothing is hashed
	hash     hash.Hash
	oldHash  hash.Hash
	compare  [2][]byte // buffers for two versions of a file
}

func newWorker(ctx context.Context) *worker {
	w := &worker{ctx: ctx, enc: sendstream.NewAppender(), free: make(chan *chunk, chunks), hash: sha256.New(),
		oldHash: sha256.New()}
	for range chunks {
		w.free <- nil
	}
	return w
}

// room makes sure that the chunk has room for n bytes more.
func (w *worker) room(n int) error {
	if w.now != nil && len(w.now.b)+n <= cap(w.now.b) {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	select {
	case w.now = <-w.free:
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
	if w.now == nil {
		w.now = &chunk{b: make([]byte, 0, chunkSize), home: w.free}
	}
	w.now.b = w.now.b[:0]
	return nil
}

// flush hands the chunk on.
func (w *worker) flush() error {
	if w.now == nil {
		return nil
	}
	if len(w.now.b) == 0 {
		w.free <- w.now
		w.now = nil
		return nil
	}
	select {
	case w.out <- w.now:
		w.now = nil
		return nil
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// put adds a command.
func (w *worker) put(c *sendstream.Command) error {
	if err := w.room(sendstream.MaxCommandV1 + 32); err != nil { // 32: the stream's header
		return err
	}
	b, err := w.enc.Append(w.now.b, c)
	if err != nil {
		return fmt.Errorf("%s: %w", quoted(c.Path), err)
	}
	w.now.b = b
	return nil
}

// command is a step of one command that needs no tree.
type command sendstream.Command

func (c *command) weight() int64         { return 512 }
func (c *command) write(w *worker) error { return w.put((*sendstream.Command)(c)) }
