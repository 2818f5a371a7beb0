package catalog

import (
	"fmt"
	"slices"
	"time"
)

// LeaseHolder is the client that has a lease, as the server that gave it knows it.
type LeaseHolder struct {
	Client   string `json:"client,omitempty"`   // "" for a program on the store's own host
	Stranger bool   `json:"stranger,omitempty"` // it did not prove its identity
}

// Shares of MaxLeases, and of the blobs that all leases together name: a file takes 72 bytes for each blob.
const (
	StrangerLeases = 192       // of all strangers
	LeasesEach     = 16        // of one stranger
	KnownEach      = 64        // of one client that is known
	leasedBlobs    = 1_000_000 // of all leases
	strangerBlobs  = 400_000   // of those of strangers

	StrangerLeaseTime = 10 * time.Minute // that one request gives
	strangerLeaseLife = 6 * time.Hour    // that renewing can reach
)

// times are how long a request makes a lease last, and how long renewing can.
func (h LeaseHolder) times() (most, life time.Duration) {
	if h.Stranger {
		return StrangerLeaseTime, strangerLeaseLife
	}
	return maxLeaseTime, maxLeaseLife
}

// heldLease is what is known of a lease that holds.
type heldLease struct {
	id string
	LeaseHolder
	expires time.Time
	blobs   int
}

type heldLeases []heldLease

// count says how many of the leases, and how many blobs of theirs, are admitted by f.
func (all heldLeases) count(f func(heldLease) bool) (leases, blobs int) {
	for _, l := range all {
		if f(l) {
			leases++
			blobs += l.blobs
		}
	}
	return leases, blobs
}

// room returns the leases that must go so that by can have one more of so many blobs, or ErrTooMany. Strangers' leases
// go first, and of those the ones of the stranger that has most, the next to expire first. A stranger gets room only
// from one that has more than it then has; so many addresses share what there is.
func (all heldLeases) room(by LeaseHolder, blobs int) (evict []string, err error) {
	all = slices.Clone(all)
	own, _ := all.count(func(l heldLease) bool { return l.LeaseHolder == by })
	each := KnownEach
	if by.Stranger {
		each = LeasesEach
	}
	if by.Client != "" && own >= each {
		return nil, fmt.Errorf("%w: %s has %d, and may have no more", ErrTooMany, by.Client, own)
	}
	for {
		n, b := all.count(func(heldLease) bool { return true })
		sn, sb := all.count(func(l heldLease) bool { return l.Stranger })
		full := n >= MaxLeases || b+blobs > leasedBlobs
		if by.Stranger {
			full = full || sn >= StrangerLeases || sb+blobs > strangerBlobs
		}
		if !full {
			return evict, nil
		}
		i := all.first(by, own)
		if i < 0 {
			return nil, fmt.Errorf("%w: there are %d", ErrTooMany, n)
		}
		evict = append(evict, all[i].id)
		all = slices.Delete(all, i, i+1)
	}
}

// first is the lease that goes first for by, who has own; -1 for none.
func (all heldLeases) first(by LeaseHolder, own int) int {
	has := map[string]int{}
	for _, l := range all {
		if l.Stranger {
			has[l.Client]++
		}
	}
	best := -1
	for i, l := range all {
		if !l.Stranger || by.Stranger && (l.Client == by.Client || has[l.Client] <= own+1) {
			continue
		}
		if best < 0 || has[l.Client] > has[all[best].Client] ||
			has[l.Client] == has[all[best].Client] && l.expires.Before(all[best].expires) {
			best = i
		}
	}
	return best
}
