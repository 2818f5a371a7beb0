package imagestore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// listed is a view with images of web: version, and the parents of its streams ("" for none).
func listedView(t *testing.T, images map[string][]string) *view {
	t.Helper()
	v, err := replay(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t).Public()
	for version, parents := range images {
		l := Listed{Signer: key.ID(), Ref: "web:" + version + "@amd64", Template: "web", Version: version, Arch: "amd64", Document: blob.Sum([]byte(version)), Published: time.Unix(1.7e9, 0)}
		for _, p := range parents {
			s := ListedStream{Raw: 1, Wire: 10, Signer: key.ID()}
			if p == "" {
				s.Wire = 100
			} else {
				s.Parent = "web:" + p + "@amd64"
			}
			l.Streams = append(l.Streams, s)
		}
		if err := v.apply(&Entry{Seq: 1, Kind: KindPublish, Image: &l}); err != nil {
			t.Fatal(err)
		}
	}
	return v.With(document.NewTrust(key))
}

func TestFallOut(t *testing.T) {
	now := time.Unix(1.7e9, 0).Add(100 * time.Hour)
	for _, c := range []struct {
		name  string
		rules []Keep
		want  string
	}{
		{"no rule", nil, ""},
		{"another template's", []Keep{{Pattern: "db", Last: 1}}, ""},
		{"last", []Keep{{Pattern: "web", Last: 2}}, "3 1"},
		{"all newer", []Keep{{Pattern: "w*", Newer: 101 * 3600}}, ""},
		{"none newer", []Keep{{Pattern: "w*", Newer: 99 * 3600}}, "4 3 1"},
		{"either", []Keep{{Pattern: "*", Last: 1}, {Pattern: "web", Last: 4}}, "1"},
		{"another namespace", []Keep{{Pattern: "shop*/*", Last: 1}}, ""},
	} {
		v := listedView(t, map[string][]string{"1": {""}, "2": {""}, "3": {""}, "4": {""}, "5": {""}})
		v.channels["web"] = map[string]string{"stable": "2"}
		v.complete()
		v.keeps = c.rules
		var got []string
		for _, l := range v.fallOut(now) {
			got = append(got, l.Ref)
		}
		if short(got) != c.want {
			t.Errorf("%s: %q falls out, want %q", c.name, short(got), c.want)
		}
	}
}

func TestPlanGC(t *testing.T) {
	for _, c := range []struct {
		name                  string
		images                map[string][]string
		out                   []string
		derive                bool
		remove, derives, kept string
	}{
		{"chain, with a key", map[string][]string{"1": {""}, "2": {"1"}, "3": {"2"}, "4": {"3"}}, []string{"1", "2"}, true, "2 1", "3", ""},
		{"chain, without", map[string][]string{"1": {""}, "2": {"1"}, "3": {"2"}, "4": {"3"}}, []string{"1", "2"}, false, "", "", "1 2"},
		{"another way", map[string][]string{"1": {""}, "2": {"1"}, "3": {"2", ""}}, []string{"1", "2"}, false, "2 1", "", ""},
		{"backwards", map[string][]string{"1": {"2"}, "2": {"3"}, "3": {""}}, []string{"1", "2"}, false, "1 2", "", ""},
		{"a branch", map[string][]string{"1": {""}, "2": {"1"}, "3": {"1"}}, []string{"1", "2"}, false, "2", "", "1"},
		{"broken before", map[string][]string{"1": {"0"}, "2": {""}}, []string{}, false, "", "", ""},
	} {
		v := listedView(t, c.images)
		var out []*Listed
		for _, o := range c.out {
			out = append(out, v.images["web:"+o+"@amd64"])
		}
		p := v.planGC(out, func(string) bool { return c.derive })
		if short(p.remove) != c.remove || short(p.derive) != c.derives || short(p.kept) != c.kept {
			t.Errorf("%s: remove %q, derive %q, keep %q; want %q, %q, %q", c.name, short(p.remove), short(p.derive), short(p.kept), c.remove, c.derives, c.kept)
		}
	}
}

// TestPlanGCOrder makes random graphs: at no point of the plan is an image cut off that was not.
func TestPlanGCOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		images := map[string][]string{}
		n := 2 + r.IntN(8)
		for i := range n {
			var parents []string
			for range 1 + r.IntN(3) {
				if p := r.IntN(n + 2); p >= n {
					parents = append(parents, "")
				} else if p != i {
					parents = append(parents, fmt.Sprint(p))
				}
			}
			images[fmt.Sprint(i)] = parents
		}
		v := listedView(t, images)
		var out []*Listed
		for _, l := range v.Sorted()[1:] {
			if r.IntN(2) == 0 {
				out = append(out, l)
			}
		}
		can := r.IntN(1 << 10) // a bit for each version
		p := v.planGC(out, func(ref string) bool { return can>>(v.images[ref].Version[0]-'0')&1 == 1 })
		left := v.promising(p.derive)
		for _, ref := range p.remove {
			delete(left.images, ref)
			for _, l := range v.keptWays().cut(left) {
				t.Fatalf("%v: removing %s of %s cuts off %s", images, ref, short(p.remove), l.Ref)
			}
		}
	}
}

