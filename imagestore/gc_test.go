package imagestore_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// TestRevokedWayIsNoWay revokes the key of one way to an image: the other way, through an older image, must not be
// deleted then, neither on command nor by a rule.
func TestRevokedWayIsNoWay(t *testing.T) {
	f := newFixture(t)
	site := f.by(imagetest.NewKey(t))
	f.grant(document.SiteGrant(site.key.Public()))
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 4000)})
	f.publish("web:2@amd64", way{"web:1@amd64", imagetest.Bytes(2, 300)})
	full := site.stream(f.identity("web:2@amd64"), "", imagetest.Bytes(3, 5000))
	l, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web:2"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Add(t.Context(),
		catalog.Publication{Image: l.Document, Streams: []catalog.StreamBlobs{full}}); err != nil {
		t.Fatal(err)
	}
	if err := f.s.Revoke(t.Context(), site.key.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, "web:1")); !errors.Is(err, catalog.ErrInUse) ||
		!strings.Contains(err.Error(), "web:2") {
		t.Errorf("Delete of the only way that counts = %v, want ErrInUse", err)
	}
	if err := f.s.SetKeep(t.Context(), catalog.Keep{Pattern: "web", Last: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := f.s.GC(t.Context(), imagestore.GCOptions{})
	if err != nil || len(c.Versions) != 0 || imagetest.Versions(c.Kept) != "1" {
		t.Errorf("GC = %+v, %v, want web:1 kept", c, err)
	}
	if p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web:2")); err != nil || len(p.Streams) != 2 {
		t.Errorf("Plan = %+v, %v", p, err)
	}
}

// TestGCUnderived has streams that cannot be derived from: what leads to their images stays, and the rest is collected.
func TestGCUnderived(t *testing.T) {
	f := newFixture(t)
	f.s.Key = imagetest.NewKey(t)
	f.grant(document.SiteGrant(f.s.Key.Public()))
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 4000)}) // no send streams
	f.publish("web:2@amd64", way{"web:1@amd64", imagetest.Bytes(2, 300)})
	f.publish("db:1@amd64", way{"", imagetest.Bytes(3, 4000)})
	f.publish("db:2@amd64", way{"", imagetest.Bytes(4, 4000)})
	if err := f.s.SetKeep(t.Context(), catalog.Keep{Pattern: "*", Last: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := f.s.GC(t.Context(), imagestore.GCOptions{})
	if err == nil || errors.Is(err, minisign.ErrSignature) ||
		!strings.Contains(err.Error(), "web:2@amd64 got no full stream") || strings.Contains(err.Error(), "db:") {
		t.Errorf("GC ended with %v, want an error that names web:2@amd64", err)
	}
	if !slices.Equal(c.Versions, []string{"db:1@amd64"}) || !slices.Equal(c.Kept, []string{"web:1@amd64"}) ||
		len(c.Derived) != 0 || c.Blobs == 0 {
		t.Errorf("GC = %+v, want db:1 gone and web:1 kept", c)
	}
	for _, i := range []string{"web:1", "web:2", "db:2"} {
		f.whole(i)
	}
}

func (f *fixture) old() {
	f.t.Helper()
	past := time.Now().Add(-2 * catalog.OrphanAge)
	for _, d := range f.blobs() {
		if err := os.Chtimes(f.blobFile(d), past, past); err != nil {
			f.t.Fatal(err)
		}
	}
}

// TestGC rehearses, and then does what it rehearsed, here and by way of a server.
func TestGC(t *testing.T) {
	for _, remote := range []bool{false, true} {
		f := newFixture(t)
		f.versions()
		f.publish("web:4@amd64", way{"", imagetest.Bytes(7, 10_000)})
		s := f.s
		if remote {
			s = f.overServer().s
		}
		orphan, _, err := f.s.Blobs.Put(t.Context(), strings.NewReader("of a publication that failed"), "")
		if err != nil {
			t.Fatal(err)
		}
		f.old()
		if err := s.SetKeep(t.Context(), catalog.Keep{Pattern: "web", Last: 2}); err != nil {
			t.Fatal(err)
		}
		before := f.blobs()
		entries, err := f.s.Catalog.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		would, err := s.GC(t.Context(), imagestore.GCOptions{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		if after, err := f.s.Catalog.Read(t.Context()); err != nil || len(after) != len(entries) ||
			len(f.blobs()) != len(before) {
			t.Errorf("the rehearsal changed something (%v)", err)
		}
		if remote {
			// The server has no key, which only shows when it is asked: a rehearsal takes it to have one.
			if imagetest.Versions(would.Derived) != "3" || imagetest.Versions(would.Versions) != "2 1" {
				t.Errorf("rehearsed %+v", would)
			}
		} else if imagetest.Versions(would.Kept) != "1" || imagetest.Versions(would.Versions) != "2" ||
			!slices.Contains(would.Digests, orphan) {
			t.Errorf("rehearsed %+v", would)
		}
		got, err := s.GC(t.Context(), imagestore.GCOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if imagetest.Versions(got.Versions) != "2" || imagetest.Versions(got.Kept) != "1" {
			t.Errorf("did %+v", got)
		}
		if gone := missing(before, f.blobs()); !remote && !slices.Equal(gone, would.Digests) || got.Blobs != len(gone) {
			t.Errorf("%v are gone, want %v", gone, would.Digests)
		}
		for _, i := range []string{"web:1", "web:3", "web:4"} {
			f.whole(i)
		}
		if _, err := s.GC(t.Context(), imagestore.GCOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func missing(before, after []blob.Digest) (out []blob.Digest) {
	for _, d := range before {
		if !slices.Contains(after, d) {
			out = append(out, d)
		}
	}
	return out
}

func TestKeepRules(t *testing.T) {
	f := newFixture(t)
	s := f.overServer().s
	for _, bad := range []catalog.Keep{{Pattern: "", Last: 1}, {Pattern: "web:1", Last: 1},
		{Pattern: "web@amd64", Last: 1}, {Pattern: "web", Last: -1}, {Pattern: "web", Newer: -1}} {
		if err := s.SetKeep(t.Context(), bad); !errors.Is(err, ref.ErrInvalid) {
			t.Errorf("SetKeep(%+v) = %v, want %v", bad, err, ref.ErrInvalid)
		}
	}
	for _, k := range []catalog.Keep{{Pattern: "web", Last: 3}, {Pattern: "*/*", Newer: 60}, {Pattern: "web", Last: 4},
		{Pattern: "web", Last: 4}, {Pattern: "*/*"}, {Pattern: "db"}} {
		if err := s.SetKeep(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Keeps(t.Context())
	if err != nil || !slices.Equal(got, []catalog.Keep{{Pattern: "web", Last: 4}}) {
		t.Errorf("rules %v (%v)", got, err)
	}
	if _, err := f.s.Catalog.Change(t.Context(),
		catalog.Change{Expire: &catalog.Expiry{Refs: []string{"web:1@amd64"}}}); !errors.Is(err, catalog.ErrInUse) {
		t.Errorf("a tombstone for what no rule lets fall: %v", err)
	}
}
