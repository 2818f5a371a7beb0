package imagestore_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
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
	raw := imagetest.Bytes(9, 2*document.PieceSize+12345)
	l := f.publish("web:1@amd64", way{"", raw})
	p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	return f, raw, l, p
}

func TestOpenPlanRefusesMixedDocuments(t *testing.T) {
	f := newFixture(t)
	one, two := imagetest.Bytes(1, 1000), imagetest.Bytes(2, 2000)
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
	if _, err := fetch.Open(t.Context(), []blob.Reader{f.s.Blobs},
		document.NewTrust(imagetest.NewKey(t).Public()), good,
		quick(fetch.Options{})); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("OpenPlan with another key = %v, want %v", err, minisign.ErrSignature)
	}
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
