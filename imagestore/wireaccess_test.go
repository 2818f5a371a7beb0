package imagestore_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/remote"
)

type slotOf struct{ n *atomic.Int32 }

func (t slotOf) Grow(int64) error { return nil }
func (t slotOf) Release()         { t.n.Add(-1) }

// TestWorkHasBudgets asks every route that takes work: it takes from the budget, gives it back, and is refused with 503
// where there is no room.
func TestWorkHasBudgets(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 100_000)})
	f.keepHead(0)
	var asked []remote.Work
	var refuses remote.Work
	var held atomic.Int32
	h := remote.NewHandler(f.s, remote.HandlerOptions{
		Who: func(*http.Request) (remote.Caller, error) {
			return remote.Caller{Role: remote.Administrator}, nil
		},
		Admit: func(w remote.Work, client string, known bool, bytes int64) (remote.Held, error) {
			asked = append(asked, w)
			if client != "192.0.2.1" || !known || w != remote.Leases && bytes <= 0 {
				t.Errorf("%s of %q, known %v, takes %d bytes", w, client, known, bytes)
			}
			if w == refuses {
				return nil, errors.New("no room")
			}
			held.Add(1)
			return slotOf{&held}, nil
		},
	})
	for _, c := range []struct {
		method, path, body string
		want               []remote.Work
	}{
		{"GET", remote.ImagesPath, "", []remote.Work{remote.Lists}},
		{"GET", remote.ImagesPath + "/show?ref=web", "", []remote.Work{remote.Lists}},
		{"GET", remote.CatalogPath, "", []remote.Work{remote.Lists}},
		{"GET", remote.SitePath, "", []remote.Work{remote.Lists}},
		{"GET", remote.ImagesPath + "/stream?ref=web", "", []remote.Work{remote.Streams, remote.Lists}},
		{"GET", remote.ImagesPath + "/stream?ref=web&format=raw", "", []remote.Work{remote.Streams, remote.Lists}},
		{"POST", remote.LeasesPath, `{"refs":["web:1@amd64"],"seconds":1}`,
			[]remote.Work{remote.Bodies, remote.Leases}},
		{"POST", remote.CatalogPath, `{"collect":true}`, []remote.Work{remote.Bodies}},
		{"POST", remote.ImagesPath + "/derive", `{"ref":"web"}`, []remote.Work{remote.Bodies}},
	} {
		for _, refuses = range append(slices.Clone(c.want), "") {
			asked = nil
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
			want := http.StatusOK
			if refuses != "" {
				want = http.StatusServiceUnavailable
			}
			if w.Code != want || want == http.StatusServiceUnavailable &&
				(w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "no room")) {
				t.Errorf("%s %s with no room for %q = %d %s, want %d", c.method, c.path, refuses, w.Code, w.Body, want)
			}
			if refuses == "" && !slices.Equal(asked, c.want) {
				t.Errorf("%s %s takes %q, want %q", c.method, c.path, asked, c.want)
			}
			if n := held.Load(); n != 0 {
				t.Errorf("%s %s keeps %d of what it took", c.method, c.path, n)
			}
		}
	}
}

// TestStreamGrows has the budget refuse what the documents say that a stream takes.
func TestStreamGrows(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 20<<20)})
	for _, limit := range []int64{1 << 20, 64 << 20} {
		var most int64
		h := remote.NewHandler(f.s,
			remote.HandlerOptions{Admit: func(w remote.Work, _ string, _ bool, bytes int64) (remote.Held, error) {
				if w == remote.Streams {
					most = bytes
				}
				return &growing{limit: limit, n: &most}, nil
			}})
		for _, format := range []string{"raw", "zstd"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", remote.ImagesPath+"/stream?ref=web&format="+format, nil))
			if ok := w.Code == http.StatusOK; ok != (limit > 32<<20) || !ok && w.Code != http.StatusServiceUnavailable {
				t.Errorf("%s with room for %d bytes = %d %.200s", format, limit, w.Code, w.Body)
			}
			if limit > 32<<20 && most < document.PieceSize {
				t.Errorf("%s takes %d bytes, less than a piece", format, most)
			}
		}
	}
}

type growing struct {
	limit int64
	n     *int64
}

func (g *growing) Grow(n int64) error {
	if *g.n+n > g.limit {
		return errors.New("no room")
	}
	*g.n += n
	return nil
}
func (*growing) Release() {}
