package imagestore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/encoding"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/mirror"
	"griddle/imagestore/remote"
)

// another is an empty store that trusts the key of f.
func (f *fixture) another() *fixture {
	f.t.Helper()
	s, err := imagestore.Open(filepath.Join(f.t.TempDir(), "store"))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := s.TrustKey(f.t.Context(), f.key.Public()); err != nil {
		f.t.Fatal(err)
	}
	return &fixture{f.t, s.Dir(), s, f.key}
}

func (f *fixture) pull(from *imagestore.Store, images ...string) mirror.Copied {
	f.t.Helper()
	c, err := mirror.Copy(f.t.Context(), f.s, from, mirror.Options{Images: images, Channels: true})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, i := range images {
		list, err := f.s.List(f.t.Context(), i)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, l := range list {
			f.whole(l.Ref)
		}
	}
	return c
}

func (f *fixture) whole(image string) {
	f.t.Helper()
	v, err := f.s.Verify(f.t.Context(), imagetest.Ref(f.t, image), nil)
	if err != nil || !v.OK {
		f.t.Fatalf("%s: %+v, %v", image, v, err)
	}
}

// reader is the store of f as a client without a token sees it.
func (f *fixture) reader(wrap func(http.Handler) http.Handler) *imagestore.Store {
	f.t.Helper()
	s, err := remote.Open(remote.ServerOptions{URL: f.served(wrap)})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// served is the URL of a server of the store.
func (f *fixture) served(wrap func(http.Handler) http.Handler) string {
	f.t.Helper()
	srv := httptest.NewServer(wrap(remote.Handler(f.s, nil)))
	f.t.Cleanup(srv.Close)
	return srv.URL
}

func plain(h http.Handler) http.Handler { return h }

func names(c mirror.Copied) string {
	var out []string
	for _, i := range c.Images {
		out = append(out, fmt.Sprintf("%s+%d", i.Ref, i.Streams))
	}
	return strings.Join(out, " ")
}

// versions publishes web:1, whole, and 2 and 3, each a delta to the one before.
func (f *fixture) versions() {
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 3<<20)})
	f.publish("web:2@amd64", way{"web:1@amd64", imagetest.Bytes(2, 90_000)})
	f.publish("web:3@amd64", way{"web:2@amd64", imagetest.Bytes(3, 80_000)},
		way{"web:1@amd64", imagetest.Bytes(4, 100_000)})
}

// TestCopyOnwards copies from A to B, from B to C and from C, which is empty of nothing then, back.
func TestCopyOnwards(t *testing.T) {
	a := newFixture(t)
	a.versions()
	if err := a.s.SetChannel(t.Context(), catalog.Channel{Template: "web", Name: "stable", Version: "2"}); err != nil {
		t.Fatal(err)
	}
	b, c := a.another(), a.another()
	got := b.pull(a.reader(plain), "web:*")
	if want := "web:1@amd64+1 web:2@amd64+1 web:3@amd64+2"; names(got) != want {
		t.Errorf("copied %s, want %s", names(got), want)
	}
	if len(got.Channels) != 1 || got.Channels[0] != (catalog.Channel{Template: "web", Name: "stable", Version: "2"}) {
		t.Errorf("channels %v", got.Channels)
	}
	c.pull(b.reader(plain), "web:*")
	for _, have := range []string{"web:1@amd64", "web:2@amd64"} {
		one, err := a.s.Plan(t.Context(), imagetest.Ref(t, "web:3@amd64"), imagetest.Ref(t, have))
		if err != nil {
			t.Fatal(err)
		}
		other, err := c.s.Plan(t.Context(), imagetest.Ref(t, "web:3@amd64"), imagetest.Ref(t, have))
		if err != nil || fmt.Sprint(one) != fmt.Sprint(other) {
			t.Errorf("from %s the copy of the copy plans %v, want %v (%v)", have, other, one, err)
		}
	}
	if l, err := c.s.Resolve(t.Context(), imagetest.Ref(t, "web:stable")); err != nil || l.Version != "2" {
		t.Errorf("web:stable is %v (%v)", l.Ref, err)
	}
	for _, back := range []*fixture{a, b, c} {
		if got := back.pull(c.s, "web:*"); len(got.Images) != 0 || got.Bytes != 0 || got.Blobs != 0 {
			t.Errorf("what is there was copied again: %+v", got)
		}
	}
}

