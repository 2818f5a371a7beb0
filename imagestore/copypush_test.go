package imagestore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/mirror"
	"griddle/imagestore/remote"
)

// countedPut is a server that counts the bytes of bodies that it reads for one blob, and breaks the
// connection after limit.
type countedPut struct {
	d     blob.Digest
	n     atomic.Int64
	limit int64 // 0 for none
}

func (c *countedPut) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, string(c.d)) {
			r.Body = &countedBody{r.Body, c}
		}
		h.ServeHTTP(w, r)
	})
}

type countedBody struct {
	io.ReadCloser
	c *countedPut
}

func (b *countedBody) Read(p []byte) (int, error) {
	if b.c.limit > 0 && b.c.n.Load() >= b.c.limit {
		panic(http.ErrAbortHandler)
	}
	n, err := b.ReadCloser.Read(p)
	b.c.n.Add(int64(n))
	return n, err
}

// pushed is the store of f as somebody sees it who may write, behind a server that counts.
func (f *fixture) pushed(c *countedPut) *imagestore.Store {
	f.t.Helper()
	srv := httptest.NewTLSServer(c.wrap(remote.Handler(f.s, func(*http.Request) error { return nil })))
	f.t.Cleanup(srv.Close)
	s, err := remote.Open(remote.ServerOptions{URL: srv.URL, Token: "right", Client: srv.Client()})
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// overConn is the store of f at the other end of one connection, which cut breaks.
func (f *fixture) overConn() (s *imagestore.Store, cut func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	a, b := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- remote.ServeConn(ctx, f.s, b) }()
	f.t.Cleanup(func() {
		a.Close()
		<-ended
		cancel()
	})
	return remote.OpenConn(a), func() { a.Close() }
}

// TestPushResumed breaks the connection in the middle of a blob; the next push sends what is missing.
func TestPushResumed(t *testing.T) {
	a := newFixture(t)
	l := a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 30<<20)})
	o := mirror.Options{Images: []string{"web"}}
	b := a.another()
	d := l.Streams[0].Encoding
	c := &countedPut{d: d, limit: l.Wire / 2}
	if _, err := mirror.Copy(t.Context(), b.pushed(c), a.s, o); err == nil {
		t.Fatal("the connection was cut, and the push ended well")
	}
	if _, err := b.s.Blobs.Stat(t.Context(), d); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("a part counts as the blob: %v", err)
	}
	got := c.n.Load()
	c = &countedPut{d: d}
	var last int64
	o.Progress = func(done, total int64) { last = done }
	out, err := mirror.Copy(t.Context(), b.pushed(c), a.s, o)
	if err != nil {
		t.Fatal(err)
	}
	b.whole("web:1@amd64")
	if out.Resumed == 0 || out.Resumed > got || c.n.Load() != l.Wire-out.Resumed {
		t.Errorf("%d of %d bytes came first; the second push resumed after %d and sent %d", got, l.Wire,
			out.Resumed, c.n.Load())
	}
	if last != l.Wire {
		t.Errorf("progress ended at %d of %d", last, l.Wire)
	}
}

// TestPushOverConn is the same on one connection, as over ssh, which is cut.
func TestPushOverConn(t *testing.T) {
	a := newFixture(t)
	l := a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 30<<20)})
	b := a.another()
	to, cut := b.overConn()
	_, err := mirror.Copy(t.Context(), to, a.s, mirror.Options{Images: []string{"web"}, Progress: func(done, _ int64) {
		if done > l.Wire/2 {
			cut()
		}
	}})
	if err == nil {
		t.Fatal("the connection was cut, and the push ended well")
	}
	to, _ = b.overConn()
	out, err := mirror.Copy(t.Context(), to, a.s, mirror.Options{Images: []string{"web"}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Resumed == 0 {
		t.Error("it began anew")
	}
	b.whole("web:1@amd64")
}

// TestPushPoisoned finds others' bytes as the part: they are thrown away before anything is sent, also when they are
// more than the blob has.
func TestPushPoisoned(t *testing.T) {
	a := newFixture(t)
	l := a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 10<<20)})
	for name, size := range map[string]int64{"short": 1000, "as long": l.Wire, "longer": l.Wire + 1} {
		b := a.another()
		p, err := b.s.Blobs.(*blob.Dir).Partial(t.Context(), l.Streams[0].Encoding)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		p.Close()
		out, err := mirror.Copy(t.Context(), b.pushed(&countedPut{}), a.s, mirror.Options{Images: []string{"web"}})
		if err != nil || out.Resumed != 0 {
			t.Errorf("%s: resumed after %d bytes, %v", name, out.Resumed, err)
		}
		b.whole("web:1@amd64")
	}
}

// TestPushTogether has several pushes of the same at once: it is sent once.
func TestPushTogether(t *testing.T) {
	a := newFixture(t)
	l := a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 20<<20)})
	b := a.another()
	c := &countedPut{d: l.Streams[0].Encoding}
	to := b.pushed(c)
	var g errgroup.Group
	for range 3 {
		g.Go(func() error {
			_, err := mirror.Copy(t.Context(), to, a.s, mirror.Options{Images: []string{"web"}})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	b.whole("web:1@amd64")
	if parts, err := os.ReadDir(filepath.Join(b.dir, "blobs", "partial")); err != nil || len(parts) != 0 {
		t.Errorf("parts are left: %v, %v", parts, err)
	}
}
