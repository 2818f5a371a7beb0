package imagestore_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/remote"
)

// both runs a test on a local store and on the same kind of store behind a server.
func both(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Run("local", func(t *testing.T) { test(t, newFixture(t)) })
	t.Run("server", func(t *testing.T) { test(t, newFixture(t).overServer()) })
}

func TestListAndResolve(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		for _, r := range []string{"web:2@amd64", "web:10@amd64", "web:9@amd64", "web:9@arm64",
			"lab/web:1@amd64", "db:1@arm64"} {
			f.publish(r, way{"", imagetest.Bytes(1, 1000)})
		}
		for _, c := range []struct {
			filters []string
			want    string
		}{
			{nil, "[db:1@arm64 lab/web:1@amd64 web:10@amd64 web:9@amd64 web:9@arm64 web:2@amd64]"},
			{[]string{"web"}, "[web:10@amd64 web:9@amd64 web:9@arm64 web:2@amd64]"},
			{[]string{"web@arm64", "d*"}, "[db:1@arm64 web:9@arm64]"},
			{[]string{"nothing*"}, "[]"},
		} {
			list, err := f.s.List(t.Context(), c.filters...)
			if err != nil || refs(list) != c.want {
				t.Errorf("List(%q) = %s, %v, want %s", c.filters, refs(list), err, c.want)
			}
		}
		if _, err := f.s.List(t.Context(), "UP*"); !errors.Is(err, ref.ErrInvalid) {
			t.Errorf("List with a bad filter = %v, want %v", err, ref.ErrInvalid)
		}
		if err := f.s.SetChannel(t.Context(),
			catalog.Channel{Template: "web", Name: "stable", Version: "9"}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			in, want string
			err      error
			words    string
		}{
			{"web", "web:10@amd64", nil, ""}, {"web:latest", "web:10@amd64", nil, ""},
			{"web@arm64", "web:9@arm64", nil, ""}, {"web:2", "web:2@amd64", nil, ""},
			{"web:stable@amd64", "web:9@amd64", nil, ""}, {"lab/web", "lab/web:1@amd64", nil, ""},
			{"web:9", "", ref.ErrInvalid, "is more than one: web:9@amd64, web:9@arm64"},
			{"web:3", "", catalog.ErrNotFound, "there is 10@amd64, 9@amd64"},
			{"wep", "", catalog.ErrNotFound, "there is db, lab/web, web"},
			{"web:stable@riscv64", "", catalog.ErrNotFound, "web:stable@riscv64"},
		} {
			l, err := f.s.Resolve(t.Context(), imagetest.Ref(t, c.in))
			if l.Ref != c.want || !errors.Is(err, c.err) || c.err != nil && !strings.Contains(err.Error(), c.words) {
				t.Errorf("Resolve(%s) = %q, %v, want %q, %v with %q", c.in, l.Ref, err, c.want, c.err, c.words)
			}
		}
		for _, c := range []catalog.Channel{{Template: "web", Name: "latest", Version: "9"},
			{Template: "web", Name: "9", Version: "10"}, {Template: "web", Name: "x y", Version: "9"},
			{Template: "web", Name: "beta", Version: "77"}} {
			if err := f.s.SetChannel(t.Context(), c); err == nil {
				t.Errorf("SetChannel(%+v) gave no error", c)
			}
		}
		list, err := f.s.List(t.Context(), "web:9@amd64")
		if err != nil || len(list) != 1 || list[0].Latest || fmt.Sprint(list[0].Channels) != "[stable]" ||
			list[0].Wire != list[0].Streams[0].Wire || list[0].Description == "" {
			t.Errorf("List(web:9@amd64) = %+v, %v", list, err)
		}
	})
}

