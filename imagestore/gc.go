package imagestore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/encoding"
	"griddle/imagestore/minisign"
	"griddle/imagestore/ref"
)

// GCOptions is how GC works. The zero value works.
type GCOptions struct {
	DryRun bool // only say what would go
	// Parts also removes the partial blobs of interrupted copies into a local store, with which the next copy
	// would resume.
	Parts    bool
	Encoder  encoding.Encoder
	Progress func(phase string, done, total int64) // may be nil
}

// Collected is what GC did, or with DryRun would do.
type Collected struct {
	DryRun   bool     `json:"dryRun"`
	Versions []string `json:"versions"` // that went, in full
	// that got a full stream first, since the way to them led through what goes
	Derived []string `json:"derived,omitempty"`
	// that no rule keeps, and through which alone others can be reached
	Kept    []string      `json:"kept,omitempty"`
	Blobs   int           `json:"blobs"`
	Files   int           `json:"files,omitempty"` // of blobs that never came whole
	Bytes   int64         `json:"bytes"`
	Digests []blob.Digest `json:"digests,omitempty"` // of the blobs; only with DryRun
}

// GC deletes the versions that no keep rule keeps, and then, as Collect does, blobs that no image needs. If other
// images can only be made through such versions, it first derives full streams for them. Without a key to sign
// these, or if deriving fails, it keeps the versions and collects the rest; then it returns both what it did and
// an error with the images, and the next GC tries again. The order of the tombstones keeps every image reachable
// at all times: a crash leaves some tombstones, and blobs for the next Collect.
func (s *Store) GC(ctx context.Context, o GCOptions) (Collected, error) {
	c, err := s.gc(ctx, o)
	if err != nil {
		err = fmt.Errorf("collecting: %w", err)
	}
	return c, err
}

func (s *Store) gc(ctx context.Context, o GCOptions) (Collected, error) {
	server, ok := s.Catalog.(deriver)
	refused := false // to derive
	var derived []string
	failed := map[string]error{} // by what could not get a full stream
	for {
		v, err := s.View(ctx)
		if err != nil {
			return Collected{}, err
		}
		canDerive := !refused && ok && server.Derives() // what its server can is not known
		if s.Key != nil && !ok {
			canDerive = !refused && slices.Contains(v.Trust(s.Trust).Keys(), s.Key.Public())
		}
		p := v.PlanRemoval(v.FallOut(time.Now()), func(name string) bool { return canDerive && failed[name] == nil })
		if len(p.Derive) > 0 && !o.DryRun {
			made, at, err := s.deriveAll(ctx, o, p.Derive)
			switch {
			case ctx.Err() != nil:
				return Collected{}, context.Cause(ctx)
			case errors.Is(err, ErrNoKey) || errors.Is(err, minisign.ErrSignature):
				refused = true // a server has no key
			case err != nil:
				failed[at] = err // what leads to it stays, and the rest goes on
			}
			derived = append(derived, made...)
			continue
		}
		out := Collected{DryRun: o.DryRun, Versions: p.Remove, Derived: append(derived, p.Derive...), Kept: p.Kept}
		ch, err := s.Catalog.Change(ctx,
			catalog.Change{Expire: &catalog.Expiry{Refs: p.Remove, DryRun: o.DryRun, Derived: p.Derive}})
		if err != nil {
			return Collected{}, err
		}
		if ch.Deleted == nil {
			return Collected{}, errors.New("the catalog returned no result")
		}
		out.Blobs, out.Files, out.Bytes, out.Digests = ch.Deleted.Blobs, ch.Deleted.Files,
			ch.Deleted.Bytes, ch.Deleted.Digests
		if dir, ok := s.Blobs.(*blob.Dir); ok && o.Parts {
			files, bytes := dir.ClearParts(o.DryRun)
			out.Files, out.Bytes = out.Files+files, out.Bytes+bytes
		}
		_ = s.pruneCopies(ctx) // what fails of it waits for the next collection
		return out, underived(failed)
	}
}

// deriveAll names those that it made, and the one at which it failed.
func (s *Store) deriveAll(ctx context.Context, o GCOptions, refs []string) (made []string, at string, err error) {
	for _, r := range refs {
		of, err := ref.Parse(r)
		if err != nil {
			return made, r, err
		}
		if _, err := s.Derive(ctx, DeriveOptions{Ref: of, Encoder: o.Encoder, Progress: o.Progress}); err != nil {
			return made, r, err
		}
		made = append(made, r)
	}
	return made, "", nil
}

// underived is the error that names the images for which versions stay that no rule keeps; nil for none.
func underived(failed map[string]error) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs,
			fmt.Errorf("%s got no full stream, so the versions that it depends on are kept: %w", name, failed[name]))
	}
	return errors.Join(errs...)
}

// SetKeep adds a rule, or replaces the one that has the same pattern; a rule that keeps nothing removes that one.
func (s *Store) SetKeep(ctx context.Context, k catalog.Keep) error {
	if _, err := s.Catalog.Change(ctx, catalog.Change{Keep: &k}); err != nil {
		return fmt.Errorf("setting keep rule %s: %w", k.Pattern, err)
	}
	return nil
}

// Keeps lists the rules by pattern.
func (s *Store) Keeps(ctx context.Context) ([]catalog.Keep, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	out := v.Keeps()
	slices.SortFunc(out, func(a, b catalog.Keep) int { return strings.Compare(a.Pattern, b.Pattern) })
	return out, nil
}

// Delete puts a tombstone into the catalog and then removes the blobs that no other image needs. If other images
// can only be made through this one, it refuses with catalog.ErrInUse and their names.
func (s *Store) Delete(ctx context.Context, r ref.Ref) (catalog.Deleted, error) {
	l, err := s.Resolve(ctx, r)
	if err != nil {
		return catalog.Deleted{}, fmt.Errorf("deleting: %w", err)
	}
	return s.deletion(ctx, catalog.Change{Delete: l.Ref})
}

// Collect removes the blobs that no image needs and that were put more than a day ago, or by a process that has
// ended: the rest of failed publications.
func (s *Store) Collect(ctx context.Context) (catalog.Deleted, error) {
	return s.deletion(ctx, catalog.Change{Collect: true})
}

// GiveUp removes blobs that this process has put and that no image needs after all. It does nothing behind a
// server, which removes them when they are old. It returns no error, since the caller has another one to report:
// the next collection removes the rest.
func (s *Store) GiveUp(ctx context.Context, all ...blob.Digest) {
	if dir, ok := s.Blobs.(*blob.Dir); ok && len(all) > 0 {
		dir.Drop(all...)
		_, _ = s.Collect(context.WithoutCancel(ctx))
	}
}

func (s *Store) deletion(ctx context.Context, ch catalog.Change) (catalog.Deleted, error) {
	c, err := s.Catalog.Change(ctx, ch)
	if err != nil {
		return catalog.Deleted{}, fmt.Errorf("deleting: %w", err)
	}
	if c.Deleted == nil {
		return catalog.Deleted{}, fmt.Errorf("deleting: the catalog returned no result")
	}
	// The deletion is done: what fails here waits for the next one.
	_ = s.pruneCopies(ctx)
	return *c.Deleted, nil
}
