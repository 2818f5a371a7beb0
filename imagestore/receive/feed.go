package receive

import (
	"context"
	"io"
	"strings"

	"griddle/imagestore/sendstream"
)

// The applier spends its time in the kernel, so the stream is read, checked and parsed by a goroutine ahead of it, in
// batches. They bound the memory: batches times batchBytes, or one command where it is longer.
const (
	batches       = 4
	batchBytes    = 1 << 20
	batchCommands = 512
)

// A step is a command, or several that amount to one. To holds the final name where a creation and the renaming behind
// it were joined.
type step struct {
	sendstream.Command
	joined bool
	after  int64 // bytes of the stream behind it
}

// A batch is consecutive steps; their Data lies in data.
type batch struct {
	steps []step
	data  []byte
	err   error // of the stream behind the steps; io.EOF at its clean end
}

// A feed hands out the steps of a stream.
type feed struct {
	ctx  context.Context
	full chan *batch
	free chan *batch
	quit chan struct{}
	idle <-chan func() // called one by one while the stream has no step; nil for none
	now  *batch
	next int
}

// newFeed starts reading r. stop ends it, though not a Read of r that is under way.
func newFeed(ctx context.Context, r io.Reader) *feed {
	f := &feed{ctx: ctx, full: make(chan *batch, batches), free: make(chan *batch, batches), quit: make(chan struct{})}
	for range batches {
		f.free <- &batch{}
	}
	go f.run(r)
	return f
}

func (f *feed) stop() { close(f.quit) }

// step returns the next step, valid until the next call, or the error of the stream, or of the context.
func (f *feed) step() (*step, error) {
	for f.now == nil || f.next == len(f.now.steps) {
		if f.now != nil {
			if f.now.err != nil {
				return nil, f.now.err
			}
			f.free <- f.now
			f.now = nil
		}
		if err := f.wait(); err != nil {
			return nil, err
		}
	}
	if f.ctx.Err() != nil {
		return nil, context.Cause(f.ctx)
	}
	f.next++
	return &f.now.steps[f.next-1], nil
}

// wait waits for the next batch.
func (f *feed) wait() error {
	f.next = 0
	for f.now == nil {
		select {
		case f.now = <-f.full: // before anything else
			continue
		default:
		}
		select {
		case f.now = <-f.full:
		case do := <-f.idle:
			do()
		case <-f.ctx.Done():
			return context.Cause(f.ctx)
		}
	}
	return nil
}

func (f *feed) run(r io.Reader) {
	d, err := sendstream.NewReader(r)
	var held *sendstream.Command // read, but the batch before had no room for its data
	for {
		var b *batch
		select {
		case b = <-f.free:
		case <-f.quit:
			return
		}
		b.steps, b.data, b.err = b.steps[:0], b.data[:0], nil
		if cap(b.data) < batchBytes {
			b.data = make([]byte, 0, batchBytes)
		}
		for err == nil {
			c := held
			held = nil
			if c == nil {
				if c, err = d.Next(); err != nil {
					break
				}
			}
			if len(b.steps) > 0 && !b.fits(c) {
				held = c // stays valid: Next is not called before it is taken
				break
			}
			b.add(c, d.Offset())
		}
		b.err = err
		f.full <- b // has room for all batches there are
		if err != nil {
			return
		}
	}
}

// fits reports whether c may be added. What may be joined with the step before stays together with it.
func (b *batch) fits(c *sendstream.Command) bool {
	last := &b.steps[len(b.steps)-1]
	if joins(last, c) {
		return true
	}
	return len(b.steps) < batchCommands && len(b.data)+len(c.Data) <= batchBytes
}

// joins reports whether c is a renaming of what the step before it created. The kernel's sender makes every inode under
// a temporary name and renames it at once; this is half of all the work with names in a full stream.
func joins(last *step, c *sendstream.Command) bool {
	if c.Op != sendstream.OpRename || last.joined || last.Path != c.Path {
		return false
	}
	switch last.Op {
	case sendstream.OpMkfile, sendstream.OpMkdir, sendstream.OpMknod, sendstream.OpMkfifo, sendstream.OpMksock,
		sendstream.OpSymlink:
		// The temporary names stand in the root. Others are left alone, so that what the directory passes on to
		// what is created in it is what the sender's receiver would see.
		return !strings.Contains(c.Path, "/")
	}
	return false
}

// add appends c, joined with the step before where that amounts to the same.
func (b *batch) add(c *sendstream.Command, after int64) {
	start := len(b.data)
	b.data = append(b.data, c.Data...)
	if len(b.steps) > 0 {
		last := &b.steps[len(b.steps)-1]
		if joins(last, c) {
			last.To, last.joined, last.after = c.To, true, after
			return
		}
		if c.Op == sendstream.OpWrite && last.Op == sendstream.OpWrite && last.Path == c.Path &&
			last.FileOffset+uint64(len(last.Data)) == c.FileOffset && c.FileOffset >= last.FileOffset {
			last.Data = b.data[start-len(last.Data):] // the data of two writes in a row lies in a row
			last.after = after
			return
		}
	}
	b.steps = append(b.steps, step{Command: *c, after: after})
	if c.Data != nil {
		b.steps[len(b.steps)-1].Data = b.data[start:]
	}
}
