package imagestore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/document"
	"griddle/imagestore/encoding"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
)

// TestNothingStandsOnRevoked publishes and derives after the key of all that is there was revoked: neither takes it up,
// and the next version is whole.
func TestNothingStandsOnRevoked(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	site := imagetest.NewKey(t)
	p.must(p.store.Grant(ctx, catalog.Granting{Key: document.SiteGrant(site.Public()).String()}))
	p.store.Key = site
	p.o.Ref.Version = "1"
	one := p.publish()
	lost := p.o.Key
	p.o.Key = imagetest.NewKey(t)
	p.must(p.store.TrustKey(ctx, p.o.Key.Public()))
	p.must(p.store.Revoke(ctx, lost.Public()))
	if _, err := p.store.Derive(ctx,
		imagestore.DeriveOptions{Ref: imagetest.Ref(t, one.Ref)}); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("Derive of a revoked image = %v", err)
	}
	p.write("file7", 7)
	p.o.Ref.Version = "2"
	two := p.publish()
	if two.Kind != "full" {
		t.Errorf("a version after a revoked one is %+v, want it whole", two)
	}
	p.write("file8", 8)
	p.o.Ref.Version = "3"
	three := p.publish()
	if three.Parent != two.Ref {
		t.Errorf("the version after that is %+v, want a delta", three)
	}
	// A stream that another site derived, until that site's key is lost: ours makes it anew.
	mirror := imagetest.NewKey(t)
	p.must(p.store.Grant(ctx, catalog.Granting{Key: document.StreamsGrant(mirror.Public()).String()}))
	derive := func(k *minisign.SecretKey) imagestore.Derived {
		t.Helper()
		p.store.Key = k
		d, err := p.store.Derive(ctx, imagestore.DeriveOptions{Ref: imagetest.Ref(t, three.Ref)})
		p.must(err)
		return d
	}
	if d := derive(mirror); !d.Made {
		t.Errorf("Derive by another site = %+v", d)
	}
	if d := derive(site); d.Made {
		t.Errorf("Derive of what is there = %+v", d)
	}
	p.must(p.store.Revoke(ctx, mirror.Public()))
	if d := derive(site); !d.Made {
		t.Errorf("Derive of what a revoked key signed = %+v", d)
	}
	if plan, err := p.store.Plan(ctx, imagetest.Ref(t, three.Ref)); err != nil || len(plan.Streams) != 1 {
		t.Errorf("Plan = %+v, %v", plan, err)
	}
}

// TestVerifyRevokedStream revokes the key of one of two ways to an image: it is told of and is no damage, until its
// bytes are wrong, or no other way is left.
func TestVerifyRevokedStream(t *testing.T) {
	f := newFixture(t)
	site := f.by(imagetest.NewKey(t))
	f.grant(document.SiteGrant(site.key.Public()))
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 4000)})
	f.publish("web:2@amd64", way{"web:1@amd64", imagetest.Bytes(2, 300)})
	l, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web:2"))
	if err != nil {
		t.Fatal(err)
	}
	full := site.stream(f.identity("web:2@amd64"), "", imagetest.Bytes(3, 5000))
	if _, err := f.s.Add(t.Context(),
		catalog.Publication{Image: l.Document, Streams: []catalog.StreamBlobs{full}}); err != nil {
		t.Fatal(err)
	}
	if err := f.s.Revoke(t.Context(), site.key.Public()); err != nil {
		t.Fatal(err)
	}
	check := func(ok bool, revoked int) {
		t.Helper()
		one, err := f.s.Verify(t.Context(), imagetest.Ref(t, "web:2"), nil)
		if err != nil || one.OK != ok || len(one.Revoked) != revoked {
			t.Errorf("Verify = %+v, %v; want OK %v and %d streams by a revoked key", one, err, ok, revoked)
		}
		all, err := f.s.VerifyStore(t.Context(), imagestore.VerifyStoreOptions{})
		if err != nil || all.OK != ok || len(all.Revoked) != revoked {
			t.Errorf("VerifyStore = %+v, %v; want OK %v and %d streams by a revoked key", all, err, ok, revoked)
		}
		for _, r := range append(one.Revoked, all.Revoked...) {
			if r.Ref != "web:2@amd64" || r.Parent != "" || r.Key != site.key.Public().ID() ||
				!strings.Contains(r.Problem, "was revoked here on") {
				t.Errorf("it tells of %+v", r)
			}
		}
	}
	check(true, 1)
	x, err := encoding.ReadIndex(t.Context(), f.s.Blobs, full.Index)
	if err != nil {
		t.Fatal(err)
	}
	f.damage(x.Encoding, 20)
	check(false, 1)
	f.damage(x.Encoding, 20)
	check(true, 1)
	if err := f.s.Revoke(t.Context(), f.key.Public()); err != nil {
		t.Fatal(err)
	}
	check(false, 0)
}
