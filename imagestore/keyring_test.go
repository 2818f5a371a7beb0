package imagestore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
)

func (f *fixture) grant(g document.Grant) {
	f.t.Helper()
	if err := f.s.Grant(f.t.Context(), catalog.Granting{Key: g.String()}); err != nil {
		f.t.Fatal(err)
	}
}

// by is the same store as somebody with another key uses it.
func (f *fixture) by(k *minisign.SecretKey) *fixture { return &fixture{f.t, f.dir, f.s, k} }

// TestPrefixes publishes with a key that may sign some names, and with a site's.
func TestPrefixes(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		raw := imagetest.Bytes(1, 1000)
		team, site := f.by(imagetest.NewKey(t)), f.by(imagetest.NewKey(t))
		f.grant(imagetest.GrantOf(t, team.key, "web", "team/*"))
		f.grant(document.SiteGrant(site.key.Public()))
		for _, c := range []struct {
			ref string
			by  *fixture
			ok  bool
		}{
			{"web:1@amd64", team, true}, {"team/x:1@amd64", team, true}, {"webx:1@amd64", team, false},
			{"team:1@amd64", team, false}, {"team2/x:1@amd64", team, false}, {"lab/web:1@amd64", team, false},
			{"other:1@amd64", site, false}, {"other:2@amd64", f, true},
		} {
			_, err := f.s.Add(t.Context(), c.by.image(c.ref, way{"", raw}))
			if (err == nil) != c.ok || !c.ok && !errors.Is(err, minisign.ErrSignature) {
				t.Errorf("Add of %s = %v, want it accepted: %v", c.ref, err, c.ok)
			}
		}
		// The streams of an image, each by somebody else.
		image := f.image("shop:1@amd64").Image
		for who, c := range map[string]struct {
			by *fixture
			ok bool
		}{"the team": {team, false}, "the site": {site, true}, "the publisher": {f, true}} {
			s := c.by.stream(f.identity("shop:1@amd64"), "", imagetest.Bytes(2, 3000))
			_, err := f.s.Add(t.Context(), catalog.Publication{Image: image, Streams: []catalog.StreamBlobs{s}})
			if (err == nil) != c.ok || !c.ok && !errors.Is(err, minisign.ErrSignature) {
				t.Errorf("Add of a stream by %s = %v, want it accepted: %v", who, err, c.ok)
			}
		}
		// Less than before: what is signed already does not count any more.
		f.grant(imagetest.GrantOf(t, team.key, "team/*"))
		if _, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web")); !errors.Is(err, minisign.ErrSignature) ||
			!strings.Contains(err.Error(), "may sign team/*, but not web") {
			t.Errorf("Plan of an image whose key may not sign it any more = %v", err)
		}
		if _, err := f.s.Plan(t.Context(), imagetest.Ref(t, "team/x")); err != nil {
			t.Errorf("Plan of an image whose key may still sign it = %v", err)
		}
		// A publisher who asks to be trusted is not trusted for more than he is.
		if err := f.s.TrustKey(t.Context(), team.key.Public()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web")); !errors.Is(err, minisign.ErrSignature) {
			t.Errorf("TrustKey took a key's limits away: %v", err)
		}
	})
}

