package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"griddle/imagestore/ref"
)

// Expiry asks a catalog to delete versions that no keep rule keeps, and then to collect blobs.
type Expiry struct {
	Refs    []string `json:"refs"`              // in full, in the order in which the tombstones are written
	DryRun  bool     `json:"dryRun,omitempty"`  // change nothing, and say what would go
	Derived []string `json:"derived,omitempty"` // with DryRun: images that will have got full streams by then
}

// Removal is what to do about versions that no rule keeps: see View.PlanRemoval.
type Removal struct {
	Remove []string // in an order in which nothing is cut off
	Derive []string // that need a full stream first
	Kept   []string // through which alone others can be reached
}

// PlanRemoval plans how to remove the images of out so that every other image can still be made: which tombstones
// to write, in which order, and which images need a full stream first. canDerive says whether an image can get
// one; if it cannot, the images that it depends on are kept.
func (v *View) PlanRemoval(out []*Listed, canDerive func(name string) bool) Removal {
	p := Removal{Remove: []string{}}
	ways := v.keptWays()
	stay := v.promising(nil)
	falls := map[string]bool{}
	for _, l := range out {
		falls[l.Ref] = true
		delete(stay.images, l.Ref)
	}
	for {
		cut := ways.cut(stay)
		if len(cut) == 0 {
			break
		}
		// The oldest first: later ones are deltas to it.
		l := cut[0]
		if _, ok := ways.counting[l.Ref]; ok && canDerive(l.Ref) {
			p.Derive = append(p.Derive, l.Ref)
			stay.promise(l.Ref)
			continue
		}
		for at := l.Ref; at != ""; {
			if falls[at] {
				delete(falls, at)
				p.Kept = append(p.Kept, at)
				stay.images[at] = v.images[at]
			}
			r, ok := ways.to(at)
			if !ok {
				break
			}
			at = r.Stream.Parent
		}
	}
	for name := range falls {
		p.Remove = append(p.Remove, name)
	}
	// The farthest first: no cheapest way to another one leads through it, but to those that went before it.
	slices.SortFunc(p.Remove, func(a, b string) int {
		x, _ := ways.to(a)
		y, _ := ways.to(b)
		return cmp.Or(cmp.Compare(y.Cost, x.Cost), cmp.Compare(a, b))
	})
	slices.Sort(p.Kept)
	return p
}

// promising is a copy of the view whose images can be changed; those of full get a full stream.
func (v *View) promising(full []string) *View {
	n := *v
	n.images = make(map[string]*Listed, len(v.images))
	for name, l := range v.images {
		n.images[name] = l
	}
	for _, name := range full {
		n.promise(name)
	}
	return &n
}

// promise gives an image a full stream that is not there yet, and that counts where the image does.
func (v *View) promise(name string) {
	if l := v.images[name]; l != nil {
		c := *l
		c.Streams = append(slices.Clone(l.Streams), ListedStream{Wire: 1, Signer: l.Signer})
		v.images[name] = &c
	}
}

// keptWays are the ways that deletions must leave.
type keptWays struct{ any, counting map[string]reach }

// keptWays finds, beside the cheapest ways, those of images and streams whose signatures count: a
// machine is given no others.
func (v *View) keptWays() keptWays { return keptWays{v.Ways(nil), v.Usable().Ways(nil)} }

// to is the way to an image, one that counts where there is one.
func (k keptWays) to(name string) (reach, bool) {
	if r, ok := k.counting[name]; ok {
		return r, true
	}
	r, ok := k.any[name]
	return r, ok
}

// cut lists the images of after to which a way led, and to which none leads there any more, or none that counts where
// one did; by template and the oldest first.
func (k keptWays) cut(after *View) (out []*Listed) {
	left := after.keptWays()
	for name, l := range after.images {
		lost := func(before, now map[string]reach) bool {
			_, was := before[name]
			_, is := now[name]
			return was && !is
		}
		if lost(k.any, left.any) || lost(k.counting, left.counting) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *Listed) int {
		return cmp.Or(cmp.Compare(a.Template, b.Template), ref.CompareVersions(a.Version, b.Version),
			cmp.Compare(a.Ref, b.Ref))
	})
	return out
}

// cutBy names the images that are cut off once those of refs are gone and those of derived have a full stream.
func (v *View) cutBy(refs, derived []string) (out []string) {
	after := v.promising(derived)
	for _, name := range refs {
		delete(after.images, name)
	}
	for _, l := range v.keptWays().cut(after) {
		out = append(out, l.Ref)
	}
	return out
}

// expire checks an Expiry against what there is now, under the lock of the log, and returns the tombstones.
func (c *Local) expire(v *View, e Expiry, now time.Time) ([]Entry, error) {
	falls := map[string]bool{}
	for _, l := range v.FallOut(now) {
		falls[l.Ref] = true
	}
	var derived []string
	if e.DryRun {
		derived = e.Derived
	}
	var out []Entry
	for _, name := range e.Refs {
		if !falls[name] {
			return nil, fmt.Errorf("%w: %s is kept by a rule now", ErrInUse, name)
		}
		out = append(out, Entry{Kind: KindDelete, Ref: name})
	}
	if cut := v.cutBy(e.Refs, derived); len(cut) > 0 {
		return nil, fmt.Errorf("%w: without them these cannot be made: %s", ErrInUse, strings.Join(cut, ", "))
	}
	return out, nil
}

// rehearse says what the tombstones and a collection would remove.
func (c *Local) rehearse(ctx context.Context, old []Entry, e Expiry) (*Deleted, error) {
	v, err := Replay(old)
	if err != nil {
		return nil, err
	}
	tombs, err := c.expire(v, e, c.Now())
	if err != nil {
		return nil, err
	}
	for i := range tombs {
		if err := v.apply(&tombs[i]); err != nil {
			return nil, err
		}
	}
	done := &Deleted{}
	return done, c.sweep(ctx, old, v, e.Refs, true, done)
}
