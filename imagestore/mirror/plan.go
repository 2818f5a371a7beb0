package mirror

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
)

// plannedImage is one image of a copy: what comes of it. Its streams are in no order.
type plannedImage struct {
	image   *catalog.Listed // as the source has it
	streams []catalog.ListedStream
}

// wanted finds the images that args mean: a name with "*" is a filter, which must admit something; any other is
// a reference, and without an architecture means every one.
func wanted(v *catalog.View, args []string) ([]*catalog.Listed, error) {
	var out []*catalog.Listed
	add := func(l *catalog.Listed) {
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	for _, a := range args {
		n := 0
		if strings.Contains(a, "*") {
			f, err := ref.ParseFilter(a)
			if err != nil {
				return nil, err
			}
			for _, l := range v.Sorted() {
				if f.Match(l.Parsed()) {
					add(l)
					n++
				}
			}
			if n == 0 {
				return nil, fmt.Errorf("%w: %s admits none", catalog.ErrNotFound, a)
			}
			continue
		}
		r, err := ref.Parse(a)
		if err != nil {
			return nil, err
		}
		l, err := v.Resolve(r)
		if err == nil {
			add(l)
			continue
		}
		for _, l := range v.Images() {
			one := r
			one.Arch = l.Arch
			if l.Template != r.Template() || r.Arch != "" {
				continue
			}
			if l, err := v.Resolve(one); err == nil {
				add(l)
				n++
			}
		}
		if n == 0 {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b *catalog.Listed) int { return cmp.Compare(a.Ref, b.Ref) })
	return out, nil
}

// planCopy chooses what must come from a store with the images of from into one with those of to, so that all of want
// can be made there: the cheapest streams by which each is reached, every delta between two images that are there or
// come, and the images between, where a chain is cheaper than a full stream. Images that were deleted in the receiving
// store are left out and named in skipped. The result begins with parents wherever there is no circle.
func planCopy(from, to *catalog.View, want []*catalog.Listed) (plan []plannedImage, skipped []string, err error) {
	for _, l := range want {
		if old := to.Image(l.Ref); old != nil && old.Document != l.Document {
			return nil, nil, fmt.Errorf("%w: the receiving store has another image of the name %s",
				catalog.ErrExists, l.Ref)
		}
	}
	want = slices.DeleteFunc(slices.Clone(want), func(l *catalog.Listed) bool {
		gone := to.Gone(l.Ref) != nil && to.Image(l.Ref) == nil
		if gone {
			skipped = append(skipped, l.Ref)
		}
		return gone
	})
	c := newChoice(from, to)
	for _, l := range want {
		c.come[l.Ref] = true
	}
	c.deltas()
	if err := c.reachAll(want); err != nil {
		return nil, nil, err
	}
	return c.result(), skipped, nil
}

// choice is a copy while it is planned.
type choice struct {
	from, to *catalog.View
	images   map[string]*catalog.Listed // of both stores; a stream that is there or chosen costs nothing
	both     *catalog.View              // of these images
	come     map[string]bool            // images that come or were asked for
	chosen   map[string][]catalog.ListedStream
}

func newChoice(from, to *catalog.View) *choice {
	c := &choice{from: from, to: to, images: map[string]*catalog.Listed{}, come: map[string]bool{},
		chosen: map[string][]catalog.ListedStream{}}
	c.both = catalog.ViewOf(c.images)
	for name, l := range to.Images() {
		n := *l
		n.Streams = slices.Clone(l.Streams)
		for i := range n.Streams {
			n.Streams[i].Wire = 0
		}
		c.images[name] = &n
	}
	for name, l := range from.Images() {
		n := c.images[name]
		if n == nil && to.Gone(name) != nil || n != nil && n.Document != l.Document {
			continue // it cannot come
		}
		if n == nil {
			n = &catalog.Listed{}
			*n = *l
			n.Streams = nil
			c.images[name] = n
		}
		for _, s := range cheapest(l.Streams) {
			if a, b := from.Image(s.Parent), to.Image(s.Parent); a != nil && b != nil && a.Document != b.Document {
				continue // the name of its parent means another image there
			}
			if !slices.ContainsFunc(n.Streams, func(o catalog.ListedStream) bool { return o.Parent == s.Parent }) {
				n.Streams = append(n.Streams, s)
			}
		}
	}
	return c
}

// cheapest leaves of several encodings that start from the same the smallest one. Those with dictionaries stay behind:
// a copy checks what it fetches, and would need the trees. Who receives makes them anew.
func cheapest(streams []catalog.ListedStream) []catalog.ListedStream {
	out := slices.DeleteFunc(slices.Clone(streams), func(s catalog.ListedStream) bool { return s.Dictionary })
	slices.SortStableFunc(out, func(a, b catalog.ListedStream) int {
		return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.Wire, b.Wire))
	})
	return slices.CompactFunc(out, func(a, b catalog.ListedStream) bool { return a.Parent == b.Parent })
}