func TestAddRefuses(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		raw := imagetest.Bytes(1, 1000)
		f.publish("web:1@amd64", way{"", raw})
		other := &fixture{t, f.dir, f.s, imagetest.NewKey(t)}
		missing := blob.Sum([]byte("nowhere"))
		one, two := f.image("web:2@amd64", way{"", raw}), f.image("web:3@amd64", way{"", imagetest.Bytes(2, 2000)})
		for _, c := range []struct {
			name string
			p    catalog.Publication
			is   error
		}{
			{"the same version", f.image("web:1@amd64", way{"", raw}), catalog.ErrExists},
			{"another key", other.image("web:4@amd64", way{"", raw}), minisign.ErrSignature},
			{"a stream by another key", catalog.Publication{Image: one.Image,
				Streams: other.image("web:2@amd64", way{"", raw}).Streams}, minisign.ErrSignature},
			{"no stream", catalog.Publication{Image: one.Image}, catalog.ErrNoWay},
			{"the stream of another image", catalog.Publication{Image: one.Image, Streams: two.Streams}, nil},
			{"the index of another stream", catalog.Publication{Image: one.Image,
				Streams: []catalog.StreamBlobs{{Document: one.Streams[0].Document, Index: two.Streams[0].Index}}}, nil},
			{"no document", catalog.Publication{Image: missing, Streams: one.Streams}, blob.ErrNotExist},
			{"no index", catalog.Publication{Image: one.Image,
				Streams: []catalog.StreamBlobs{{Document: one.Streams[0].Document, Index: missing}}}, blob.ErrNotExist},
			{"a parent that is not there", f.image("web:5@amd64", way{"web:4@amd64", raw}), catalog.ErrNotFound},
			{"documents the wrong way round", catalog.Publication{Image: one.Streams[0].Document,
				Streams: []catalog.StreamBlobs{{Document: one.Image, Index: one.Streams[0].Index}}}, nil},
			{"an index for a document", catalog.Publication{Image: one.Streams[0].Index, Streams: one.Streams},
				minisign.ErrSignature},
		} {
			if _, err := f.s.Add(t.Context(), c.p); err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("Add with %s = %v, want %v", c.name, err, c.is)
			}
		}
		if list, err := f.s.List(t.Context()); err != nil || refs(list) != "[web:1@amd64]" {
			t.Errorf("after refusals there is %s, %v", refs(list), err)
		}
		l, err := f.s.Add(t.Context(), one)
		if err != nil || l.Ref != "web:2@amd64" || l.Signer != f.key.Public().ID() || !l.Latest {
			t.Errorf("Add = %+v, %v", l, err)
		}
		// Publishing it again with one more way adds the way, and only once.
		again := catalog.Publication{Image: one.Image,
			Streams: append(one.Streams, f.stream(f.identity("web:2@amd64"), "web:1@amd64", imagetest.Bytes(5, 100)))}
		for range 2 {
			if l, err = f.s.Add(t.Context(), again); err != nil || len(l.Streams) != 2 ||
				l.Streams[1].Parent != "web:1@amd64" {
				t.Errorf("Add of a further stream = %+v, %v", l, err)
			}
		}
		if l, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web:2")); err != nil || len(l.Streams) != 2 {
			t.Errorf("after adding a stream there are %d, %v", len(l.Streams), err)
		}
	})
}

func TestPlan(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		big, mid, small := imagetest.Bytes(1, 100_000), imagetest.Bytes(2, 30_000), imagetest.Bytes(3, 3_000)
		f.publish("web:1@amd64", way{"", big})
		f.publish("web:2@amd64", way{"", big}, way{"web:1@amd64", small})
		f.publish("web:3@amd64", way{"web:2@amd64", small}, way{"web:1@amd64", mid})
		f.publish("web:4@amd64", way{"", small}, way{"web:3@amd64", mid})
		for _, c := range []struct {
			to   string
			have []string
			want int   // streams
			wire int64 // at most
		}{
			{"web:1", nil, 1, 60_000},
			{"web:2", nil, 1, 60_000}, // full and full+delta: the full one alone is cheaper
			{"web:3", nil, 2, 60_000}, // full 2 and a small delta
			{"web:3", []string{"web:1"}, 2, 5_000},
			{"web:3", []string{"web:2"}, 1, 2_500},
			{"web:3", []string{"web:1", "web:2"}, 1, 2_500},
			{"web:3", []string{"web:3"}, 0, 0},
			{"web:3", []string{"other:9@amd64"}, 2, 60_000},
			{"web:4", []string{"web:3"}, 1, 2_500}, // the full stream is cheaper than the delta
		} {
			var have []ref.Ref
			for _, h := range c.have {
				have = append(have, imagetest.Ref(t, h))
			}
			p, err := f.s.Plan(t.Context(), imagetest.Ref(t, c.to), have...)
			if err != nil || len(p.Streams) != c.want || p.Wire() > c.wire || p.Streams == nil {
				t.Errorf("Plan(%s, %s) = %d streams of %d bytes, %v, want %d of at most %d", c.to, c.have,
					len(p.Streams), p.Wire(), err, c.want, c.wire)
			}
		}
	})
}

