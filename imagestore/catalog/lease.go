package catalog

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
)

// Lease keeps the blobs of images from being collected while someone reads them, even if the images are deleted
// meanwhile. It is a file, DIR/leases/ID.json, and survives restarts until it expires.
type Lease struct {
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
}

// LeaseRequest asks for a lease or, with ID, for more time.
type LeaseRequest struct {
	ID      string   `json:"id,omitempty"`
	Refs    []string `json:"refs,omitempty"` // in full; those that do not exist are ignored
	Seconds int64    `json:"seconds"`        // from now, at most an hour; a stranger gets ten minutes of it, and renews

	By LeaseHolder `json:"-"` // set by a server; the zero value is a program on the store's own host
}

// Bounds of leases: anyone may ask for one.
const (
	MaxLeases     = 256            // see leasequota.go for whose
	maxLeaseTime  = time.Hour      // that one request gives
	maxLeaseLife  = 24 * time.Hour // that renewing can reach
	MaxLeaseRefs  = 10_000
	maxLeaseBlobs = 40_000
	maxLeaseFile  = 4 << 20 // bytes
)

// ErrTooMany is wrapped if a lease is too large, or there are too many already.
var ErrTooMany = errors.New("too many leases or too large a one")

// leaseFile is what lies on the disk.
type leaseFile struct {
	Lease
	Made  time.Time     `json:"made"`
	Blobs []blob.Digest `json:"blobs"`
	LeaseHolder
}

// Lease gives or renews a lease; it is durable when Lease returns. The error is ErrNotFound if none of the images
// exist, or the lease has ended. It holds the lock of the catalog, as a collection does.
func (c *Local) Lease(ctx context.Context, r LeaseRequest) (out Lease, err error) {
	span := time.Duration(r.Seconds) * time.Second
	if r.Seconds < 1 || r.Seconds > int64(maxLeaseTime/time.Second) {
		return out, fmt.Errorf("%w: %d seconds are not between 1 and %d", ErrTooMany, r.Seconds,
			int64(maxLeaseTime/time.Second))
	}
	if len(r.Refs) > MaxLeaseRefs {
		return out, fmt.Errorf("%w: %d images, at most %d", ErrTooMany, len(r.Refs), MaxLeaseRefs)
	}
	err = c.log.update(ctx, func(old []Entry) ([]Entry, error) {
		now := time.Now().UTC()
		var f leaseFile
		var err error
		if r.ID != "" {
			f, err = c.readLease(r.ID)
		} else {
			f, err = c.newLease(old, r.Refs, r.By, now)
		}
		if err != nil {
			return nil, err
		}
		f.LeaseHolder = r.By
		most, life := r.By.times()
		if f.Expires = now.Add(min(span, most)); f.Expires.Sub(f.Made) > life {
			f.Expires = f.Made.Add(life)
		}
		if !f.Expires.After(now) {
			return nil, fmt.Errorf("%w: the lease is too old", ErrNotFound)
		}
		out = f.Lease
		return nil, c.writeLease(f)
	})
	return out, err
}

func (c *Local) newLease(old []Entry, refs []string, by LeaseHolder, now time.Time) (leaseFile, error) {
	v, err := Replay(old)
	if err != nil {
		return leaseFile{}, err
	}
	f := leaseFile{Lease: Lease{ID: strings.ToLower(crand.Text())}, Made: now, Blobs: []blob.Digest{}}
	for _, ref := range refs {
		if l := v.images[ref]; l != nil {
			l.EachBlob(func(d blob.Digest) { f.Blobs = append(f.Blobs, d) })
		}
	}
	slices.Sort(f.Blobs)
	f.Blobs = slices.Compact(f.Blobs)
	if len(f.Blobs) == 0 {
		return leaseFile{}, fmt.Errorf("%w: none of the images exist", ErrNotFound)
	}
	if len(f.Blobs) > maxLeaseBlobs {
		return leaseFile{}, fmt.Errorf("%w: %d blobs, at most %d", ErrTooMany, len(f.Blobs), maxLeaseBlobs)
	}
	var all heldLeases
	if err := c.eachLease(now, func(l leaseFile) {
		all = append(all, heldLease{l.ID, l.LeaseHolder, l.Expires, len(l.Blobs)})
	}); err != nil {
		return leaseFile{}, err
	}
	evict, err := all.room(by, len(f.Blobs))
	if err != nil {
		return leaseFile{}, err
	}
	for _, id := range evict {
		if err := c.Release(context.Background(), id); err != nil {
			return leaseFile{}, err
		}
	}
	return f, nil
}

// Release ends a lease before its time.
func (c *Local) Release(_ context.Context, id string) error {
	path, err := c.leasePath(id)
	if err != nil {
		return err
	}
	if err := c.log.disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// leasePath is where a lease lies. An ID is 26 characters of base32, and no path.
func (c *Local) leasePath(id string) (string, error) {
	if len(id) != 26 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", fmt.Errorf("%w: %.40q is not the ID of a lease", ErrNotFound, id)
	}
	return filepath.Join(c.leases, id+".json"), nil
}

func (c *Local) readLease(id string) (leaseFile, error) {
	var f leaseFile
	path, err := c.leasePath(id)
	if err != nil {
		return f, err
	}
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, fmt.Errorf("%w: the lease has ended", ErrNotFound)
	}
	if err != nil {
		return f, err
	}
	if st.Size() > maxLeaseFile {
		return f, fmt.Errorf("lease %s: %d bytes are too many", id, st.Size())
	}
	b, err := c.log.disk.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f.ID != id {
		err = errors.New("the ID in it differs from its file name")
	}
	if err != nil {
		return f, fmt.Errorf("lease %s: %w", id, err)
	}
	return f, nil
}

// writeLease makes the lease durable (durable.Disk.Replace).
func (c *Local) writeLease(f leaseFile) error {
	path, err := c.leasePath(f.ID)
	if err != nil {
		return err
	}
	b, err := document.MarshalLine(f)
	if err != nil {
		return err
	}
	if err := c.log.disk.MkdirAll(c.leases, 0o755); err != nil {
		return err
	}
	return c.log.disk.Replace(path, b, 0o644)
}

// eachLease calls f for each lease that holds at the time now, and removes what is over. A file that cannot be read is
// an error: it may protect anything.
func (c *Local) eachLease(now time.Time, f func(leaseFile)) error {
	names, err := os.ReadDir(c.leases)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading leases: %w", err)
	}
	for _, n := range names {
		id, ok := strings.CutSuffix(n.Name(), ".json")
		if !ok {
			// What a killed writer left: nobody else writes here while the lock is held.
			c.log.disk.Remove(filepath.Join(c.leases, n.Name()))
			continue
		}
		l, err := c.readLease(id)
		switch {
		case errors.Is(err, ErrNotFound): // released meanwhile
		case err != nil:
			return fmt.Errorf("reading leases: %w", err)
		case l.Expires.After(now):
			f(l)
		default:
			if err := c.log.disk.Remove(filepath.Join(c.leases, n.Name())); err != nil {
				return fmt.Errorf("reading leases: %w", err)
			}
		}
	}
	return nil
}