// TestRevokedWayIsNoWay revokes the key of one way to an image: the other way, through an older image, must not be deleted
// then, neither on command nor by a rule.
func TestRevokedWayIsNoWay(t *testing.T) {
	f := newFixture(t)
	site := f.by(newKey(t))
	f.grant(document.SiteGrant(site.key.Public()))
	f.publish("web:1@amd64", way{"", someBytes(1, 4000)})
	f.publish("web:2@amd64", way{"web:1@amd64", someBytes(2, 300)})
	full := site.stream(f.identity("web:2@amd64"), "", someBytes(3, 5000))
	l, err := f.s.Resolve(t.Context(), refOf(t, "web:2"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Add(t.Context(), Publication{l.Document, []StreamBlobs{full}}); err != nil {
		t.Fatal(err)
	}
	if err := f.s.Revoke(t.Context(), site.key.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Delete(t.Context(), refOf(t, "web:1")); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "web:2") {
		t.Errorf("Delete of the only way that counts = %v, want ErrInUse", err)
	}
	if err := f.s.SetKeep(t.Context(), Keep{Pattern: "web", Last: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := f.s.GC(t.Context(), GCOptions{})
	if err != nil || len(c.Versions) != 0 || short(c.Kept) != "1" {
		t.Errorf("GC = %+v, %v, want web:1 kept", c, err)
	}
	if p, err := f.s.Plan(t.Context(), refOf(t, "web:2")); err != nil || len(p.Streams) != 2 {
		t.Errorf("Plan = %+v, %v", p, err)
	}
}

// TestGCUnderived has streams that cannot be derived from: what leads to their images stays, and the rest is collected.
func TestGCUnderived(t *testing.T) {
	f := newFixture(t)
	f.s.Key = newKey(t)
	f.grant(document.SiteGrant(f.s.Key.Public()))
	f.publish("web:1@amd64", way{"", someBytes(1, 4000)}) // no send streams
	f.publish("web:2@amd64", way{"web:1@amd64", someBytes(2, 300)})
	f.publish("db:1@amd64", way{"", someBytes(3, 4000)})
	f.publish("db:2@amd64", way{"", someBytes(4, 4000)})
	if err := f.s.SetKeep(t.Context(), Keep{Pattern: "*", Last: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := f.s.GC(t.Context(), GCOptions{})
	if err == nil || errors.Is(err, minisign.ErrSignature) || !strings.Contains(err.Error(), "web:2@amd64 got no full stream") || strings.Contains(err.Error(), "db:") {
		t.Errorf("GC ended with %v, want an error that names web:2@amd64", err)
	}
	if !slices.Equal(c.Versions, []string{"db:1@amd64"}) || !slices.Equal(c.Kept, []string{"web:1@amd64"}) || len(c.Derived) != 0 || c.Blobs == 0 {
		t.Errorf("GC = %+v, want db:1 gone and web:1 kept", c)
	}
	for _, i := range []string{"web:1", "web:2", "db:2"} {
		f.whole(i)
	}
}

func (f *fixture) old() {
	f.t.Helper()
	past := time.Now().Add(-2 * orphanAge)
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
		f.publish("web:4@amd64", way{"", someBytes(7, 10_000)})
		s := f.s
		if remote {
			s = f.overServer().s
		}
		orphan, _, err := f.s.Blobs.Put(t.Context(), strings.NewReader("of a publication that failed"), "")
		if err != nil {
			t.Fatal(err)
		}
		f.old()
		if err := s.SetKeep(t.Context(), Keep{Pattern: "web", Last: 2}); err != nil {
			t.Fatal(err)
		}
		before := f.blobs()
		entries, err := f.s.Catalog.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		would, err := s.GC(t.Context(), GCOptions{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		if after, err := f.s.Catalog.Read(t.Context()); err != nil || len(after) != len(entries) || len(f.blobs()) != len(before) {
			t.Errorf("the rehearsal changed something (%v)", err)
		}
		if remote {
			// The server has no key, which only shows when it is asked: a rehearsal takes it to have one.
			if short(would.Derived) != "3" || short(would.Versions) != "2 1" {
				t.Errorf("rehearsed %+v", would)
			}
		} else if short(would.Kept) != "1" || short(would.Versions) != "2" || !slices.Contains(would.Digests, orphan) {
			t.Errorf("rehearsed %+v", would)
		}
		got, err := s.GC(t.Context(), GCOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if short(got.Versions) != "2" || short(got.Kept) != "1" {
			t.Errorf("did %+v", got)
		}
		if gone := missing(before, f.blobs()); !remote && !slices.Equal(gone, would.Digests) || got.Blobs != len(gone) {
			t.Errorf("%v are gone, want %v", gone, would.Digests)
		}
		for _, i := range []string{"web:1", "web:3", "web:4"} {
			f.whole(i)
		}
		if _, err := s.GC(t.Context(), GCOptions{}); err != nil {
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
	for _, bad := range []Keep{{Pattern: "", Last: 1}, {Pattern: "web:1", Last: 1}, {Pattern: "web@amd64", Last: 1}, {Pattern: "web", Last: -1}, {Pattern: "web", Newer: -1}} {
		if err := s.SetKeep(t.Context(), bad); !errors.Is(err, ref.ErrInvalid) {
			t.Errorf("SetKeep(%+v) = %v, want %v", bad, err, ref.ErrInvalid)
		}
	}
	for _, k := range []Keep{{Pattern: "web", Last: 3}, {Pattern: "*/*", Newer: 60}, {Pattern: "web", Last: 4}, {Pattern: "web", Last: 4}, {Pattern: "*/*"}, {Pattern: "db"}} {
		if err := s.SetKeep(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Keeps(t.Context())
	if err != nil || !slices.Equal(got, []Keep{{Pattern: "web", Last: 4}}) {
		t.Errorf("rules %v (%v)", got, err)
	}
	if _, err := f.s.Catalog.Change(t.Context(), Change{Expire: &Expiry{Refs: []string{"web:1@amd64"}}}); !errors.Is(err, ErrInUse) {
		t.Errorf("a tombstone for what no rule lets fall: %v", err)
	}
}
