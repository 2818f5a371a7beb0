package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// flaky is a source that can be told to fail.
type flaky struct {
	blob.Reader
	mu   sync.Mutex
	open func(n int, d blob.Digest, off int64) error                  // of the n-th call
	body func(n int, d blob.Digest, off int64, r io.Reader) io.Reader // what it gives instead
	n    int
	log  []int64 // offsets asked for
}

func (f *flaky) Open(ctx context.Context, d blob.Digest, off, n int64) (io.ReadCloser, error) {
	f.mu.Lock()
	f.n++
	k := f.n
	f.log = append(f.log, off)
	f.mu.Unlock()
	if f.open != nil {
		if err := f.open(k, d, off); err != nil {
			return nil, err
		}
	}
	rc, err := f.Reader.Open(ctx, d, off, n)
	if err != nil || f.body == nil {
		return rc, err
	}
	return struct {
		io.Reader
		io.Closer
	}{f.body(k, d, off, rc), rc}, nil
}

func quick(o fetch.Options) fetch.Options {
	o.Backoff = time.Microsecond
	return o
}

// readStream reads stream 0 of a plan from the given sources.
func readStream(f *fixture, p fetch.Plan, o fetch.Options, sources ...blob.Reader) ([]byte, error) {
	t, err := f.s.Trusted(f.t.Context())
	if err != nil {
		return nil, err
	}
	opened, err := fetch.Open(f.t.Context(), sources, t, p, quick(o))
	if err != nil {
		return nil, err
	}
	r, err := opened.OpenStream(f.t.Context(), 0, "")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func threeFrames(t *testing.T) (*fixture, []byte, catalog.Listed, fetch.Plan) {
	f := newFixture(t)
	raw := someBytes(9, 2*document.PieceSize+12345)
	l := f.publish("web:1@amd64", way{"", raw})
	p, err := f.s.Plan(t.Context(), refOf(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	return f, raw, l, p
}

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

func TestChangedByte(t *testing.T) {
	for _, c := range []struct {
		name  string
		blob  func(catalog.Listed) blob.Digest
		words string // of the error of fetch.Open; "" where the stream fails
	}{
		{"image document", func(l catalog.Listed) blob.Digest { return l.Document },
			"content does not match its digest"},
		{"stream document", func(l catalog.Listed) blob.Digest { return l.Streams[0].Document },
			"stream 1: content is damaged"},
		{"index", func(l catalog.Listed) blob.Digest { return l.Streams[0].Index }, "stream 1: content is damaged"},
		{"encoding", func(l catalog.Listed) blob.Digest { return l.Streams[0].Encoding }, ""},
	} {
		f, raw, l, p := threeFrames(t)
		good, err := imagestore.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.blobs() {
			r, err := f.s.Blobs.Open(t.Context(), d, 0, -1)
			if err == nil {
				_, _, err = good.Blobs.Put(t.Context(), r, d)
				r.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		f.damage(c.blob(l), -3)
		retries := 0
		got, err := readStream(f, p, fetch.Options{Retry: func(error, int) { retries++ }}, f.s.Blobs)
		if !errors.Is(err, fetch.ErrCorrupt) || retries != fetch.ContentAttempts-1 || bytes.Equal(got, raw) {
			t.Errorf("%s: read %d bytes, %v after %d retries, want %v", c.name, len(got), err,
				retries, fetch.ErrCorrupt)
		}
		if c.words != "" && (len(got) > 0 || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("%s: %d bytes came, then %v, want none and %q", c.name, len(got), err, c.words)
		}
		if c.words == "" && (len(got) != 2*document.PieceSize || !strings.Contains(err.Error(), "frame 2 at ")) {
			t.Errorf("%s: %d bytes came, then %v, want two frames and the third named", c.name, len(got), err)
		}
		if !bytes.HasPrefix(raw, got) {
			t.Errorf("%s: a byte came out that was not verified", c.name)
		}
		if got, err := readStream(f, p, fetch.Options{}, f.s.Blobs, good.Blobs); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: with a second source: %d bytes, %v", c.name, len(got), err)
		}
		v, err := f.s.Verify(t.Context(), refOf(t, "web"), nil)
		if err != nil || v.OK || len(v.Problems) != 1 || !strings.Contains(v.Problems[0], "sha256:") {
			t.Errorf("%s: Verify = %+v, %v, want one problem that names the blob", c.name, v, err)
		}
	}
}

func TestShortAndMissingBlobs(t *testing.T) {
	f, _, l, p := threeFrames(t)
	file := f.blobFile(l.Streams[0].Encoding)
	if err := os.Truncate(file, l.Streams[0].Wire-10); err != nil {
		t.Fatal(err)
	}
	remote := f.overServer().s
	for name, src := range map[string]blob.Reader{"local": f.s.Blobs, "server": remote.Blobs} {
		if _, err := readStream(f, p, fetch.Options{}, src); !errors.Is(err, fetch.ErrCorrupt) ||
			!strings.Contains(err.Error(), "it ends after") {
			t.Errorf("%s: a short encoding gives %v", name, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]blob.Reader{"local": f.s.Blobs, "server": remote.Blobs} {
		if _, err := readStream(f, p, fetch.Options{}, src); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("%s: a missing encoding gives %v", name, err)
		}
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestEndlessDocument has a source give a document that never ends: wrong content like any other, not a reason to ask
// for ever.
func TestEndlessDocument(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", someBytes(1, 1000)})
	p, err := f.s.Plan(t.Context(), refOf(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := f.s.Trusted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src := &flaky{Reader: f.s.Blobs, body: func(int, blob.Digest, int64, io.Reader) io.Reader { return zeros{} }}
	_, err = fetch.Open(ctx, []blob.Reader{src}, trust, p, quick(fetch.Options{Retry: func(_ error, attempt int) {
		if attempt > 2*fetch.ContentAttempts {
			cancel()
		}
	}}))
	if !errors.Is(err, fetch.ErrCorrupt) || !errors.Is(err, blob.ErrTooLong) {
		t.Errorf("OpenPlan = %v, want %v", err, blob.ErrTooLong)
	}
}

// TestHostileFrames stores encodings whose index is consistent and whose frames are not what was signed.
func TestHostileFrames(t *testing.T) {
	f, raw, l, p := threeFrames(t)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(raw[:document.PieceSize])
	other[77]++
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	for name, c := range map[string]struct {
		first []byte
		words string
	}{
		"other content": {enc.EncodeAll(other, nil), "piece 0 differs"},
		"too short":     {enc.EncodeAll(raw[:document.PieceSize-1], nil), "it decodes to 8388607 bytes"},
		"too long":      {enc.EncodeAll(raw[:document.PieceSize+1], nil), ""},
		"a bomb":        {bomb, ""},
		"two frames":    {append(enc.EncodeAll(raw[:document.PieceSize], nil), enc.EncodeAll(raw[:1], nil)...), ""},
		"not zstd":      {bytes.Repeat([]byte("x"), 100), ""},
	} {
		x, err := encoding.ReadIndex(t.Context(), f.s.Blobs, l.Streams[0].Index)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := blob.ReadAll(t.Context(), f.s.Blobs, x.Encoding, x.Size)
		if err != nil {
			t.Fatal(err)
		}
		bytesOf := append(bytes.Clone(c.first), rest[x.Frames[1].Offset:]...)
		x.Frames[0].Length, x.Frames[0].SHA256 = int64(len(c.first)), blob.Sum(c.first).Hex()
		for i := 1; i < len(x.Frames); i++ {
			x.Frames[i].Offset = x.Frames[i-1].Offset + x.Frames[i-1].Length
		}
		x.Size, x.Encoding = int64(len(bytesOf)), blob.Sum(bytesOf)
		line, err := document.MarshalLine(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{bytesOf, line} {
			if _, _, err := f.s.Blobs.Put(t.Context(), bytes.NewReader(b), ""); err != nil {
				t.Fatal(err)
			}
		}
		bad := p
		bad.Streams = []fetch.PlanStream{{Document: p.Streams[0].Document, Index: blob.Sum(line),
			Raw: p.Streams[0].Raw, Wire: x.Size}}
		got, err := readStream(f, bad,
			fetch.Options{Retry: func(err error, _ int) { t.Errorf("%s: asked again after %v", name, err) }}, f.s.Blobs)
		if len(got) != 0 || !errors.Is(err, fetch.ErrCorrupt) || !strings.Contains(err.Error(), "frame 0 at 0") ||
			!strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: read %d bytes, %v", name, len(got), err)
		}
	}
}

func TestOpenPlanRefusesMixedDocuments(t *testing.T) {
	f := newFixture(t)
	one, two := someBytes(1, 1000), someBytes(2, 2000)
	a := f.publish("web:1@amd64", way{"", one})
	b := f.publish("web:2@amd64", way{"", one}, way{"web:1@amd64", two})
	trust := document.NewTrust(f.key.Public())
	st := func(s catalog.ListedStream) fetch.PlanStream {
		return fetch.PlanStream{Document: s.Document, Index: s.Index, Raw: s.Raw, Wire: s.Wire}
	}
	for name, p := range map[string]fetch.Plan{
		"another image's document": {Ref: a.Ref, Document: b.Document, Streams: []fetch.PlanStream{st(a.Streams[0])}},
		"another image's stream":   {Ref: a.Ref, Document: a.Document, Streams: []fetch.PlanStream{st(b.Streams[0])}},
		"another stream's index": {Ref: b.Ref, Document: b.Document,
			Streams: []fetch.PlanStream{{Document: b.Streams[0].Document, Index: b.Streams[1].Index, Raw: 0, Wire: 0}}},
		"a broken chain": {Ref: b.Ref, Document: b.Document,
			Streams: []fetch.PlanStream{st(b.Streams[0]), st(b.Streams[1])}},
	} {
		if _, err := fetch.Open(t.Context(), []blob.Reader{f.s.Blobs}, trust, p, quick(fetch.Options{})); err == nil {
			t.Errorf("OpenPlan with %s gave no error", name)
		}
	}
	good := fetch.Plan{Ref: b.Ref, Document: b.Document,
		Streams: []fetch.PlanStream{st(a.Streams[0]), st(b.Streams[1])}}
	o, err := fetch.Open(t.Context(), []blob.Reader{f.s.Blobs}, trust, good, fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := o.Streams()
	if len(s) != 2 || s[0].Parent != nil || s[1].Parent == nil || s[1].Parent.UUID != s[0].UUID ||
		s[1].Ref != b.Ref || o.Size() != 1000 {
		t.Errorf("Streams = %+v", s)
	}
	if m, err := o.Content(t.Context()); err != nil || len(m.Entries) != 1 {
		t.Errorf("Content = %+v, %v", m, err)
	}
	if _, err := fetch.Open(t.Context(), []blob.Reader{f.s.Blobs}, document.NewTrust(newKey(t).Public()), good,
		quick(fetch.Options{})); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("OpenPlan with another key = %v, want %v", err, minisign.ErrSignature)
	}
}

func TestStream(t *testing.T) {
	zstdProgram := need(t, "zstd")
	both(t, func(t *testing.T, f *fixture) {
		one, two, three := someBytes(1, document.PieceSize+1000), someBytes(2, 2000), someBytes(3, 3000)
		f.publish("web:1@amd64", way{"", one})
		f.publish("web:2@amd64", way{"web:1@amd64", two})
		f.publish("web:3@amd64", way{"web:2@amd64", three})
		f.publish("web:4@amd64", way{"", three})
		for _, c := range []struct {
			ref, from string
			want      []byte
			is        error
		}{
			{"web:1", "", one, nil},
			{"web:2", "web:1", two, nil},
			{"web:3", "web:1", append(bytes.Clone(two), three...), nil},
			{"web:3", "", append(append(bytes.Clone(one), two...), three...), nil},
			{"web:4", "web:1", nil, catalog.ErrNoWay},
			{"web:1", "web:2", nil, catalog.ErrNoWay},
			{"web:1", "web:1", nil, catalog.ErrNoWay},
			{"web:1", "web:9", nil, catalog.ErrNotFound},
			{"nothing", "", nil, catalog.ErrNotFound},
		} {
			var from *ref.Ref
			if c.from != "" {
				r := refOf(t, c.from)
				from = &r
			}
			for _, raw := range []bool{true, false} {
				var out bytes.Buffer
				err := f.s.Stream(t.Context(), refOf(t, c.ref), from, raw, &out)
				if !errors.Is(err, c.is) || c.is != nil && out.Len() > 0 {
					t.Errorf("Stream(%s from %q) = %v after %d bytes, want %v", c.ref, c.from, err, out.Len(), c.is)
					continue
				}
				got := out.Bytes()
				if !raw && c.is == nil {
					cmd := exec.Command(zstdProgram, "-dc")
					cmd.Stdin = &out
					if got, err = cmd.Output(); err != nil {
						t.Errorf("zstd -d of Stream(%s from %q): %v", c.ref, c.from, err)
					}
				}
				if !bytes.Equal(got, c.want) {
					t.Errorf("Stream(%s from %q) = %d bytes, want %d", c.ref, c.from, len(got), len(c.want))
				}
			}
		}
	})
}

// TestCloseWhileReading closes a stream while another goroutine reads it, as a receiver does that gave up: the reader
// gets an error, and nothing of what was given back is touched.
func TestCloseWhileReading(t *testing.T) {
	f, _, _, p := threeFrames(t)
	trust, err := f.s.Trusted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := fetch.Open(t.Context(), []blob.Reader{f.s.Blobs}, trust, p, fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		r, err := opened.OpenStream(t.Context(), 0, "")
		if err != nil {
			t.Fatal(err)
		}
		begun, ended := make(chan struct{}), make(chan error)
		go func() {
			b := make([]byte, 7)
			_, err := r.Read(b)
			for close(begun); err == nil; {
				_, err = r.Read(b)
			}
			ended <- err
		}()
		<-begun
		for range i {
			runtime.Gosched()
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == io.EOF {
			t.Fatal("the reader takes what it got for the whole stream")
		}
	}
}
