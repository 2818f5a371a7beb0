package delta

import (
	"context"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore/content"
)

// A step is a part of the stream. Steps are thought of in the order of the stream, worked on side by side and
// written in order again.
type step interface {
	write(*worker) error
	weight() int64 // about the bytes that the step reads
}

// adder takes the next step. Its error ends the thinking.
type adder func(step) error

// Steps go to the workers in jobs of about this size, and their bytes come back in chunks of at most this size.
const (
	jobWeight = 512 << 10
	jobSteps  = 256
	chunkSize = 1 << 20
	chunks    = 3 // of each worker
)

type job struct {
	steps []step
	out   chan *chunk // closed behind the last one
}

// chunk is consecutive bytes of the stream.
type chunk struct {
	b    []byte
	home chan *chunk // where it goes when it is written
}

type pipeline struct {
	new, old string // directories; old may be empty
	out      io.Writer
	o        Options
}

// run has think add all steps, and writes them. It gives the bytes written.
//
// No chunk waits for a later one: a worker's chunks belong to the job that it works on or to earlier ones, which are
// written before.
func (p pipeline) run(ctx context.Context, think func(context.Context, adder) error) (int64, error) {
	if err := p.o.validate(); err != nil {
		return 0, err
	}
	workers := runtime.GOMAXPROCS(0)
	g, gctx := errgroup.WithContext(ctx)
	todo := make(chan *job)
	ordered := make(chan *job, 4*workers)
	g.Go(func() error {
		defer close(todo)
		defer close(ordered)
		var b batcher
		send := func(j *job) error {
			for _, to := range []chan<- *job{ordered, todo} {
				select {
				case to <- j:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
			return nil
		}
		if err := think(gctx, func(s step) error { return b.add(s, send) }); err != nil {
			return err
		}
		return b.flush(send)
	})
	for range workers {
		g.Go(func() error { return p.work(gctx, todo) })
	}
	var written int64
	g.Go(func() error {
		var err error
		written, err = p.collect(gctx, ordered)
		return err
	})
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return 0, err
	}
	return written, nil
}

// batcher makes jobs of steps.
type batcher struct {
	steps  []step
	weight int64
}

func (b *batcher) add(s step, send func(*job) error) error {
	w := s.weight()
	if w > jobWeight/2 { // let the other workers go on with what is behind it
		if err := b.flush(send); err != nil {
			return err
		}
	}
	b.steps = append(b.steps, s)
	if b.weight += w; b.weight < jobWeight && len(b.steps) < jobSteps {
		return nil
	}
	return b.flush(send)
}

func (b *batcher) flush(send func(*job) error) error {
	if len(b.steps) == 0 {
		return nil
	}
	j := &job{steps: b.steps, out: make(chan *chunk, chunks)}
	b.steps, b.weight = make([]step, 0, jobSteps), 0
	return send(j)
}

func (p pipeline) work(ctx context.Context, todo <-chan *job) (err error) {
	w := newWorker(ctx)
	w.unsummed = p.o.Unsummed
	if w.new, err = content.OpenRoot(p.new); err != nil {
		return err
	}
	defer w.new.Close()
	if p.old != "" {
		if w.old, err = content.OpenRoot(p.old); err != nil {
			return err
		}
		defer w.old.Close()
	}
	for j := range todo {
		w.out = j.out
		for _, s := range j.steps {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.write(w); err != nil {
				return err
			}
		}
		if err := w.flush(); err != nil {
			return err
		}
		close(j.out)
	}
	return nil
}

func (p pipeline) collect(ctx context.Context, ordered <-chan *job) (written int64, err error) {
	for j := range ordered {
		for {
			var c *chunk
			var more bool
			select {
			case c, more = <-j.out:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
			if !more {
				break
			}
			if _, err := p.out.Write(c.b); err != nil {
				return 0, err
			}
			written += int64(len(c.b))
			c.home <- c
			if p.o.Progress != nil {
				p.o.Progress(written)
			}
		}
	}
	return written, ctx.Err()
}
