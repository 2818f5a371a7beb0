package imagestore

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
)

// TestLease deletes an image while it is leased: its blobs stay until the lease is over.
func TestLease(t *testing.T) {
	f := newFixture(t)
	f.versions()
	f.old()
	l, err := f.s.Resolve(t.Context(), refOf(t, "web"))
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
	if d, err := f.s.Delete(t.Context(), refOf(t, l.Ref)); err != nil || d.Blobs != 0 {
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
	if _, err := s.Lease(t.Context(), LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 1}); err != nil {
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
	l := a.publish("web:1@amd64", way{"", someBytes(1, 20<<20)})
	a.old()
	b := a.another()
	deleted := false
	_, err := b.s.Copy(context.WithoutCancel(t.Context()), a.reader(plain), CopyOptions{Images: []string{"web"}, Progress: func(int64, int64) {
		if !deleted {
			if _, err := a.s.Delete(t.Context(), refOf(t, l.Ref)); err != nil {
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

// TestLeaseShares has strangers ask for leases: one takes no more than its share and gets minutes, many share what is not reserved,
// and a known client always finds room.
func TestLeaseShares(t *testing.T) {
	f := newFixture(t)
	f.publish("web:1@amd64", way{"", someBytes(1, 1000)})
	ask := func(client string, stranger bool) (Lease, error) {
		return f.s.Lease(t.Context(), LeaseRequest{Refs: []string{"web:1@amd64"}, Seconds: 3600, By: leaseHolder{Client: client, Stranger: stranger}})
	}
	held := func() (strangers, known int) {
		files, err := filepath.Glob(filepath.Join(f.dir, "leases", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			var l leaseHolder
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
	if err != nil || time.Until(first.Expires) > strangerLeaseTime {
		t.Fatalf("a stranger's lease is good for %v, %v", time.Until(first.Expires), err)
	}
	for i := 1; i < leasesEach; i++ {
		if _, err := ask("10.0.0.1", true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ask("10.0.0.1", true); !errors.Is(err, ErrTooMany) {
		t.Errorf("lease %d of one address: %v, want %v", leasesEach+1, err, ErrTooMany)
	}
	for i := range 2 * strangerLeases / leasesEach {
		for range leasesEach {
			ask(fmt.Sprintf("10.0.1.%d", i), true)
		}
	}
	if s, k := held(); s != strangerLeases || k != 0 {
		t.Errorf("strangers hold %d leases and others %d, want %d and 0", s, k, strangerLeases)
	}
	if _, err := ask("10.0.2.1", true); err != nil {
		t.Errorf("an address that has none, where others have many: %v", err)
	}
	if s, _ := held(); s != strangerLeases {
		t.Errorf("strangers hold %d leases, want %d", s, strangerLeases)
	}
	for i := range maxLeases {
		if _, err := ask(fmt.Sprintf("machine %d", i/knownEach), false); err != nil {
			t.Fatalf("lease %d of those who are known: %v", i, err)
		}
	}
	if s, k := held(); s != 0 || k != maxLeases {
		t.Errorf("strangers hold %d leases and others %d, want 0 and %d", s, k, maxLeases)
	}
	if _, err := ask("10.0.2.2", true); !errors.Is(err, ErrTooMany) {
		t.Errorf("a stranger where all is taken by those who are known: %v", err)
	}
}

// TestLeaseRoom is about the bytes of leases: files are small together, however many blobs each names.
func TestLeaseRoom(t *testing.T) {
	at := func(m int) time.Time { return time.Unix(int64(60*m), 0) }
	a, b, known := leaseHolder{"a", true}, leaseHolder{"b", true}, leaseHolder{"k", false}
	many := func(h leaseHolder, n, blobs int) (out heldLeases) {
		for i := range n {
			out = append(out, heldLease{fmt.Sprint(h.Client, i), h, at(n - i), blobs})
		}
		return out
	}
	for _, c := range []struct {
		name  string
		all   heldLeases
		by    leaseHolder
		blobs int
		want  []string
		err   error
	}{
		{"nothing is held", nil, a, maxLeaseBlobs, nil, nil},
		{"a stranger's large ones", many(a, 10, maxLeaseBlobs), b, maxLeaseBlobs, []string{"a9"}, nil},
		{"its own", many(a, 10, maxLeaseBlobs), a, 1, nil, ErrTooMany},
		{"its own, but small", many(a, 10, 1), a, 1, nil, nil},
		{"known ones take from strangers", append(many(a, 10, maxLeaseBlobs), many(known, 15, maxLeaseBlobs)...), known, maxLeaseBlobs, []string{"a9"}, nil},
		{"strangers do not take from known ones", many(known, 25, maxLeaseBlobs), a, 1, nil, ErrTooMany},
		{"as much as the other", many(a, 1, strangerBlobs), b, 1, nil, ErrTooMany},
	} {
		got, err := c.all.room(c.by, c.blobs)
		if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: room() = %v, %v, want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
}