// TestCopyMissing copies one version after another: of the later ones only the deltas come.
func TestCopyMissing(t *testing.T) {
	a := newFixture(t)
	a.versions()
	b := a.another()
	if got := b.pull(a.s, "web:1"); names(got) != "web:1@amd64+1" {
		t.Errorf("copied %s", names(got))
	}
	got := b.pull(a.s, "web")
	if names(got) != "web:3@amd64+1" || got.Bytes > 150_000 {
		t.Errorf("copied %s, %d bytes; want the delta from 1 alone", names(got), got.Bytes)
	}
	// Between the two that are there: the delta from 2 to 3 comes too.
	if got := b.pull(a.s, "web:2"); names(got) != "web:2@amd64+1 web:3@amd64+1" {
		t.Errorf("copied %s", names(got))
	}
	// Nothing leads to 3 but a chain, so what is between comes too.
	c := newFixture(t)
	c.publish("web:1@amd64", way{"", imagetest.Bytes(1, 300_000)})
	c.publish("web:2@amd64", way{"web:1@amd64", imagetest.Bytes(2, 90_000)})
	if got := c.another().pull(c.s, "web"); names(got) != "web:1@amd64+1 web:2@amd64+1" {
		t.Errorf("copied %s", names(got))
	}
}

func TestCopyRefused(t *testing.T) {
	a := newFixture(t)
	a.versions()
	stranger, err := imagestore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = mirror.Copy(t.Context(), stranger, a.s, mirror.Options{Images: []string{"web"}})
	var untrusted *mirror.UntrustedError
	if !errors.As(err, &untrusted) || untrusted.Key != a.key.Public().ID() ||
		untrusted.Line != a.key.Public().String() || !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("copying what a stranger signed: %v", err)
	}
	if _, err := mirror.Copy(t.Context(), stranger, a.s,
		mirror.Options{Images: []string{"nothing:*"}}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("copying nothing: %v", err)
	}
	b := a.another()
	b.publish("web:1@amd64", way{"", imagetest.Bytes(9, 1000)})
	if _, err := mirror.Copy(t.Context(), b.s, a.s,
		mirror.Options{Images: []string{"web:1"}}); !errors.Is(err, catalog.ErrExists) {
		t.Errorf("copying over another image of the name: %v", err)
	}
	if _, err := b.s.Delete(t.Context(), imagetest.Ref(t, "web:1")); err != nil {
		t.Fatal(err)
	}
	got, err := mirror.Copy(t.Context(), b.s, a.s, mirror.Options{Images: []string{"web:1"}})
	if err != nil || len(got.Skipped) != 1 || len(got.Images) != 0 {
		t.Errorf("copying what was deleted: %+v, %v", got, err)
	}
}

// TestCopyLyingIndex has an index, which nobody signs, name an encoding of something else.
func TestCopyLyingIndex(t *testing.T) {
	a := newFixture(t)
	a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 50_000)})
	l, err := a.s.Resolve(t.Context(), imagetest.Ref(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := encoding.Encoder{}.Encode(t.Context(), strings.NewReader(string(imagetest.Bytes(2, 50_000))), a.s.Blobs)
	if err != nil {
		t.Fatal(err)
	}
	x, err := encoding.ReadIndex(t.Context(), a.s.Blobs, e.Index)
	if err != nil {
		t.Fatal(err)
	}
	l.Streams[0].Index, l.Streams[0].Encoding, l.Streams[0].Wire = e.Index, x.Encoding, x.Size
	liar := http.NewServeMux()
	liar.Handle("/", remote.Handler(a.s, nil))
	liar.HandleFunc("GET "+remote.CatalogPath, deniesLog)
	liar.HandleFunc("GET "+remote.ImagesPath, func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode([]catalog.Listed{l})
	})
	b := a.another()
	if _, err := mirror.Copy(t.Context(), b.s, a.reader(func(http.Handler) http.Handler {
		return liar
	}), mirror.Options{Images: []string{"web"}}); !errors.Is(err, fetch.ErrCorrupt) {
		t.Errorf("copying: %v, want %v", err, fetch.ErrCorrupt)
	}
	if list, err := b.s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("there is %v (%v)", refs(list), err)
	}
}

func TestPush(t *testing.T) {
	a := newFixture(t)
	a.versions()
	b := a.another()
	if _, err := mirror.Copy(t.Context(), b.overServer().s, a.s,
		mirror.Options{Images: []string{"web:*"}}); err != nil {
		t.Fatal(err)
	}
	for _, i := range []string{"web:1", "web:2", "web:3"} {
		b.whole(i)
	}
}