func TestRevoke(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		lost, site := f.by(imagetest.NewKey(t)), f.by(imagetest.NewKey(t))
		f.grant(imagetest.GrantOf(t, lost.key))
		f.grant(document.SiteGrant(site.key.Public()))
		raw := imagetest.Bytes(1, 4000)
		f.publish("web:1@amd64", way{"", raw})
		lost.publish("web:2@amd64", way{"", raw}, way{"web:1@amd64", imagetest.Bytes(2, 300)})
		// Its only way leads through web:2.
		f.publish("web:3@amd64", way{"web:2@amd64", imagetest.Bytes(3, 300)})
		// The publisher's own image, of which one stream is the lost key's.
		own := f.image("db:1@amd64").Image
		for _, s := range []catalog.StreamBlobs{lost.stream(f.identity("db:1@amd64"), "", imagetest.Bytes(4, 100)),
			site.stream(f.identity("db:1@amd64"), "", imagetest.Bytes(4, 9000))} {
			if _, err := f.s.Add(t.Context(),
				catalog.Publication{Image: own, Streams: []catalog.StreamBlobs{s}}); err != nil {
				t.Fatal(err)
			}
		}
		before, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web:2"))
		if err != nil {
			t.Fatal(err)
		}
		gone, err := f.s.WithoutKey(t.Context(), lost.key.Public())
		if err != nil || refs(gone) != "[web:3@amd64 web:2@amd64]" {
			t.Errorf("WithoutKey = %s, %v", refs(gone), err)
		}
		for range 2 {
			if err := f.s.Revoke(t.Context(), lost.key.Public()); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.s.Revoke(t.Context(), imagetest.NewKey(t).Public()); err == nil {
			t.Error("Revoke of a key that nobody trusted gave no error")
		}
		list, err := f.s.List(t.Context())
		if err != nil || refs(list) != "[db:1@amd64 web:3@amd64 web:2@amd64 web:1@amd64]" ||
			!strings.Contains(list[2].Untrusted, "was revoked here") ||
			list[1].Untrusted != "" || list[3].Untrusted != "" || list[2].Wire != 0 {
			t.Errorf("List = %+v, %v", list, err)
		}
		for i, want := range []error{nil, catalog.ErrNoWay, minisign.ErrSignature, nil} {
			if err := list[i].Installable(); !errors.Is(err, want) {
				t.Errorf("Installable of %s = %v, want %v", list[i].Ref, err, want)
			}
		}
		if _, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web:2")); !errors.Is(err, minisign.ErrSignature) ||
			!strings.Contains(err.Error(), lost.key.Public().ID()+" was revoked") {
			t.Errorf("Plan of a revoked image = %v", err)
		}
		if _, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web:3")); !errors.Is(err, catalog.ErrNoWay) {
			t.Errorf("Plan of an image that only a revoked one leads to = %v", err)
		}
		if p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web:3"),
			imagetest.Ref(t, "web:2")); err != nil || len(p.Streams) != 1 {
			t.Errorf("Plan for a machine that has the revoked image = %+v, %v", p, err)
		}
		if p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "db")); err != nil || p.Wire() < 4000 {
			t.Errorf("Plan took %d bytes of a revoked stream, %v", p.Wire(), err)
		}
		if shown, err := f.s.Show(t.Context(), imagetest.Ref(t, "db")); err != nil || len(shown.StreamDocs) != 1 ||
			shown.Streams[0].Signer != site.key.Public().ID() {
			t.Errorf("Show of an image of which one stream is revoked = %+v, %v", shown, err)
		}
		if _, err := f.s.Show(t.Context(), imagetest.Ref(t, "web:2")); !errors.Is(err, minisign.ErrSignature) {
			t.Errorf("Show of a revoked image = %v", err)
		}
		// Whoever planned before it was revoked is refused when he opens.
		if _, err := f.s.Open(t.Context(), before, quick(fetch.Options{})); !errors.Is(err, minisign.ErrSignature) {
			t.Errorf("Open of a plan from before = %v", err)
		}
		trusted, err := f.s.Trusted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fetch.Open(t.Context(), []blob.Reader{f.s.Blobs}, trusted, before,
			quick(fetch.Options{})); !errors.Is(err, minisign.ErrSignature) {
			t.Errorf("OpenPlan with the keys that an agent would have = %v", err)
		}
		if v, err := f.s.Verify(t.Context(), imagetest.Ref(t, "web:2"), nil); err != nil || v.OK {
			t.Errorf("Verify of a revoked image = %+v, %v", v, err)
		}
		// Nothing else comes in by that key, and it is not trusted again by accident.
		if _, err := f.s.Add(t.Context(),
			lost.image("web:4@amd64", way{"", raw})); !errors.Is(err, minisign.ErrSignature) {
			t.Errorf("Add by a revoked key = %v", err)
		}
		if err := f.s.TrustKey(t.Context(), lost.key.Public()); !errors.Is(err, catalog.ErrRevoked) {
			t.Errorf("TrustKey of a revoked key = %v", err)
		}
		if err := f.s.Grant(t.Context(),
			catalog.Granting{Key: lost.key.Public().String() + " web"}); !errors.Is(err, catalog.ErrRevoked) {
			t.Errorf("Grant of a revoked key = %v", err)
		}
		keys, err := f.s.Keys(t.Context())
		if err != nil || len(keys) != 3 || keys[1].Revoked == nil || keys[1].Images != 1 || keys[0].Images != 3 ||
			keys[0].Revoked != nil || !keys[2].Site || keys[2].Since.IsZero() {
			t.Errorf("Keys = %+v, %v", keys, err)
		}
		// What is kept of it can be deleted, and keeps nothing from being deleted.
		if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, "db")); err != nil {
			t.Errorf("Delete beside a revoked image = %v", err)
		}
		if _, err := f.s.Delete(t.Context(), imagetest.Ref(t, "web:2")); !errors.Is(err, catalog.ErrInUse) {
			t.Errorf("Delete of what others stand on = %v", err)
		}
		if err := f.s.Grant(t.Context(),
			catalog.Granting{Key: lost.key.Public().String(), Again: true, Comment: "found in a drawer"}); err != nil {
			t.Fatal(err)
		}
		if p, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web:2")); err != nil ||
			fmt.Sprint(p) != fmt.Sprint(before) {
			t.Errorf("Plan after the key was trusted again = %+v, %v, want %+v", p, err, before)
		}
		if keys, err := f.s.Keys(t.Context()); err != nil || keys[1].Revoked != nil ||
			keys[1].Comment != "found in a drawer" {
			t.Errorf("Keys after that = %+v, %v", keys, err)
		}
	})
}

// TestOthersTrust counts keys that are given beside the catalog's, but not where the catalog revoked them.
func TestOthersTrust(t *testing.T) {
	f := newFixture(t)
	guest := f.by(imagetest.NewKey(t))
	f.s.Trust.Add(guest.key.Public())
	guest.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	if list, err := f.s.List(t.Context()); err != nil || list[0].Untrusted != "" || list[0].Wire == 0 {
		t.Errorf("List = %+v, %v", list, err)
	}
	s, err := imagestore.Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plan(t.Context(), imagetest.Ref(t, "web")); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("Plan without the guest's key = %v", err)
	}
	if err := s.TrustKey(t.Context(), guest.key.Public()); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), guest.key.Public()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Plan(t.Context(), imagetest.Ref(t, "web")); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("Plan though the catalog revoked the key = %v", err)
	}
}

func TestGrantRefuses(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		twin := imagetest.TwinOf(t, f.key.Public(), imagetest.NewKey(t).Public())
		for name, g := range map[string]catalog.Granting{
			"no key": {}, "a bad pattern": {Key: imagetest.NewKey(t).Public().String() + " Web"},
			"a taken ID":             {Key: twin.String()},
			"a comment of two lines": {Key: imagetest.NewKey(t).Public().String(), Comment: "a\nb"},
		} {
			if err := f.s.Grant(t.Context(), g); err == nil {
				t.Errorf("Grant with %s gave no error", name)
			}
		}
		if entries, err := f.s.Catalog.Read(t.Context()); err != nil || len(entries) != 1 {
			t.Errorf("after refusals the catalog has %d entries, %v", len(entries), err)
		}
	})
}
