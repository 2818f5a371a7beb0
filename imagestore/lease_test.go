package imagestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestLease deletes an image while it is leased: its blobs stay until the lease is over.
func TestLease(t *testing.T) {
	f := newFixture(t)
	f.versions()
	f.old()
	l, err := f.s.Resolve(t.Context(), ref(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	anybody := f.reader(plain)
	lease, err := anybody.Lease(t.Context(), LeaseRequest{Refs: []string{l.Ref, "web:9@amd64"}, Seconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	before := f.blobs()
	f.s, err = Open(f.dir) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	if d, err := f.s.Delete(t.Context(), ref(t, l.Ref)); err != nil || d.Blobs != 0 {
		t.Errorf("deleting removed %d blobs that are leased (%v)", d.Blobs, err)
	}
	if _, err := anybody.Lease(t.Context(), LeaseRequest{ID: lease.ID, Seconds: 3600}); err != nil {
		t.Errorf("renewing: %v", err)
	}
	if d, err := f.s.Collect(t.Context()); err != nil || d.Blobs != 0 {
		t.Errorf("collecting removed %d blobs that are leased (%v)", d.Blobs, err)
	}
	if err := anybody.Release(t.Context(), lease.ID); err != nil {
		t.Fatal(err)
	}
	if d, err := f.s.Collect(t.Context()); err != nil || d.Blobs == 0 {
		t.Errorf("collecting removed nothing (%v)", err)
	}
	if gone := missing(before, f.blobs()); !slices.Contains(gone, l.Document) {
		t.Errorf("%v are gone", gone)
	}
}

func TestLeaseBounds(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", someBytes(1, 1000)})
	s := f.reader(plain)
	for _, c := range []struct {
		name string
		r    LeaseRequest
		want error
	}{
		{"nothing", LeaseRequest{Seconds: 1}, ErrNotFound},
		{"no such image", LeaseRequest{Refs: []string{"db:1@amd64"}, Seconds: 1}, ErrNotFound},
		{"no time", LeaseRequest{Refs: []string{"web:1@amd64"}}, ErrTooMany},
		{"too long", LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 3601}, ErrTooMany},
		{"far too long", LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 1 << 62}, ErrTooMany},
		{"too many images", LeaseRequest{Refs: make([]string, maxLeaseRefs+1), Seconds: 1}, ErrTooMany},
		{"a path", LeaseRequest{ID: "../../../../etc/passwd", Seconds: 1}, ErrNotFound},
		{"not there", LeaseRequest{ID: "abcdefghijklmnopqrstuvwxyz", Seconds: 1}, ErrNotFound},
	} {
		if _, err := s.Lease(t.Context(), c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	var err error
	n := 0
	for ; n <= maxLeases && err == nil; n++ {
		_, err = f.s.Lease(t.Context(), LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 3600})
	}
	if !errors.Is(err, ErrTooMany) || n != maxLeases+1 {
		t.Errorf("after %d leases: %v", n, err)
	}
	// Those that are over make room, and so does what a killed writer left; a file that cannot be read stops a collection.
	c := f.s.Catalog.(*localCatalog)
	names, err := os.ReadDir(c.leases)
	if err != nil {
		t.Fatal(err)
	}
	id := names[0].Name()[:26]
	l, err := c.readLease(id)
	if err != nil {
		t.Fatal(err)
	}
	l.Expires = time.Now().Add(-time.Second)
	if err := c.writeLease(l); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lease(t.Context(), LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 1}); err != nil {
		t.Errorf("one is over: %v", err)
	}
	if err := os.WriteFile(filepath.Join(c.leases, id+".json"), []byte("torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Collect(t.Context()); err == nil {
		t.Error("a collection passed over a lease that it cannot read")
	}
}

// TestCopyHolds deletes an image at the source in the middle of a copy of it.
func TestCopyHolds(t *testing.T) {
	a := newFixture(t)
	l := a.publish("web:1@amd64", way{"", someBytes(1, 20<<20)})
	a.old()
	b := a.another()
	deleted := false
	_, err := b.s.Copy(context.WithoutCancel(t.Context()), a.reader(plain), CopyOptions{Images: []string{"web"}, Progress: func(int64, int64) {
		if !deleted {
			if _, err := a.s.Delete(t.Context(), ref(t, l.Ref)); err != nil {
				t.Error(err)
			}
			deleted = true
		}
	}})
	if err != nil || !deleted {
		t.Fatal(deleted, err)
	}
	b.whole(l.Ref)
	if left, err := os.ReadDir(filepath.Join(a.dir, "leases")); err != nil || len(left) != 0 {
		t.Errorf("leases are left: %v, %v", left, err)
	}
}
