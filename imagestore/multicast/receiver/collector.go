package receiver

import (
	"fmt"
	"slices"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/parity"
)

// collector puts blocks together from symbols, and knows what is missing. It is pure: no socket, no clock, one
// goroutine.
type collector struct {
	layout multicast.Layout
	size   int64
	hashes multicast.Hashes
	code   *parity.Code // of all blocks
	last   *parity.Code // of the last one

	count int // of blocks
	limit int // how many are put together at once

	work map[int]*parity.Block // blocks that have some of their symbols
	bad  int                   // blocks with wrong bytes
}

// workLimit is how many blocks are put together at once. Losses keep a few of them open; many are a sign of disorder,
// or of an attack on memory. Of long blocks there are fewer, within workMemory: with parity a block takes up to twice
// its bytes.
const (
	workLimit  = 8
	workMemory = 25 << 20
)

func newCollector(s multicast.Session, h multicast.Hashes) (*collector, error) {
	c := &collector{layout: s.Layout, size: s.Size, hashes: h, count: s.Layout.Blocks(s.Size),
		limit: int(max(2, min(workLimit, workMemory/(2*s.Layout.Block())))), work: map[int]*parity.Block{}}
	var err error
	if c.code, err = parity.New(s.Layout.K, s.Layout.R, s.Layout.Symbol); err != nil {
		return nil, err
	}
	c.last = c.code
	if k := s.Layout.BlockK(s.Size, c.blocks()-1); k != s.Layout.K {
		if c.last, err = parity.New(k, s.Layout.R, s.Layout.Symbol); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *collector) blocks() int { return c.count }

// symbol takes a symbol in. If that makes its block whole and right, it returns the block's bytes, and the collector
// forgets the block. An error means that the symbol or the block is broken, or an attack.
func (c *collector) symbol(block, esi int, payload []byte) (whole []byte, used bool, err error) {
	if block < 0 || block >= c.blocks() {
		return nil, false, fmt.Errorf("taking a symbol of block %d: there are %d", block, c.blocks())
	}
	b, begun := c.work[block], true
	if b == nil {
		begun = false
		if !c.room(block) {
			return nil, false, nil
		}
		code := c.code
		if block == c.blocks()-1 {
			code = c.last
		}
		if b, err = code.Block(c.layout.BlockSize(c.size, block)); err != nil {
			return nil, false, err
		}
	}
	if used, err = b.Add(esi, payload); err != nil || !used {
		return nil, false, err
	}
	if !begun {
		c.begin(block, b)
	}
	if b.Missing() > 0 {
		return nil, true, nil
	}
	delete(c.work, block)
	whole, err = b.Bytes()
	if err == nil && !c.hashes.Match(block, whole) {
		err = fmt.Errorf("putting block %d together: %w", block, errPolluted)
	}
	if err != nil {
		c.bad++
		return nil, true, err
	}
	return whole, true, nil
}

// room says whether block may be begun. A later block gives way to an earlier one, which is wanted first.
func (c *collector) room(block int) bool { return len(c.work) < c.limit || c.latest() > block }

func (c *collector) begin(block int, b *parity.Block) {
	if len(c.work) >= c.limit {
		delete(c.work, c.latest())
	}
	c.work[block] = b
}

// latest is the last of the blocks that were begun; -1 if there are none.
func (c *collector) latest() int {
	last := -1
	for i := range c.work {
		last = max(last, i)
	}
	return last
}

// drop forgets the symbols of a block.
func (c *collector) drop(block int) { delete(c.work, block) }

// symbols is how many symbols of block came.
func (c *collector) symbols(block int) int {
	if b := c.work[block]; b != nil {
		return b.Have()
	}
	return 0
}

// missing lists what to ask for: the blocks from from to below pos that want says are wanted.
func (c *collector) missing(dst []datagram.Missing, from, pos int, want func(block int) bool) []datagram.Missing {
	dst = dst[:0]
	for i := from; i < min(pos, c.blocks()) && len(dst) < datagram.MaxMissing; i++ {
		if !want(i) {
			continue
		}
		n := uint16(datagram.All)
		if b := c.work[i]; b != nil {
			n = uint16(b.Missing())
		}
		if k := len(dst) - 1; k >= 0 && dst[k].Symbols == n && int(dst[k].First)+int(dst[k].Blocks) == i &&
			dst[k].Blocks < 65535 {
			dst[k].Blocks++
			continue
		}
		dst = append(dst, datagram.Missing{First: uint32(i), Blocks: 1, Symbols: n})
	}
	return slices.Clip(dst)
}
