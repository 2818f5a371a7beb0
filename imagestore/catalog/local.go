package catalog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/document"
	"griddle/imagestore/durable"
	"griddle/imagestore/ref"
)

// Local is the log of a local directory, together with the blobs that it names.
type Local struct {
	log    *logFile
	blobs  blob.Store
	trust  *document.Trust
	head   *headFile
	leases string // directory

	// Now is the clock; tests set another one.
	Now func() time.Time

	// Collected and Cleared remove what belongs to images that are gone. The collection calls Collected with the
	// log locked, and Cleared after it, because removing a large tree takes a while. keep has the hashes, in hex,
	// of the documents of the images that exist.
	Collected func(ctx context.Context, v *View) error
	Cleared   func(ctx context.Context, keep func(hex string) bool) error
}

// OpenLocal opens the catalog of the store in dir, and makes it if it does not exist. blobs are the blobs of the
// store.
func OpenLocal(disk durable.Disk, dir string, blobs blob.Store) (*Local, error) {
	log, err := openLog(disk, filepath.Join(dir, "catalog"))
	if err != nil {
		return nil, err
	}
	return newLocal(log, dir, blobs), nil
}

// OpenReadOnly opens a catalog that this process can only read; why is the reason, which ErrReadOnly then wraps.
func OpenReadOnly(disk durable.Disk, dir string, blobs blob.Store, why error) *Local {
	return newLocal(&logFile{disk: disk, path: filepath.Join(dir, "catalog"), readOnly: why}, dir, blobs)
}

func newLocal(log *logFile, dir string, blobs blob.Store) *Local {
	c := &Local{log: log, blobs: blobs, trust: &document.Trust{}, leases: filepath.Join(dir, "leases"), Now: time.Now,
		Collected: func(context.Context, *View) error { return nil },
		Cleared:   func(context.Context, func(string) bool) error { return nil }}
	c.head = &headFile{path: log.path + ".head", log: log, now: func() time.Time { return c.Now() }}
	return c
}

// Trust is the set of keys that count in addition to those that the log trusts. It is empty at first.
func (c *Local) Trust() *document.Trust { return c.trust }

// Dir is the directory of the store.
func (c *Local) Dir() string { return filepath.Dir(c.log.path) }

// Locked calls f while no other process or goroutine changes the catalog. What f reads of it is durable.
func (c *Local) Locked(ctx context.Context, f func() error) error {
	return c.log.update(ctx, func([]Entry) ([]Entry, error) { return nil, f() })
}

// Lines are the whole lines of the log, as they are on the disk.
func (c *Local) Lines() ([]byte, error) { return c.log.lines() }

// Size is the length of the log in bytes when it was last read.
func (c *Local) Size() int64 { return c.log.size() }

// Read implements Catalog.
func (c *Local) Read(context.Context) ([]Entry, error) { return c.log.read() }

// Change implements Catalog.
func (c *Local) Change(ctx context.Context, ch Change) (Changed, error) {
	var out Changed
	var gone []string // full references of what got tombstones
	err := c.log.update(ctx, func(old []Entry) ([]Entry, error) {
		v, err := Replay(old)
		if err != nil {
			return nil, err
		}
		v.With(c.trust)
		switch {
		case ch.Publish != nil:
			return c.publish(ctx, v, *ch.Publish, &out)
		case ch.Delete != "":
			gone = []string{ch.Delete}
			return c.delete(v, ch.Delete)
		case ch.Trust != "":
			return v.trustOnce(ch.Trust)
		case ch.Grant != nil:
			return v.grant(*ch.Grant)
		case ch.Revoke != "":
			return v.revocation(ch.Revoke)
		case ch.Channel != nil:
			return c.channel(v, *ch.Channel)
		case ch.Reencode != nil:
			return c.reencode(ctx, v, *ch.Reencode)
		case ch.Keep != nil:
			return c.keepRule(v, *ch.Keep)
		case ch.Expire != nil && ch.Expire.DryRun:
			out.Deleted, err = c.rehearse(ctx, old, *ch.Expire)
			return nil, err
		case ch.Expire != nil:
			gone = ch.Expire.Refs
			return c.expire(v, *ch.Expire, c.Now())
		case ch.Collect:
			return nil, nil
		}
		return nil, errors.New("changing catalog: the request is empty")
	})
	if err != nil {
		return Changed{}, err
	}
	if ch.Delete == "" && !ch.Collect && (ch.Expire == nil || ch.Expire.DryRun) {
		return out, nil
	}
	// The tombstone is durable: only now may blobs go. The log is locked again, so that no publication that counts on
	// one of them comes between the look and the removal.
	out.Deleted = &Deleted{Ref: ch.Delete}
	live := map[string]bool{}
	err = c.log.update(ctx, func(old []Entry) ([]Entry, error) {
		v, err := Replay(old)
		if err != nil {
			return nil, err
		}
		for _, l := range v.images {
			live[l.Document.Hex()] = true
		}
		return nil, errors.Join(c.sweep(ctx, old, v, gone, false, out.Deleted), c.Collected(ctx, v))
	})
	if err == nil {
		// Without the log's lock: to remove a large tree takes a while. One that came on the shelf since goes
		// too, and comes again.
		err = c.Cleared(ctx, func(hex string) bool { return live[hex] })
	}
	return out, err
}

// delete refuses what would cut others off, then returns the tombstone.
func (c *Local) delete(v *View, name string) ([]Entry, error) {
	if v.images[name] == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if cut := v.cutBy([]string{name}, nil); len(cut) > 0 {
		return nil, fmt.Errorf("%w: without %s these cannot be made: %s", ErrInUse, name, strings.Join(cut, ", "))
	}
	return []Entry{{Kind: KindDelete, Ref: name}}, nil
}

func (c *Local) channel(v *View, ch Channel) ([]Entry, error) {
	r, err := ref.Parse(ch.Template + ":" + ch.Name)
	if err != nil {
		return nil, err
	}
	if ch.Name == ref.Latest {
		return nil, fmt.Errorf("%w: %q is reserved", ref.ErrInvalid, ref.Latest)
	}
	if ch.Version == "" {
		if v.channels[r.Template()][ch.Name] == "" {
			return nil, fmt.Errorf("%w: the channel %s", ErrNotFound, r)
		}
		return []Entry{{Kind: KindChannel, Ref: r.Template(), Channel: ch.Name}}, nil
	}
	known := false
	for _, l := range v.images {
		if l.Template != r.Template() {
			continue
		}
		if l.Version == ch.Name {
			return nil, fmt.Errorf("%w: %q is a version of %s", ErrExists, ch.Name, ch.Template)
		}
		known = known || l.Version == ch.Version
	}
	if !known {
		return nil, fmt.Errorf("%w: %s:%s", ErrNotFound, ch.Template, ch.Version)
	}
	return []Entry{{Kind: KindChannel, Ref: r.Template(), Channel: ch.Name, Version: ch.Version}}, nil
}
