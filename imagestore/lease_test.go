package imagestore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/imagetest"
	"griddle/imagestore/mirror"
)

// TestLease deletes an image while it is leased: its blobs stay until the lease is over.
func TestLease(t *testing.T) {
	f := newFixture(t)
	f.versions()
	f.old()
	l, err := f.s.Resolve(t.Context(), imagetest.Ref(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	anybody := f.reader(plain)
	lease, err := anybody.Lease(t.Context(), catalog.LeaseRequest{Refs: []string{l.Ref, "web:9@amd64"}, Seconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	before := f.blobs()
	f.s, err = imagestore.Open(f.dir) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	if d, err := f.s.Delete(t.Context(), imagetest.Ref(t, l.Ref)); err != nil || d.Blobs != 0 {
		t.Errorf("deleting removed %d blobs that are leased (%v)", d.Blobs, err)
	}
	if _, err := anybody.Lease(t.Context(), catalog.LeaseRequest{ID: lease.ID, Seconds: 3600}); err != nil {
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
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	s := f.reader(plain)
	for _, c := range []struct {
		name string
		r    catalog.LeaseRequest
		want error
	}{
		{"nothing", catalog.LeaseRequest{Seconds: 1}, catalog.ErrNotFound},
		{"no such image", catalog.LeaseRequest{Refs: []string{"db:1@amd64"}, Seconds: 1}, catalog.ErrNotFound},
		{"no time", catalog.LeaseRequest{Refs: []string{"web:1@amd64"}}, catalog.ErrTooMany},
		{"too long", catalog.LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 3601}, catalog.ErrTooMany},
		{"far too long", catalog.LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 1 << 62}, catalog.ErrTooMany},
		{"too many images", catalog.LeaseRequest{Refs: make([]string, catalog.MaxLeaseRefs+1), Seconds: 1},
			catalog.ErrTooMany},
		{"a path", catalog.LeaseRequest{ID: "../../../../etc/passwd", Seconds: 1}, catalog.ErrNotFound},
		{"not there", catalog.LeaseRequest{ID: "abcdefghijklmnopqrstuvwxyz", Seconds: 1}, catalog.ErrNotFound},
	} {
		if _, err := s.Lease(t.Context(), c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	var err error
	n := 0
	for ; n <= catalog.MaxLeases && err == nil; n++ {
		_, err = f.s.Lease(t.Context(), catalog.LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 3600})
	}
	if !errors.Is(err, catalog.ErrTooMany) || n != catalog.MaxLeases+1 {
		t.Errorf("after %d leases: %v", n, err)
	}
	// Those that are over make room, and so does what a killed writer left; a file that cannot be
	// read stops a collection.
	dir := filepath.Join(f.dir, "leases")
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := names[0].Name()[:26]
	file := filepath.Join(dir, id+".json")
	var l map[string]any
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &l)
	}
	if err != nil {
		t.Fatal(err)
	}
	l["expires"] = time.Now().Add(-time.Second)
	if b, err = json.Marshal(l); err == nil {
		err = os.WriteFile(file, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lease(t.Context(), catalog.LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 1}); err != nil {
		t.Errorf("one is over: %v", err)
	}
	if err := os.WriteFile(file, []byte("torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Collect(t.Context()); err == nil {
		t.Error("a collection passed over a lease that it cannot read")
	}
}

// TestCopyHolds deletes an image at the source in the middle of a copy of it.
func TestCopyHolds(t *testing.T) {
	a := newFixture(t)
	l := a.publish("web:1@amd64", way{"", imagetest.Bytes(1, 20<<20)})
	a.old()
	b := a.another()
	deleted := false
	_, err := mirror.Copy(context.WithoutCancel(t.Context()), b.s, a.reader(plain),
		mirror.Options{Images: []string{"web"}, Progress: func(int64, int64) {
			if !deleted {
				if _, err := a.s.Delete(t.Context(), imagetest.Ref(t, l.Ref)); err != nil {
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

// TestLeaseShares has strangers ask for leases: one takes no more than its share and gets minutes, many share what is
// not reserved, and a known client always finds room.
func TestLeaseShares(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", imagetest.Bytes(1, 1000)})
	ask := func(client string, stranger bool) (catalog.Lease, error) {
		return f.s.Lease(t.Context(), catalog.LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 3600,
			By: catalog.LeaseHolder{Client: client, Stranger: stranger}})
	}
	held := func() (strangers, known int) {
		files, err := filepath.Glob(filepath.Join(f.dir, "leases", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			var l catalog.LeaseHolder
			b, err := os.ReadFile(name)
			if err == nil {
				err = json.Unmarshal(b, &l)
			}
			if err != nil {
				t.Fatal(err)
			}
			if l.Stranger {
				strangers++
			} else {
				known++
			}
		}
		return strangers, known
	}
	first, err := ask("10.0.0.1", true)
	if err != nil || time.Until(first.Expires) > catalog.StrangerLeaseTime {
		t.Fatalf("a stranger's lease is good for %v, %v", time.Until(first.Expires), err)
	}
	for i := 1; i < catalog.LeasesEach; i++ {
		if _, err := ask("10.0.0.1", true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ask("10.0.0.1", true); !errors.Is(err, catalog.ErrTooMany) {
		t.Errorf("lease %d of one address: %v, want %v", catalog.LeasesEach+1, err, catalog.ErrTooMany)
	}
	for i := range 2 * catalog.StrangerLeases / catalog.LeasesEach {
		for range catalog.LeasesEach {
			ask(fmt.Sprintf("10.0.1.%d", i), true)
		}
	}
	if s, k := held(); s != catalog.StrangerLeases || k != 0 {
		t.Errorf("strangers hold %d leases and others %d, want %d and 0", s, k, catalog.StrangerLeases)
	}
	if _, err := ask("10.0.2.1", true); err != nil {
		t.Errorf("an address that has none, where others have many: %v", err)
	}
	if s, _ := held(); s != catalog.StrangerLeases {
		t.Errorf("strangers hold %d leases, want %d", s, catalog.StrangerLeases)
	}
	for i := range catalog.MaxLeases {
		if _, err := ask(fmt.Sprintf("machine %d", i/catalog.KnownEach), false); err != nil {
			t.Fatalf("lease %d of those who are known: %v", i, err)
		}
	}
	if s, k := held(); s != 0 || k != catalog.MaxLeases {
		t.Errorf("strangers hold %d leases and others %d, want 0 and %d", s, k, catalog.MaxLeases)
	}
	if _, err := ask("10.0.2.2", true); !errors.Is(err, catalog.ErrTooMany) {
		t.Errorf("a stranger where all is taken by those who are known: %v", err)
	}
}
