package catalog

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestLeaseRoom is about the bytes of leases: files are small together, however many blobs each names.
func TestLeaseRoom(t *testing.T) {
	at := func(m int) time.Time { return time.Unix(int64(60*m), 0) }
	a, b, known := LeaseHolder{"a", true}, LeaseHolder{"b", true}, LeaseHolder{"k", false}
	many := func(h LeaseHolder, n, blobs int) (out heldLeases) {
		for i := range n {
			out = append(out, heldLease{fmt.Sprint(h.Client, i), h, at(n - i), blobs})
		}
		return out
	}
	for _, c := range []struct {
		name  string
		all   heldLeases
		by    LeaseHolder
		blobs int
		want  []string
		err   error
	}{
		{"nothing is held", nil, a, maxLeaseBlobs, nil, nil},
		{"a stranger's large ones", many(a, 10, maxLeaseBlobs), b, maxLeaseBlobs, []string{"a9"}, nil},
		{"its own", many(a, 10, maxLeaseBlobs), a, 1, nil, ErrTooMany},
		{"its own, but small", many(a, 10, 1), a, 1, nil, nil},
		{"known ones take from strangers", append(many(a, 10, maxLeaseBlobs), many(known, 15, maxLeaseBlobs)...), known,
			maxLeaseBlobs, []string{"a9"}, nil},
		{"strangers do not take from known ones", many(known, 25, maxLeaseBlobs), a, 1, nil, ErrTooMany},
		{"as much as the other", many(a, 1, strangerBlobs), b, 1, nil, ErrTooMany},
	} {
		got, err := c.all.room(c.by, c.blobs)
		if !slices.Equal(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: room() = %v, %v, want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
}