func TestDelete(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		before := len(f.blobs())
		one, two := imagetest.Bytes(1, 50_000), imagetest.Bytes(2, 500)
		f.publish("web:1@amd64", way{"", one})
		f.publish("web:2@amd64", way{"web:1@amd64", two})
		f.publish("web:3@amd64", way{"web:2@amd64", two}, way{"", one}) // its full stream is the same bytes as web:1's
		l := f.publish("db:1@amd64", way{"", imagetest.Bytes(4, 4000)})
		_, err := f.s.Delete(t.Context(), imagetest.Ref(t, "web:1"))
		if !errors.Is(err, catalog.ErrInUse) ||
			!strings.Contains(err.Error(), "without web:1@amd64 these cannot be made: web:2@amd64") ||
			strings.Contains(err.Error(), "web:3") {
			t.Errorf("Delete(web:1) = %v, want %v", err, catalog.ErrInUse)
		}
		if shown, err := f.s.Show(t.Context(), imagetest.Ref(t, "web:1")); err != nil ||
			fmt.Sprint(shown.Needed) != "[web:2@amd64]" {
			t.Errorf("Show(web:1) says that %v need it, %v", shown.Needed, err)
		}
		for _, r := range []string{"web:2", "web:1"} {
			d, err := f.s.Delete(t.Context(), imagetest.Ref(t, r))
			if err != nil || d.Blobs == 0 || d.Bytes == 0 {
				t.Errorf("Delete(%s) = %+v, %v", r, d, err)
			}
			for _, left := range []string{"web:3", "db:1"} {
				if v, err := f.s.Verify(t.Context(), imagetest.Ref(t, left), nil); err != nil || !v.OK {
					t.Errorf("after deleting %s, %s has %v, %v", r, left, v.Problems, err)
				}
			}
		}
		if _, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web:1")); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Resolve of a deleted image = %v", err)
		}
		if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, "web:1")); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Delete of a deleted image = %v", err)
		}
		if _, err := f.s.Add(t.Context(), f.image("web:1@amd64", way{"", one})); !errors.Is(err, catalog.ErrExists) {
			t.Errorf("Add of a deleted version = %v", err)
		}
		for _, r := range []string{"web:3", "db:1"} {
			if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, r)); err != nil {
				t.Errorf("Delete(%s): %v", r, err)
			}
		}
		if _, err := f.s.Blobs.Stat(t.Context(), l.Document); !errors.Is(err, blob.ErrNotExist) {
			t.Errorf("a deleted image's document is still there: %v", err)
		}
		// What is left was put by the publication that was refused.
		if got := len(f.blobs()); got > before+6 {
			t.Errorf("after all images were deleted %d blobs are left", got)
		}
		if d, err := f.s.Collect(t.Context()); err != nil || d.Blobs != 0 {
			t.Errorf("Collect took %+v, %v, though nothing is a day old", d, err)
		}
	})
}

// TestDeleteDuringPublication deletes an image while another one with the same bytes is on its way: what it has put
// was there already, and is not in the log yet.
func TestDeleteDuringPublication(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		raw := imagetest.Bytes(1, 50_000)
		first := f.publish("web:1@amd64", way{"", raw})
		next := f.image("web:2@amd64", way{"", raw})
		if d, err := f.s.Delete(t.Context(), imagetest.Ref(t, "web:1")); err != nil || d.Blobs != 2 {
			t.Errorf("Delete(web:1) = %+v, %v, want its two documents removed", d, err)
		}
		second, err := f.s.Add(t.Context(), next)
		if err != nil {
			t.Fatalf("Add(web:2) = %v", err)
		}
		if first.Streams[0].Encoding != second.Streams[0].Encoding {
			t.Errorf("the encodings are %s and %s, the test wants one", first.Streams[0].Encoding,
				second.Streams[0].Encoding)
		}
		if v, err := f.s.Verify(t.Context(), imagetest.Ref(t, "web:2"), nil); err != nil || !v.OK {
			t.Errorf("web:2 has %v, %v", v.Problems, err)
		}
		if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, "web:2")); err != nil {
			t.Error(err)
		}
		if left := f.blobs(); len(left) > 0 {
			t.Errorf("after the last image was deleted %v are left", left)
		}
	})
}

