package imagestore_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// level says at which level the stream of ref from parent is, and whether there is one with dictionaries.
func (f *fixture) level(r, parent string) (level int, dict bool) {
	f.t.Helper()
	l, err := f.s.Resolve(f.t.Context(), imagetest.Ref(f.t, r))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range l.Streams {
		switch {
		case s.Parent != parent:
		case s.Dictionary:
			dict = true
		default:
			level = s.Level
		}
	}
	return level, dict
}

// TestRecompressGoesOn has a stream that is damaged before one that is not.
func TestRecompressGoesOn(t *testing.T) {
	f := newFixture(t)
	bad := f.publish("web:2@amd64", way{"", imagetest.Bytes(2, 5000)})
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 3000)})
	f.damage(bad.Streams[0].Encoding, -1)
	var done []string
	err := f.s.Recompress(t.Context(), imagestore.RecompressOptions{Level: 10}, func(r imagestore.Recompressed) {
		done = append(done, r.Ref)
	})
	if !errors.Is(err, fetch.ErrCorrupt) || !strings.Contains(err.Error(), bad.Ref) {
		t.Errorf("Recompress = %v, want ErrCorrupt of %s", err, bad.Ref)
	}
	if got, _ := f.level("web:1@amd64", ""); got != 10 || !slices.Equal(done, []string{"web:1@amd64"}) {
		t.Errorf("beside a damaged image the other one is at level %d and %q were done, want it at 10", got, done)
	}
}

// TestRecompressUntrusted has an image whose key counts no more.
func TestRecompressUntrusted(t *testing.T) {
	f := newFixture(t)
	f.publish("web:2@amd64", way{"", imagetest.Bytes(2, 5000)})
	key := f.key
	f.key = imagetest.NewKey(t)
	if err := f.s.TrustKey(t.Context(), f.key.Public()); err != nil {
		t.Fatal(err)
	}
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 3000)})
	if err := f.s.Revoke(t.Context(), key.Public()); err != nil {
		t.Fatal(err)
	}
	if err := f.s.Recompress(t.Context(), imagestore.RecompressOptions{Level: 10}, nil); err != nil {
		t.Error(err)
	}
	if got, _ := f.level("web:1@amd64", ""); got != 10 {
		t.Errorf("it is at level %d, want 10", got)
	}
	err := f.s.Recompress(t.Context(),
		imagestore.RecompressOptions{Level: 10, Refs: []ref.Ref{imagetest.Ref(t, "web:2@amd64")}}, nil)
	if !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("Recompress of an image by a revoked key = %v, want ErrSignature", err)
	}
}

// TestRecompressOrphan has a delta whose parent was deleted, since another way leads to the image: machines
// still have the parent.
func TestRecompressOrphan(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 3000)})
	f.publish("web:2@amd64", way{"", imagetest.Bytes(2, 5000)}, way{"web:1@amd64", imagetest.Bytes(3, 800)})
	if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, "web:1@amd64")); err != nil {
		t.Fatal(err)
	}
	if err := f.s.Recompress(t.Context(), imagestore.RecompressOptions{Level: 10}, nil); err != nil {
		t.Error(err)
	}
	full, _ := f.level("web:2@amd64", "")
	if delta, _ := f.level("web:2@amd64", "web:1@amd64"); full != 10 || delta != 10 {
		t.Errorf("they are at levels %d and %d, want 10", full, delta)
	}
	p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web:2"), imagetest.Ref(t, "web:1@amd64"))
	if err != nil || len(p.Streams) != 1 || p.Streams[0].Raw != 800 {
		t.Errorf("Plan from the deleted parent = %+v, %v, want the delta", p, err)
	}
}

// TestRecompressOverServer does without trees what can be done without; who has the trees then makes the dictionaries.
func TestRecompressOverServer(t *testing.T) {
	p, one, two := changing(t)
	f := &fixture{t: t, s: p.store, key: p.o.Key}
	var done []imagestore.Recompressed
	note := func(r imagestore.Recompressed) { done = append(done, r) }
	if err := f.overServer().s.Recompress(t.Context(), imagestore.RecompressOptions{Level: 12}, note); err != nil {
		t.Fatal(err)
	}
	if level, dict := f.level(two, one); level != 12 || dict || len(done) != 2 {
		t.Errorf("over a server: level %d, dictionaries %v, done %+v; want 12 and none", level, dict, done)
	}
	done = nil
	if err := f.s.Recompress(t.Context(), imagestore.RecompressOptions{Level: 12}, note); err != nil {
		t.Fatal(err)
	}
	if _, dict := f.level(two, one); !dict || len(done) != 1 || done[0].Dictionary == 0 ||
		done[0].Before != done[0].After {
		t.Errorf("where the trees are: dictionaries %v, done %+v; want one stream with them", dict, done)
	}
}

// TestRecompressInVain has a delta that no dictionary makes smaller, which is tried once.
func TestRecompressInVain(t *testing.T) {
	p := newPublisher(t)
	p.store.Key = p.o.Key
	p.o.Ref.Version = "1"
	one := p.publish().Ref
	p.must(exec.Command("touch", p.dir).Run())
	p.o.Ref.Version = "2"
	two := p.publish().Ref
	f := &fixture{t: t, s: p.store}
	for i := range 2 {
		var done []imagestore.Recompressed
		p.must(p.store.Recompress(t.Context(), imagestore.RecompressOptions{Level: 10},
			func(r imagestore.Recompressed) { done = append(done, r) }))
		if level, dict := f.level(two, one); level != 10 || dict || len(done) != 2*(1-i) {
			t.Errorf("run %d: level %d, dictionaries %v, done %+v", i+1, level, dict, done)
		}
	}
}

// TestRecompressTogether has several at the same streams, while an image is deleted under their hands.
func TestRecompressTogether(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 3000)})
	f.publish("web:2@amd64", way{"", imagetest.Bytes(2, 5000)})
	f.publish("web:3@amd64", way{"", bytes.Repeat(imagetest.Bytes(3, 1<<20), 9)})
	var g errgroup.Group
	for range 3 {
		g.Go(func() error { return f.s.Recompress(t.Context(), imagestore.RecompressOptions{Level: 10}, nil) })
	}
	g.Go(func() error {
		_, err := f.s.Delete(context.WithoutCancel(t.Context()), imagetest.Ref(t, "web:2@amd64"))
		return err
	})
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	for _, r := range []string{"web:1@amd64", "web:3@amd64"} {
		v, err := f.s.Verify(t.Context(), imagetest.Ref(t, r), nil)
		if got, _ := f.level(r, ""); got != 10 || err != nil || !v.OK {
			t.Errorf("%s is at level %d, and %+v, %v", r, got, v, err)
		}
	}
	entries, err := f.s.Catalog.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	replaced := map[blob.Digest]int{}
	for _, e := range entries {
		if e.Kind == catalog.KindEncoding {
			replaced[e.Replaces]++
		}
	}
	for d, n := range replaced {
		if n > 1 {
			t.Errorf("index %s was replaced %d times", d, n)
		}
	}
}
