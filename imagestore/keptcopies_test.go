package imagestore_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"griddle/imagestore"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/ref"
	"griddle/imagestore/remote"
	"griddle/imagestore/source"
)

// TestCopiesGoWithTheirImages deletes images whose copies are kept beside the source: the copy of what is deleted goes,
// one that another store counts on stays, also where it is of the same source.
func TestCopiesGoWithTheirImages(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	first := imagetest.Ref(t, p.publish().Ref)
	if got := len(p.copies()); got != 1 {
		t.Fatalf("%d copies are kept, want 1", got)
	}
	other, err := imagestore.Open(t.TempDir())
	p.must(err)
	p.must(other.TrustKey(ctx, p.o.Key.Public()))
	o := p.o
	o.Ref = ref.Ref{Name: "elsewhere"}
	o.Source, err = source.Find(ctx, "btrfs:"+p.dir, source.Options{})
	p.must(err)
	_, err = other.Publish(ctx, o)
	p.must(err)
	if got := len(p.copies()); got != 2 {
		t.Fatalf("%d copies are kept, want 2", got)
	}
	_, err = p.store.Delete(ctx, first)
	p.must(err)
	if got := p.copies(); len(got) != 1 || got[0][:9] != "elsewhere" {
		t.Errorf("after the first image's deletion %v are kept, want the other store's", got)
	}
	list, err := other.List(ctx)
	p.must(err)
	_, err = other.Delete(ctx, list[0].Parsed())
	p.must(err)
	if got := p.copies(); len(got) != 0 {
		t.Errorf("after both deletions %v are kept", got)
	}
	p.publish() // and the next version is whole again
	if got := len(p.copies()); got != 1 {
		t.Errorf("%d copies are kept, want 1", got)
	}
}

// TestCopiesOfAServerGo does the same for a store behind a server, whose publisher remembers what is kept on this host.
func TestCopiesOfAServerGo(t *testing.T) {
	ctx := context.Background()
	p := newPublisher(t)
	served := p.store
	srv := httptest.NewTLSServer(remote.Handler(served, func(*http.Request) error { return nil }))
	defer srv.Close()
	var err error
	p.store, err = remote.Open(remote.ServerOptions{URL: srv.URL, Token: "right", Client: srv.Client(),
		Copies: filepath.Join(t.TempDir(), "state", "copies")})
	p.must(err)
	r := imagetest.Ref(t, p.publish().Ref)
	if got := len(p.copies()); got != 1 {
		t.Fatalf("%d copies are kept, want 1", got)
	}
	_, err = p.store.Collect(ctx)
	p.must(err)
	if got := len(p.copies()); got != 1 {
		t.Errorf("after a collection %d copies are kept, want 1", got)
	}
	_, err = p.store.Delete(ctx, r)
	p.must(err)
	if got := p.copies(); len(got) != 0 {
		t.Errorf("after the deletion %v are kept", got)
	}
}