// TestCopyTogether has several copies of the same at once.
func TestCopyTogether(t *testing.T) {
	a := newFixture(t)
	a.versions()
	b := a.another()
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			s, err := imagestore.Open(b.dir)
			if err == nil {
				_, err = mirror.Copy(t.Context(), s, a.s, mirror.Options{Images: []string{"web:*"}})
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, i := range []string{"web:1", "web:2", "web:3"} {
		b.whole(i)
	}
	if parts, err := os.ReadDir(filepath.Join(b.dir, "blobs", "partial")); err != nil || len(parts) != 0 {
		t.Errorf("parts are left: %v, %v", parts, err)
	}
}

// counted is a server that counts what it sends, and stands still after limit bytes.
type counted struct {
	sent  atomic.Int64
	limit atomic.Int64
	full  chan struct{} // closed at the limit
}

func (c *counted) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&countedWriter{w, c, r}, r)
	})
}

type countedWriter struct {
	http.ResponseWriter
	c *counted
	r *http.Request
}

func (w *countedWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	if limit := w.c.limit.Load(); limit > 0 && w.c.sent.Add(int64(n)) > limit {
		w.ResponseWriter.(http.Flusher).Flush()
		if w.c.limit.CompareAndSwap(limit, 0) {
			close(w.c.full)
		}
		<-w.r.Context().Done()
		return n, io.ErrClosedPipe
	} else if limit == 0 {
		w.c.sent.Add(int64(n))
	}
	return n, err
}

const copyDir = "GRIDDLE_TEST_COPY_DIR"

// TestCopyResumed kills a copy between two frames of a long encoding, and has another one finish it.
func TestCopyResumed(t *testing.T) {
	if dir := os.Getenv(copyDir); dir != "" {
		to, err := imagestore.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		from, err := remote.Open(remote.ServerOptions{URL: os.Getenv("GRIDDLE_TEST_COPY_FROM")})
		if err != nil {
			t.Fatal(err)
		}
		mirror.Copy(t.Context(), to, from, mirror.Options{Images: []string{"web"}})
		t.Fatal("the copy ended")
	}
	a := newFixture(t)
	l := a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 30<<20)})
	x, err := encoding.ReadIndex(t.Context(), a.s.Blobs, l.Streams[0].Index)
	if err != nil {
		t.Fatal(err)
	}
	want := x.Frames[1].Offset
	b := a.another()
	c := &counted{full: make(chan struct{})}
	c.limit.Store((want + l.Wire) / 2)
	url := a.served(c.wrap)
	from, err := remote.Open(remote.ServerOptions{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCopyResumed$")
	cmd.Env = append(os.Environ(), copyDir+"="+b.dir, "GRIDDLE_TEST_COPY_FROM="+url)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-c.full
	part := filepath.Join(b.dir, "blobs", "partial", l.Streams[0].Encoding.Hex())
	for { // what was sent arrives
		if st, err := os.Stat(part); err == nil && st.Size() >= want {
			break
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	// A power cut may leave anything at the end.
	if err := os.Truncate(part, want+1000); err != nil {
		t.Fatal(err)
	}
	c.sent.Store(0)
	got := b.pull(from, "web")
	if got.Resumed != want {
		t.Errorf("resumed after %d bytes, want %d", got.Resumed, want)
	}
	if most := l.Wire - want + 200_000; c.sent.Load() > most {
		t.Errorf("the second attempt fetched %d bytes, want at most %d of %d", c.sent.Load(), most, l.Wire)
	}
}

// TestCopyStopped ends a copy by its context: what came is kept, and nothing half is published.
func TestCopyStopped(t *testing.T) {
	a := newFixture(t)
	a.versions()
	b := a.another()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := mirror.Copy(ctx, b.s, a.s,
		mirror.Options{Images: []string{"web:*"}, Jobs: 1, Progress: func(int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Copy = %v, want %v", err, context.Canceled)
	}
	if list, err := b.s.List(t.Context()); err == nil {
		for _, l := range list {
			b.whole(l.Ref)
		}
	}
	b.pull(a.s, "web:*")
}

// TestCopyDamaged has a source with a wrong byte: nothing of it is published.
func TestCopyDamaged(t *testing.T) {
	a := newFixture(t)
	l := a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 50_000)})
	a.damage(l.Streams[0].Encoding, 1000)
	b := a.another()
	if _, err := mirror.Copy(t.Context(), b.s, a.s,
		mirror.Options{Images: []string{"web"}}); !errors.Is(err, blob.ErrMismatch) {
		t.Errorf("Copy = %v, want %v", err, blob.ErrMismatch)
	}
	if list, err := b.s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("there is %v (%v)", refs(list), err)
	}
}
