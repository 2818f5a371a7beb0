package imagestore

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

// OpenOptions is how an image is fetched. The zero value works.
type OpenOptions struct {
	// Retry is told of every attempt that failed and will be made again, with its number from 1; the count starts
	// again after each success. It is called from the goroutine that fetches.
	Retry func(err error, attempt int)
	// Wire is told of encoded bytes as they arrive, those that are thrown away afterwards included.
	Wire func(bytes int64)
	// Stall is how long a source may send nothing before it is left; zero means 15 s.
	Stall time.Duration
	// Backoff is the first pause after a failure; each further one doubles it, up to 40 times the first. Zero
	// means 250 ms.
	Backoff time.Duration
	// Attempts is how often in a row may fail what could succeed later, a network or a server that is gone; zero means that it is
	// tried for ever, which is right for a machine that installs.
	Attempts int
}

// Patient is a source that notices itself when nothing comes, and may wait on purpose, as for a multicast session that gathers: Stall
// does not apply to it.
type Patient interface {
	blob.Reader
	Patient()
}

// Attempts at content before it is taken to be damaged for good, for each source: a wrong byte may be the network's.
const contentAttempts = 3

// fetcher gets bytes from any of several sources, with patience.
type fetcher struct {
	sources []blob.Reader
	o       OpenOptions
	current int // the source that served last
}

func newFetcher(sources []blob.Reader, o OpenOptions) *fetcher {
	if o.Stall <= 0 {
		o.Stall = 15 * time.Second
	}
	if o.Backoff <= 0 {
		o.Backoff = 250 * time.Millisecond
	}
	return &fetcher{sources: sources, o: o}
}

// trouble counts what went wrong since the last success.
type trouble struct {
	attempts int
	content  int // of them: bytes that were there and wrong, or not there
}

// again decides what follows a failure: nil means that the caller tries again, at the next source. Networks and servers that
// are gone come back, so those errors are never final; content that is wrong or absent at every source, several times
// over, is.
func (f *fetcher) again(ctx context.Context, t *trouble, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t.attempts++
	if lasting(err) {
		t.content++
		if t.content >= contentAttempts*len(f.sources) && sourceFailed(err) {
			return fmt.Errorf("asked %d times: %w", t.content, err)
		}
		if t.content >= contentAttempts*len(f.sources) {
			return fmt.Errorf("%w, asked %d times: %w", ErrCorrupt, t.content, err)
		}
	}
	if f.o.Attempts > 0 && t.attempts >= f.o.Attempts {
		return fmt.Errorf("tried %d times: %w", t.attempts, err)
	}
	if f.o.Retry != nil {
		f.o.Retry(err, t.attempts)
	}
	f.current = (f.current + 1) % len(f.sources)
	pause := f.o.Backoff
	for i := len(f.sources); i < t.attempts && pause < 40*f.o.Backoff; i += len(f.sources) {
		pause *= 2
	}
	timer := time.NewTimer(min(pause, 40*f.o.Backoff))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lasting says whether an error is of the kind that waiting does not cure: wrong bytes, a refusal, a disk.
func lasting(err error) bool {
	var path *fs.PathError
	return errors.Is(err, blob.ErrMismatch) || errors.Is(err, blob.ErrRange) || errors.Is(err, blob.ErrNotExist) ||
		errors.Is(err, blob.ErrTooLong) || errors.Is(err, blob.ErrDenied) || errors.As(err, &path)
}

// open opens a range at the current source, with the watch on a source that falls silent.
func (f *fetcher) open(ctx context.Context, d blob.Digest, off, n int64) (*watched, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stall := f.o.Stall
	if _, ok := f.sources[f.current].(Patient); ok {
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
	return &watched{rc: rc, ctx: ctx, cancel: cancel, watch: watch, stall: stall, wire: f.o.Wire}, nil
}

// forever is longer than any install.
const forever = 365 * 24 * time.Hour

// watched is a body whose every Read must make progress in time. The clock stands still between Reads: a slow receiver
// is no fault of the source.
type watched struct {
	rc     io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer
	stall  time.Duration
	wire   func(int64)
	ended  bool // the source says that the blob ends here; a connection that broke says otherwise
}

func (w *watched) Read(p []byte) (int, error) {
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

func (w *watched) Close() error {
	w.watch.Stop()
	w.cancel(nil)
	return w.rc.Close()
}

// whole fetches all of a small blob, verified.
func (f *fetcher) whole(ctx context.Context, d blob.Digest, max int64) ([]byte, error) {
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
type opener struct{ f *fetcher }

func (o opener) Open(ctx context.Context, d blob.Digest, off, n int64) (io.ReadCloser, error) {
	w, err := o.f.open(ctx, d, off, n)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (o opener) Stat(context.Context, blob.Digest) (int64, error) { return 0, errors.ErrUnsupported }

// content fetches the manifest that c names, verified.
func (f *fetcher) content(ctx context.Context, c document.Content) ([]byte, error) {
	z, err := f.whole(ctx, c.Blob, maxContentBlob(c))
	if err != nil {
		return nil, fmt.Errorf("content manifest: %w", err)
	}
	return decodeContent(z, c)
}

// readContent is the same for a store that is at hand.
func readContent(ctx context.Context, r blob.Reader, c document.Content) ([]byte, error) {
	z, err := blob.ReadAll(ctx, r, c.Blob, maxContentBlob(c))
	if err != nil {
		return nil, fmt.Errorf("content manifest: %w", err)
	}
	return decodeContent(z, c)
}

// maxContentBlob is the text's length with what zstd adds to incompressible bytes.
func maxContentBlob(c document.Content) int64 { return c.Size + c.Size>>7 + 1024 }

func decodeContent(z []byte, c document.Content) ([]byte, error) {
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
