package receiver

import (
	"context"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// maxAsked is how many blocks are watched while they are asked for; the others have their turn later.
const maxAsked = 4*workLimit + 64

// fallback is the blocks that are left to HTTP: those with wrong bytes, and those that were asked for in vain.
type fallback struct {
	blocks map[int]bool
	asked  map[int]*request // blocks that were sent once and are asked for
}

// request is what became of asking for a block.
type request struct {
	symbols int
	since   time.Time // when the symbols grew last
	reports int       // since then
}

func newFallback() fallback { return fallback{map[int]bool{}, map[int]*request{}} }

// has says whether a block is left to HTTP.
func (f *fallback) has(block int) bool { return f.blocks[block] }

// leave leaves a block to HTTP.
func (f *fallback) leave(block int) {
	f.blocks[block] = true
	delete(f.asked, block)
}

// came notes that a block is whole.
func (f *fallback) came(block int) { delete(f.asked, block) }

// watch notes that the blocks of list are asked for once more, and returns those that it leaves to HTTP: of which
// nothing came for longer than limit says. A limit of 0 means that they are not late.
func (f *fallback) watch(
	list []datagram.Missing, now time.Time, symbols func(block int) int, limit func(datagram.Missing) time.Duration,
) []int {
	var left []int
	for _, e := range list {
		for k := range min(int(e.Blocks), 64) {
			i := int(e.First) + k
			r := f.asked[i]
			if r == nil {
				if len(f.asked) > maxAsked {
					continue
				}
				r = &request{since: now}
				f.asked[i] = r
			}
			if n := symbols(i); n != r.symbols {
				*r = request{symbols: n, since: now}
			}
			r.reports++
			most := limit(e)
			if most == 0 {
				r.since, r.reports = now, 0
			} else if r.reports >= 3 && now.Sub(r.since) > most {
				f.leave(i)
				left = append(left, i)
			}
		}
	}
	return left
}

// fillFallback fetches by HTTP the blocks that are left to it, until ctx ends.
func (m *membership) fillFallback(ctx context.Context) {
	t := time.NewTicker(multicast.ReportInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		some := len(m.fallback.blocks) > 0
		m.mu.Unlock()
		if !some {
			continue
		}
		_ = m.d.Fill(ctx, func(i int) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.fallback.has(i)
		})
	}
}
