package imagestore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
	"griddle/imagestore/source"
	"griddle/imagestore/source/sourcetest"
)

// another publishes a second template, whose files are partly those of the first, and gives its reference.
func (p *publisher) another() string {
	p.Helper()
	first := p.dir
	defer func() { p.dir = first }()
	p.dir = filepath.Join(filepath.Dir(first), "another")
	sourcetest.Run(p.T, "btrfs", "-q", "subvolume", "create", p.dir)
	p.write("file7", 100*7*7)
	p.write("big", 9<<20) // the same bytes
	p.must(os.Rename(filepath.Join(p.dir, "big"), filepath.Join(p.dir, "moved")))
	p.write("own", 1<<20)
	o := p.o
	var err error
	o.Source, err = source.Find(context.Background(), "btrfs:"+p.dir, source.Options{})
	p.must(err)
	o.Ref = ref.Ref{Name: "another", Version: "1"}
	out, err := p.store.Publish(context.Background(), o)
	p.must(err)
	return out.Ref
}

func TestDerive(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	p.store.Key = p.o.Key
	p.o.Ref.Version = "1"
	one := p.publish()
	p.write("file7", 7)
	p.o.Ref.Version = "2"
	two := p.publish()
	other := p.another()

	derive := func(name, parent string) imagestore.Derived {
		t.Helper()
		o := imagestore.DeriveOptions{Ref: imagetest.Ref(t, name)}
		if parent != "" {
			r := imagetest.Ref(t, parent)
			o.Parent = &r
		}
		d, err := p.store.Derive(ctx, o)
		p.must(err)
		return d
	}
	for _, tt := range []struct{ ref, parent string }{
		{two.Ref, ""},      // from a chain
		{one.Ref, two.Ref}, // backwards
		{other, one.Ref},   // between templates
		{two.Ref, other},   // and back
	} {
		d := derive(tt.ref, tt.parent)
		if !d.Made || d.Ref != tt.ref || d.Parent != tt.parent || d.Raw == 0 || d.Wire == 0 {
			t.Errorf("Derive(%s from %s) = %+v", tt.ref, tt.parent, d)
		}
		if again := derive(tt.ref, tt.parent); again.Made || again.Raw != d.Raw || again.Wire != d.Wire {
			t.Errorf("Derive(%s from %s) a second time = %+v, want what is there", tt.ref, tt.parent, again)
		}
		way, err := p.store.Plan(ctx, imagetest.Ref(t, tt.ref), have(t, tt.parent)...)
		p.must(err)
		if len(way.Streams) != 1 || way.Streams[0].Wire != d.Wire {
			t.Errorf("Plan(%s from %q) = %+v, want the one stream of %d bytes", tt.ref, tt.parent, way, d.Wire)
		}
	}
	receiveAll(p, two.Ref, one.Ref)
	trees, err := os.ReadDir(filepath.Join(p.store.Dir(), "trees"))
	p.must(err)
	n := 0
	for _, e := range trees {
		if e.IsDir() {
			n++
		}
	}
	if n == 0 || n > imagestore.ShelfSize+1 {
		t.Errorf("%d trees are on the shelf, want at most %d", n, imagestore.ShelfSize+1)
	}
	v, err := p.store.Verify(ctx, imagetest.Ref(t, two.Ref), nil)
	if err != nil || !v.OK {
		t.Errorf("Verify = %+v, %v", v, err)
	}
}

// have is what somebody has who has name.
func have(t *testing.T, name string) []ref.Ref {
	if name == "" {
		return nil
	}
	return []ref.Ref{imagetest.Ref(t, name)}
}

func TestDeriveRefuses(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	p.o.Ref.Version = "1"
	one := imagetest.Ref(t, p.publish().Ref)
	p.write("file7", 7)
	p.o.Ref.Version = "2"
	two := imagetest.Ref(t, p.publish().Ref)
	if _, err := p.store.Derive(ctx, imagestore.DeriveOptions{Ref: two}); !errors.Is(err, imagestore.ErrNoKey) {
		t.Errorf("Derive without a key = %v, want ErrNoKey", err)
	}
	p.store.Key = imagetest.NewKey(t)
	if _, err := p.store.Derive(ctx, imagestore.DeriveOptions{Ref: two}); !errors.Is(err, minisign.ErrSignature) {
		t.Errorf("Derive with a key that nobody trusts = %v, want ErrSignature", err)
	}
	if _, err := p.store.Derive(ctx,
		imagestore.DeriveOptions{Ref: one, Parent: &one}); !errors.Is(err, catalog.ErrNoWay) {
		t.Errorf("Derive from itself = %v, want ErrNoWay", err)
	}
	missing := imagetest.Ref(t, "nobody:1")
	if _, err := p.store.Derive(ctx,
		imagestore.DeriveOptions{Ref: one, Parent: &missing}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("Derive from what is not there = %v, want ErrNotFound", err)
	}
}
