package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// ErrStalled is wrapped if a server sends nothing, and takes nothing, for too long.
var ErrStalled = errors.New("the server is silent")

// Idle ends requests in which no byte is sent or received for a time. A transfer may take any time as long as bytes
// come.
type Idle struct {
	Base http.RoundTripper // nil means http.DefaultTransport

	// Limits is how long no byte may be sent or received: before the answer comes, for which the server may have to
	// work, and while its body is read. Zero means without a limit.
	Limits func(*http.Request) (answer, body time.Duration)
}

// RoundTrip implements http.RoundTripper.
func (t *Idle) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	answer, body := t.Limits(r)
	ctx, cancel := context.WithCancelCause(r.Context())
	w := newWatch(answer, cancel)
	w.move()
	out := r.Clone(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &moving{ReadCloser: r.Body, watch: w}
	}
	resp, err := base.RoundTrip(out)
	w.end()
	if err != nil {
		if c := context.Cause(ctx); c != nil {
			err = c
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, watch: newWatch(body, cancel)}
	return resp, nil
}

// watch calls cancel unless it is moved in time.
type watch struct {
	span  time.Duration // zero for ever
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

// newWatch makes a watch that begins with the first move.
func newWatch(span time.Duration, cancel context.CancelCauseFunc) *watch {
	w := &watch{span: span}
	if span > 0 {
		w.timer = time.AfterFunc(span, func() { cancel(fmt.Errorf("%w: nothing came for %v", ErrStalled, span)) })
		w.timer.Stop()
	}
	return w
}

func (w *watch) move() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && !w.ended {
		w.timer.Reset(w.span)
	}
}

func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// end is pause for good: a transport may still read the request's body when the answer is there.
func (w *watch) end() {
	w.pause()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

// moving is the body of a request.
type moving struct {
	io.ReadCloser
	watch *watch
}

func (m *moving) Read(b []byte) (int, error) {
	m.watch.pause() // who makes the body may take as long as it takes
	n, err := m.ReadCloser.Read(b)
	m.watch.move()
	return n, err
}

// watchedBody is the body of an answer. The clock runs only while it is read: a slow reader is no fault of the server.
type watchedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *watch
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.move()
	n, err := b.ReadCloser.Read(p)
	b.watch.pause()
	if err != nil && err != io.EOF {
		if c := context.Cause(b.ctx); c != nil {
			err = c
		}
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.watch.end()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
