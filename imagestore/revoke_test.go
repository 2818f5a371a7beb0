package imagestore

import (
	"context"
	"errors"
	"testing"
)

// TestNothingStandsOnRevoked publishes and derives after the key of all that is there was revoked: neither takes it up,
// and the next version is whole.
func TestNothingStandsOnRevoked(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	site := newKey(t)
	p.must(p.store.Grant(ctx, Granting{Key: SiteGrant(site.Public()).String()}))
	p.store.Key = site
	p.o.Ref.Version = "1"
	one := p.publish()
	lost := p.o.Key
	p.o.Key = newKey(t)
	p.must(p.store.TrustKey(ctx, p.o.Key.Public()))
	p.must(p.store.Revoke(ctx, lost.Public()))
	if _, err := p.store.Derive(ctx, DeriveOptions{Ref: mustRef(t, one.Ref)}); !errors.Is(err, ErrSignature) {
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
	mirror := newKey(t)
	p.must(p.store.Grant(ctx, Granting{Key: StreamsGrant(mirror.Public()).String()}))
	derive := func(k *SecretKey) Derived {
		t.Helper()
		p.store.Key = k
		d, err := p.store.Derive(ctx, DeriveOptions{Ref: mustRef(t, three.Ref)})
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
	if plan, err := p.store.Plan(ctx, mustRef(t, three.Ref)); err != nil || len(plan.Streams) != 1 {
		t.Errorf("Plan = %+v, %v", plan, err)
	}
}
