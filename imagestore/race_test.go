package imagestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
)

// TestPublishDeleteDownload has publishers who fight for the same names, somebody who deletes what is there, and
// readers at the directory and at a server, all at once, each with a store that it opened itself. A name goes to one
// of the publishers, no reader gets a byte that was not published, whatever is there at the end is whole, and
// nothing is left over.
func TestPublishDeleteDownload(t *testing.T) {
	f := newFixture(t)
	f.dir = filepath.Join(memoryDir(t), "store")
	s, err := imagestore.Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	f.s = s
	if err := s.TrustKey(t.Context(), f.key.Public()); err != nil {
		t.Fatal(err)
	}
	f.publish("web:0@amd64", way{"", rawOf("web:0@amd64")})
	const publishers, readers = 3, 2
	versions := 20 * thorough
	changed := make(chan struct{}, publishers*versions) // something was published: time for the others
	open := func() *fixture {
		s, err := imagestore.Open(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		return &fixture{t, f.dir, s, f.key}
	}
	won := make([]atomic.Int32, versions+1)
	var publishing, others sync.WaitGroup
	done := make(chan struct{})
	for range publishers {
		g := open()
		publishing.Go(func() {
			for v := 1; v <= versions; v++ {
				name := fmt.Sprintf("web:%d@amd64", v)
				err := blob.ErrNotExist
				for errors.Is(err, blob.ErrNotExist) {
					// What it has put may have been another's too, which was published and deleted
					// meanwhile: once more.
					err = g.attempt(func(g *fixture) { g.publish(name, way{"", rawOf(name)}) })
				}
				switch {
				case err == nil:
					won[v].Add(1)
				case !errors.Is(err, catalog.ErrExists):
					t.Errorf("publishing %s: %v", name, err)
				}
				changed <- struct{}{}
			}
		})
	}
	deleted := map[string]bool{}
	deleter := open()
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-changed:
			}
			list, err := deleter.s.List(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			for _, l := range list[min(2, len(list)):] {
				if _, err := deleter.s.Delete(t.Context(), l.Parsed()); err != nil {
					t.Errorf("deleting %s: %v", l.Ref, err)
				}
				deleted[l.Ref] = true
			}
			if _, err := deleter.s.Collect(t.Context()); err != nil {
				t.Errorf("collecting: %v", err)
			}
		}
	})
	var whole, gone atomic.Int32
	for i := range readers {
		g := open()
		if i%2 == 1 {
			g = g.overServer()
		}
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-changed:
				}
				g.download(t, &whole, &gone)
			}
		})
	}
	publishing.Wait()
	close(done)
	others.Wait()
	for v := 1; v <= versions; v++ {
		if n := won[v].Load(); n != 1 {
			t.Errorf("web:%d was published %d times, want once", v, n)
		}
	}
	list, err := f.s.List(t.Context())
	if err != nil || len(list)+len(deleted) != versions+1 {
		t.Errorf("%d images are there and %d were deleted, %v; %d were published", len(list),
			len(deleted), err, versions+1)
	}
	for _, l := range list {
		if v, err := f.s.Verify(t.Context(), l.Parsed(), nil); err != nil || !v.OK {
			t.Errorf("%s has %v, %v", l.Ref, v.Problems, err)
		}
	}
	clean(t, "at the end", f.dir)
	if whole.Load() == 0 {
		t.Error("no download came to its end")
	}
	t.Logf("%d downloads were whole, %d lost their image", whole.Load(), gone.Load())
}

// rawOf is the stream of an image by its name.
func rawOf(ref string) []byte {
	return bytes.Repeat(imagetest.Bytes(byte(len(ref)), 2000), int(blob.Sum([]byte(ref)).Hex()[0]))
}

// download reads the newest image. What was deleted meanwhile is missing, and never wrong.
func (f *fixture) download(t *testing.T, whole, gone *atomic.Int32) {
	p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web"))
	if err != nil {
		t.Errorf("planning: %v", err)
		return
	}
	got, err := readStream(f, p, fetch.Options{}, f.s.Blobs)
	switch want := rawOf(p.Ref); {
	case err == nil && !bytes.Equal(got, want):
		t.Errorf("%s: %d bytes came that are not its %d", p.Ref, len(got), len(want))
	case err == nil:
		whole.Add(1)
	case errors.Is(err, blob.ErrNotExist):
		gone.Add(1)
	default:
		t.Errorf("reading %s: %v", p.Ref, err)
	}
}