// here says whether an image is in the receiving store or comes.
func (c *choice) here(name string) bool { return c.come[name] || c.to.Image(name) != nil }

// choose takes the stream of an image that begins at parent, if it is not there already.
func (c *choice) choose(name, parent string) {
	n := c.images[name]
	for i := range n.Streams {
		if s := &n.Streams[i]; s.Parent == parent && s.Wire > 0 {
			c.chosen[name] = append(c.chosen[name], *s)
			s.Wire = 0
		}
	}
}

// deltas takes every delta between two images of which at least one comes.
func (c *choice) deltas() {
	for name, l := range c.images {
		if !c.here(name) {
			continue
		}
		for _, s := range l.Streams {
			if p := c.images[s.Parent]; p != nil && c.here(s.Parent) && (c.come[name] || c.come[s.Parent]) {
				c.choose(name, s.Parent)
			}
		}
	}
}

// reachAll adds, as long as some image cannot be made, what the cheapest of the ways to these lacks.
func (c *choice) reachAll(want []*catalog.Listed) error {
	for {
		ways := c.both.Ways(nil)
		var next *catalog.Listed
		for _, l := range want {
			r, ok := ways[l.Ref]
			if !ok {
				return fmt.Errorf("%w: %s, without the images that the receiving store has deleted",
					catalog.ErrNoWay, l.Ref)
			}
			if r.Cost > 0 && (next == nil || r.Cost < ways[next.Ref].Cost) {
				next = l
			}
		}
		if next == nil {
			return nil
		}
		for at := next.Ref; at != ""; {
			s := ways[at].Stream
			parent := s.Parent
			c.choose(at, parent)
			c.come[at] = true
			at = parent
		}
	}
}

// result lists what comes, parents first.
func (c *choice) result() []plannedImage {
	done := map[string]bool{}
	for name := range c.to.Images() {
		done[name] = true
	}
	var left, out []plannedImage
	for name := range c.come {
		if len(c.chosen[name]) > 0 {
			left = append(left, plannedImage{c.from.Image(name), c.chosen[name]})
		}
	}
	for name := range c.chosen { // a delta to an image that is there
		if !c.come[name] {
			left = append(left, plannedImage{c.from.Image(name), c.chosen[name]})
		}
	}
	slices.SortFunc(left, func(a, b plannedImage) int {
		return cmp.Or(cmp.Compare(a.image.Template, b.image.Template),
			ref.CompareVersions(a.image.Version, b.image.Version), cmp.Compare(a.image.Ref, b.image.Ref))
	})
	ready := func(all bool) func(plannedImage) bool {
		return func(p plannedImage) bool {
			n := 0
			for _, s := range p.streams {
				if s.Parent == "" || done[s.Parent] {
					n++
				}
			}
			return n == len(p.streams) || !all && n > 0
		}
	}
	for len(left) > 0 {
		i := slices.IndexFunc(left, ready(true))
		if i < 0 {
			// Streams run in a circle: this one image comes before one of its parents.
			i = max(0, slices.IndexFunc(left, ready(false)))
		}
		out = append(out, left[i])
		done[left[i].image.Ref] = true
		left = slices.Delete(left, i, i+1)
	}
	return out
}
