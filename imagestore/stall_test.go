package imagestore_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/head"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/mirror"
	"griddle/imagestore/remote"
)

// stalling is a server that stops in the middle of every answer to a path with which begins, until n is used up.
type stalling struct {
	http.Handler
	begins string
	after  int // bytes of the answer that are sent first
	n      atomic.Int64
}

func (s *stalling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	meant := strings.HasPrefix(r.URL.Path, s.begins) &&
		(s.begins != remote.CatalogPath || r.URL.Path == remote.CatalogPath)
	if !meant || r.Method != http.MethodGet || s.n.Add(-1) < 0 {
		s.Handler.ServeHTTP(w, r)
		return
	}
	if s.after > 0 {
		s.Handler.ServeHTTP(&cutOff{w, s.after}, r)
		http.NewResponseController(w).Flush()
	}
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// cutOff swallows what is behind the first bytes.
type cutOff struct {
	http.ResponseWriter
	left int
}

func (c *cutOff) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	if _, err := c.ResponseWriter.Write(b[:n]); err != nil {
		return 0, err
	}
	return len(b), nil
}

// TestStalledServer has a server fall silent before or in its answers: what can be asked again is, some times, and then
// there is an error that says so.
func TestStalledServer(t *testing.T) {
	f := newFixture(t)
	l := f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 300_000)})
	for _, c := range []struct {
		name, begins string
		after        int
		times        int64
		ok           bool
	}{
		{"before the log", remote.CatalogPath, 0, 100, false},
		{"in the log", remote.CatalogPath, 20, 100, false},
		{"before the head", head.Path, 0, 100, false},
		{"before blobs, twice", blob.Path, 0, 2, true},
		{"in blobs, always", blob.Path, 100, 10_000, false},
		{"in a stream, twice", blob.Path + "/" + string(l.Streams[0].Encoding), 1000, 2, true},
		{"in a stream, always", blob.Path + "/" + string(l.Streams[0].Encoding), 1000, 10_000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := &stalling{Handler: remote.Handler(f.s, nil), begins: c.begins, after: c.after}
			h.n.Store(c.times)
			srv := httptest.NewServer(h)
			defer srv.Close()
			from, err := remote.Open(remote.ServerOptions{URL: srv.URL, Idle: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			to, err := imagestore.Open(t.TempDir())
			if err == nil {
				err = to.TrustKey(t.Context(), f.key.Public())
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = mirror.Copy(t.Context(), to, from,
				mirror.Options{Images: []string{"web"}, Stall: 100 * time.Millisecond})
			switch {
			case c.ok && err != nil:
				t.Errorf("Copy = %v, want that it goes on", err)
			case !c.ok &&
				(err == nil || !errors.Is(err, blob.ErrStalled) && !strings.Contains(err.Error(), "nothing came for")):
				t.Errorf("Copy = %v, want that the server is silent", err)
			}
		})
	}
}
