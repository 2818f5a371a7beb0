package catalog

import (
	"container/heap"
	"fmt"
	"slices"

	"griddle/imagestore/fetch"
	"griddle/imagestore/ref"
)

// DeltaPlan is the cheapest way that begins at the image from, even if a full stream is smaller.
func (v *View) DeltaPlan(name, from string) (fetch.Plan, error) {
	only := *v
	only.images = make(map[string]*Listed, len(v.images))
	for r, l := range v.images {
		c := *l
		c.Streams = nil
		for _, s := range l.Streams {
			if s.Parent != "" {
				c.Streams = append(c.Streams, s)
			}
		}
		only.images[r] = &c
	}
	p, err := only.Plan(name, []string{from}, false)
	if err != nil {
		return fetch.Plan{}, fmt.Errorf("%w from %s; use a full stream", err, from)
	}
	return p, nil
}

// reach is how an image is best come by.
type reach struct {
	Cost   int64         // encoded bytes to fetch
	hops   int           // streams
	Stream *ListedStream // the last of them; nil where the receiver has the image
}

func (r reach) better(than reach) bool {
	return r.Cost < than.Cost || r.Cost == than.Cost && r.hops < than.hops
}

// frontier is the images that are reached and not done with, a heap whose first is the best.
type frontier []candidate

type candidate struct {
	ref string
	reach
}

// Len, Less, Swap, Push and Pop are heap.Interface's.
func (w frontier) Len() int { return len(w) }

func (w frontier) Less(i, j int) bool { return w[i].better(w[j].reach) }

func (w frontier) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

func (w *frontier) Push(x any) { *w = append(*w, x.(candidate)) }

func (w *frontier) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}

// Ways finds, for every live image that can be made from nothing or from one of have, the way with the fewest
// encoded bytes and, among equals, the fewest streams (Dijkstra: images are the nodes, a stream leads from its
// parent to its image).
func (v *View) Ways(have []string) map[string]reach {
	type edge struct {
		to     string
		stream *ListedStream
	}
	const nothing = ""
	from := map[string][]edge{}
	for name, l := range v.images {
		for i := range l.Streams {
			s := &l.Streams[i]
			if s.Dictionary && !v.dicts {
				continue
			}
			from[s.Parent] = append(from[s.Parent], edge{name, s})
		}
	}
	done, best := map[string]reach{}, map[string]reach{nothing: {}}
	front := &frontier{{ref: nothing}}
	for _, h := range have {
		if _, ok := best[h]; !ok {
			best[h] = reach{}
			heap.Push(front, candidate{ref: h})
		}
	}
	for front.Len() > 0 {
		at := heap.Pop(front).(candidate)
		if _, ok := done[at.ref]; ok {
			continue // a better way to it came later
		}
		done[at.ref] = at.reach
		for _, e := range from[at.ref] {
			r := reach{at.Cost + e.stream.Wire, at.hops + 1, e.stream}
			if old, ok := best[e.to]; !ok || r.better(old) {
				best[e.to] = r
				heap.Push(front, candidate{e.to, r})
			}
		}
	}
	delete(done, nothing)
	return done
}

// way lists the streams that lead from nothing, or from one of have, to the image name.
func (v *View) way(name string, have []string) ([]*ListedStream, error) {
	if v.images[name] == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	if err := v.images[name].Trusted(); err != nil {
		return nil, fmt.Errorf("planning %s: %w", name, err)
	}
	ways := v.Usable().Ways(have)
	var out []*ListedStream
	for at := name; at != ""; {
		r, ok := ways[at]
		if !ok {
			return nil, fmt.Errorf("%w: %s", ErrNoWay, name)
		}
		if r.Stream == nil {
			break
		}
		out = append(out, r.Stream)
		at = r.Stream.Parent
	}
	slices.Reverse(out)
	return out, nil
}

// Plan is the way to the image name, a full reference, with the fewest bytes to fetch, for a receiver that has the
// images of have. With dictionaries it may use streams that are decoded with the files of the parent. The error is
// ErrNotFound, or ErrNoWay if no stream makes the image.
func (v *View) Plan(name string, have []string, dictionaries bool) (fetch.Plan, error) {
	planned := *v
	planned.dicts = dictionaries
	way, err := planned.way(name, have)
	if err != nil {
		return fetch.Plan{}, err
	}
	l := v.images[name]
	p := fetch.Plan{Ref: l.Ref, Document: l.Document, Size: l.Size, Streams: []fetch.PlanStream{}}
	for _, s := range way {
		p.Streams = append(p.Streams, fetch.PlanStream{Document: s.Document, Index: s.Index, Raw: s.Raw, Wire: s.Wire})
	}
	return p, nil
}

// Received lists the images whose identities have one of the UUIDs, in the form of sendstream.UUID.String. A deleted
// image is allowed: it may still be the parent of a delta.
func (v *View) Received(uuids []string) []string {
	wanted := map[string]bool{}
	for _, u := range uuids {
		wanted[u] = true
	}
	var out []string
	for _, images := range []map[string]*Listed{v.images, v.gone} {
		for name, l := range images {
			if wanted[l.Identity.UUID.String()] {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// ResolveAll turns references into full ones. A deleted image is allowed: it may still be the parent of a delta.
func (v *View) ResolveAll(refs []ref.Ref) []string {
	var out []string
	for _, r := range refs {
		if l, err := v.Resolve(r); err == nil {
			out = append(out, l.Ref)
		} else if r.Exact() {
			out = append(out, r.String())
		}
	}
	return out
}
