// Package fetch gets an image from any of several sources, and returns only bytes that it has verified.
//
// Call Open with a Plan, the sources and the keys that count: it fetches the documents and indexes and checks
// them. Then Opened.OpenStream reads the streams, one after another, and Opened.Content the content manifest. A
// program that only fetches images, like the agent, needs no other package of the store.
//
// When a source fails, sends nothing or has wrong bytes, the next one takes its place, and a stream continues with
// the first frame that is not verified. A bad signature is final at once; wrong or missing content is, as
// ErrCorrupt, after three attempts at each source. Memory is bounded: about three times the longest frame, and its
// dictionary.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
)

// ErrCorrupt is wrapped if content is wrong or missing after all attempts.
var ErrCorrupt = errors.New("content is damaged or missing")

// Options is how to fetch an image. The zero value works.
type Options struct {
	// Retry gets every attempt that failed and will be repeated, with its number from 1; the count starts again
	// after each success. The goroutine that fetches calls it.
	Retry func(err error, attempt int)
	// Wire gets the number of encoded bytes as they arrive, including those that are thrown away afterwards.
	Wire func(bytes int64)
	// Stall is how long a source may send nothing before the next one is tried; zero means 15 s.
	Stall time.Duration
	// Backoff is the first pause after a failure; each further one doubles it, up to 40 times the first. Zero
	// means 250 ms.
	Backoff time.Duration
	// Attempts is how often in a row an error may occur that time can cure, such as a network or a server that is
	// down. Zero means no limit, which is right for a machine that installs.
	Attempts int
}

// StallDetector is a source that detects itself when nothing comes, and may wait on purpose, for example for a
// multicast session to begin: Options.Stall does not apply to it.
type StallDetector interface {
	blob.Reader
	DetectsStalls()
}

// Attempts at content, for each source, before it counts as damaged: one wrong byte may come from the network.
const ContentAttempts = 3

// Sources gets bytes from any of several sources, and tries again when one fails.
type Sources struct {
	sources []blob.Reader
	Options Options
	current int // the source that served last
}