func TestCollect(t *testing.T) {
	f := newFixture(t)
	l := f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	orphan, _, err := f.s.Blobs.Put(t.Context(), strings.NewReader("left by a publication that failed"), "")
	if err != nil {
		t.Fatal(err)
	}
	past := f.timeOf(orphan).Add(-2 * catalog.OrphanAge)
	for _, d := range f.blobs() {
		if err := os.Chtimes(f.blobFile(d), past, past); err != nil {
			t.Fatal(err)
		}
	}
	fresh, _, err := f.s.Blobs.Put(t.Context(), strings.NewReader("of a publication that goes on"), "")
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.s.Collect(t.Context())
	if err != nil || d.Blobs != 1 {
		t.Errorf("Collect = %+v, %v, want one blob", d, err)
	}
	if _, err := f.s.Blobs.Stat(t.Context(), orphan); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("the orphan is still there: %v", err)
	}
	if _, err := f.s.Blobs.Stat(t.Context(), fresh); err != nil {
		t.Errorf("a fresh blob is gone: %v", err)
	}
	if v, err := f.s.Verify(t.Context(), imagetest.Ref(t, l.Ref), nil); err != nil || !v.OK {
		t.Errorf("the image has %v, %v", v.Problems, err)
	}
}

func TestStoresOpenedTwice(t *testing.T) {
	f := newFixture(t)
	second, err := imagestore.Open(f.dir) // as another process has it
	if err != nil {
		t.Fatal(err)
	}
	stores := []*imagestore.Store{f.s, second, f.overServer().s}
	var pubs [][]catalog.Publication
	const each = 8
	for i := range stores {
		var ps []catalog.Publication
		for n := range each {
			ps = append(ps, f.image(fmt.Sprintf("t%d:%d@amd64", i, n), way{"", imagetest.Bytes(byte(n+1), 500)}))
		}
		ps = append(ps, f.image("same:1@amd64", way{"", imagetest.Bytes(byte(i+100), 500)}))
		pubs = append(pubs, ps)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i, s := range stores {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n, p := range pubs[i] {
				_, err := s.Add(t.Context(), p)
				switch {
				case n < each && err != nil:
					t.Errorf("publisher %d: %v", i, err)
				case n == each && err == nil:
					mu.Lock()
					won++
					mu.Unlock()
				case n == each && !errors.Is(err, catalog.ErrExists):
					t.Errorf("publisher %d of the same version: %v, want %v", i, err, catalog.ErrExists)
				}
			}
		}()
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d publishers of one version succeeded, want 1", won)
	}
	for _, s := range stores {
		if list, err := s.List(t.Context()); err != nil || len(list) != 3*each+1 {
			t.Errorf("List = %d images, %v, want %d", len(list), err, 3*each+1)
		}
	}
}

func TestServerRefusesStrangers(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	for _, token := range []string{"", "wrong"} {
		remote := f.overServerWith(token).s
		if _, err := remote.List(t.Context()); errors.Is(err, blob.ErrDenied) != (token != "") {
			t.Errorf("List with token %q = %v; everybody may read, but not with a token that is wrong", token, err)
		}
		if err := remote.TrustKey(t.Context(), imagetest.NewKey(t).Public()); !errors.Is(err, blob.ErrDenied) {
			t.Errorf("TrustKey with token %q = %v, want %v", token, err, blob.ErrDenied)
		}
	}
	if _, err := remote.Open(remote.ServerOptions{URL: "http://192.0.2.1:8080", Token: "right"}); err == nil {
		t.Error("a token would go over http")
	}
	for _, u := range []string{"ftp://192.0.2.1:8080", "https://", "nowhere", "https://host/path", "https://u:p@host"} {
		if _, err := remote.Open(remote.ServerOptions{URL: u}); err == nil {
			t.Errorf("OpenServer(%q) gave no error", u)
		}
	}
}
