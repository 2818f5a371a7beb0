package catalog

import (
	"context"
	"errors"
	"time"

	"griddle/imagestore/blob"
)

// OrphanAge is how old a blob that no image needs must be before Collect removes it. It is longer than any
// publication, which puts its blobs first and its line last.
const OrphanAge = 24 * time.Hour

// sweep removes blobs that no live image needs: those of the deleted images refs, and all that are old; dry, it names
// them and removes none. Those that were put again since an entry of the log last named them stay until they are old: a
// publication that has not come to its own entry yet may count on them, unless its process is dead.
func (c *Local) sweep(ctx context.Context, log []Entry, v *View, refs []string, dry bool, done *Deleted) error {
	keep, named := v.Needed(), lastNamed(log)
	err := c.eachLease(c.Now(), func(l leaseFile) {
		for _, d := range l.Blobs {
			keep[d] = true
		}
	})
	if err != nil {
		return err
	}
	deleted := map[blob.Digest]bool{}
	for _, ref := range refs {
		v.gone[ref].EachBlob(func(d blob.Digest) { deleted[d] = true })
	}
	old := c.Now().Add(-OrphanAge)
	var errs []error
	var left blob.Abandoned
	if dir, ok := c.blobs.(*blob.Dir); ok {
		left = dir.Abandoned()
	}
	err = c.blobs.List(ctx, func(i blob.Info) error {
		spent := deleted[i.Digest] && !i.Time.After(named[i.Digest])
		if keep[i.Digest] || v.retired[i.Digest].After(old) || i.Time.After(old) && !spent && !left.Blobs[i.Digest] {
			return nil
		}
		if dry {
			done.Blobs++
			done.Bytes += i.Size
			done.Digests = append(done.Digests, i.Digest)
			return nil
		}
		switch err := c.blobs.Delete(ctx, i.Digest); {
		case err == nil:
			done.Blobs++
			done.Bytes += i.Size
		case !errors.Is(err, blob.ErrNotExist):
			errs = append(errs, err)
		}
		return nil
	})
	if errors.Join(append(errs, err)...) == nil {
		var n int64
		done.Files, n, err = left.Clear(dry)
		done.Bytes += n
	}
	return errors.Join(append(errs, err)...)
}

// lastNamed says when each blob was last part of a publication.
func lastNamed(log []Entry) map[blob.Digest]time.Time {
	out := map[blob.Digest]time.Time{}
	for _, e := range log {
		if e.Image == nil {
			continue
		}
		at := e.Time.Add(time.Millisecond) // entries are dated in whole ones, and a blob may be put in the same
		e.Image.EachBlob(func(d blob.Digest) {
			if at.After(out[d]) {
				out[d] = at
			}
		})
	}
	return out
}