func NewSources(sources []blob.Reader, o Options) *Sources {
	if o.Stall <= 0 {
		o.Stall = 15 * time.Second
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	return &Sources{sources: sources, Options: o}
}

// trouble counts what went wrong since the last success.
type trouble struct {
	attempts int
	content  int // of them: bytes that were there and wrong, or not there
}

// again decides what follows a failure: nil means that the caller tries again, at the next source. Networks and
// servers that are gone come back, so those errors are never final; content that is wrong or absent at every source,
// several times over, is.
func (f *Sources) again(ctx context.Context, t *trouble, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.attempts++
	if Lasting(err) {
		t.content++
		if t.content >= ContentAttempts*len(f.sources) && SourceFailed(err) {
			return fmt.Errorf("asked %d times: %w", t.content, err)
		}
		if t.content >= ContentAttempts*len(f.sources) {
			return fmt.Errorf("%w, asked %d times: %w", ErrCorrupt, t.content, err)
		}
	}
	if f.Options.Attempts > 0 && t.attempts >= f.Options.Attempts {
		return fmt.Errorf("tried %d times: %w", t.attempts, err)
	}
	if f.Options.Retry != nil {
		f.Options.Retry(err, t.attempts)
	}
	f.current = (f.current + 1) % len(f.sources)
	pause := f.Options.Backoff
	for i := len(f.sources); i < t.attempts && pause < 40*f.Options.Backoff; i += len(f.sources) {
		pause *= 2
	}
	timer := time.NewTimer(min(pause, 40*f.Options.Backoff))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Lasting says whether waiting cannot cure an error: wrong bytes, a refusal, a disk.
func Lasting(err error) bool {
	var path *fs.PathError
	return errors.Is(err, blob.ErrMismatch) || errors.Is(err, blob.ErrRange) || errors.Is(err, blob.ErrNotExist) ||
		errors.Is(err, blob.ErrTooLong) || errors.Is(err, blob.ErrDenied) || errors.As(err, &path)
}

// Open opens a range at the current source, and watches for a source that sends nothing.
func (f *Sources) Open(ctx context.Context, d blob.Digest, off, n int64) (*Body, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stall := f.Options.Stall
	if _, ok := f.sources[f.current].(StallDetector); ok {
		stall = forever
	}
	stalled := fmt.Errorf("nothing came for %v", stall)
	watch := time.AfterFunc(stall, func() { cancel(stalled) })
	rc, err := f.sources[f.current].Open(ctx, d, off, n)
	if !watch.Stop() && err == nil {
		rc.Close()
		err = stalled
	}
	if err != nil {
		if c := context.Cause(ctx); c != nil {
			err = c
		}
		cancel(nil)
		return nil, err
	}
	return &Body{rc: rc, ctx: ctx, cancel: cancel, watch: watch, stall: stall, wire: f.Options.Wire}, nil
}

// forever is longer than any install.
const forever = 365 * 24 * time.Hour

// Body is a body whose every Read must make progress in time. The clock is stopped between Reads: a slow receiver
// is not the fault of the source.
type Body struct {
	rc     io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer
	stall  time.Duration
	wire   func(int64)
	ended  bool // the source says that the blob ends here; a connection that broke says otherwise
}

func (w *Body) Read(p []byte) (int, error) {
	w.watch.Reset(w.stall)
	n, err := w.rc.Read(p)
	w.watch.Stop()
	if n > 0 && w.wire != nil {
		w.wire(int64(n))
	}
	if w.ended = err == io.EOF; err != nil && !w.ended {
		if c := context.Cause(w.ctx); c != nil {
			err = c
		}
	}
	return n, err
}

func (w *Body) Close() error {
	w.watch.Stop()
	w.cancel(nil)
	return w.rc.Close()
}

// Whole fetches all of a small blob, verified.
func (f *Sources) Whole(ctx context.Context, d blob.Digest, max int64) ([]byte, error) {
	var t trouble
	for {
		b, err := blob.ReadAll(ctx, opener{f}, d, max)
		if err == nil {
			return b, nil
		}
		if err := f.again(ctx, &t, err); err != nil {
			return nil, err
		}
	}
}

// opener makes a blob.Reader of a fetcher, as far as ReadAll needs one.
type opener struct{ f *Sources }

func (o opener) Open(ctx context.Context, d blob.Digest, off, n int64) (io.ReadCloser, error) {
	w, err := o.f.Open(ctx, d, off, n)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (o opener) Stat(context.Context, blob.Digest) (int64, error) { return 0, errors.ErrUnsupported }

// content fetches the manifest that c names, verified.
func (f *Sources) content(ctx context.Context, c document.Content) ([]byte, error) {
	z, err := f.Whole(ctx, c.Blob, MaxContentBlob(c))
	if err != nil {
		return nil, fmt.Errorf("content manifest: %w", err)
	}
	return DecodeContent(z, c)
}

// ReadContent is the same for a local store.
func ReadContent(ctx context.Context, r blob.Reader, c document.Content) ([]byte, error) {
	z, err := blob.ReadAll(ctx, r, c.Blob, MaxContentBlob(c))
	if err != nil {
		return nil, fmt.Errorf("content manifest: %w", err)
	}
	return DecodeContent(z, c)
}

// MaxContentBlob is the text's length with what zstd adds to incompressible bytes.
func MaxContentBlob(c document.Content) int64 { return c.Size + c.Size>>7 + 1024 }

func DecodeContent(z []byte, c document.Content) ([]byte, error) {
	return decodeText(z, "content manifest", c)
}

func decodeText(z []byte, what string, c document.Content) ([]byte, error) {
	dec, err := encoding.NewZstdDecoder(c.Size, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer dec.Close()
	b, err := dec.DecodeAll(z, nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: decoding: %w", what, c.Blob, ErrCorrupt, err)
	}
	if int64(len(b)) != c.Size || blob.Sum(b) != c.Digest {
		return nil, fmt.Errorf("%s %s: %w: it is not the one of the image document", what, c.Blob, ErrCorrupt)
	}
	return b, nil
}
