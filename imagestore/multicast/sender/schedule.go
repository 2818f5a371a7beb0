package sender

import (
	"griddle/imagestore/multicast"
)

// reason is why a symbol is sent.
type reason uint8

const (
	firstTime reason = iota // a block's own symbols, the first time
	repair                  // parity: asked for, or sent ahead because losses are known
	resend                  // a block's own symbols once more, for receivers that came late
	reasons
)

// symbol is a symbol to send.
type symbol struct {
	block  uint32
	esi    uint16
	reason reason
}

// schedule decides what is sent next: parity for small losses first, because readers wait for those blocks; then what
// was not sent yet; and then what receivers lack that came late or lost much. It is pure.
//
// Parity is never sent twice, and each block has Layout.R symbols of it: what is missing after those comes by HTTP. A
// block's own symbols are sent again only for a receiver that has nothing of the block.
//
// Its memory is 6 bytes for each block of the encoding, and 1 KB for each block that is asked for.
type schedule struct {
	layout     multicast.Layout
	size       int64
	blocks     uint32
	aheadShare func() float64 // parity to send ahead, as a share of a block

	pass       blockPass           // the first pass; pass.block is also how many blocks are closed
	repeat     blockPass           // a block that is sent again
	repeating  bool                // repeat is under way
	repeatFrom uint32              // where the search for the next such block begins
	parityUsed []uint16            // parity symbols that were sent, by block
	resentAt   []uint32            // seq of the last own symbol sent again, by block; nil while there is none
	requests   map[uint32]*request // what is asked for, by block
	urgent     []uint32            // blocks with urgent requests, in order
	deferred   []uint32            // blocks with deferred requests, in order
}

// blockPass sends a block's own symbols one after the other, and then some parity.
type blockPass struct {
	block  uint32
	esi    int
	k      int
	parity int // parity symbols left; -1 until the own ones are sent
}

func newSchedule(l multicast.Layout, size int64, ahead func() float64) *schedule {
	s := &schedule{layout: l, size: size, blocks: uint32(l.Blocks(size)), aheadShare: ahead,
		requests: map[uint32]*request{}}
	s.parityUsed = make([]uint16, s.blocks)
	s.pass = s.walk(0)
	return s
}

func (s *schedule) k(block uint32) int { return s.layout.BlockK(s.size, int(block)) }

func (s *schedule) walk(block uint32) blockPass {
	w := blockPass{block: block, parity: -1}
	if block < s.blocks {
		w.k = s.k(block)
	}
	return w
}

// closed is how many blocks were sent once, whole. Receivers may ask for what they lack of those.
func (s *schedule) closed() uint32 { return s.pass.block }

// sentOnce says whether every block was sent once.
func (s *schedule) sentOnce() bool { return s.pass.block == s.blocks }

// mayContinue says whether the first pass may go on, if so many verified bytes may be sent.
func (s *schedule) mayContinue(verified int64) bool {
	return !s.sentOnce() && int64(s.pass.block)*s.layout.Block()+int64(s.layout.BlockSize(s.size,
		int(s.pass.block))) <= verified
}

// pick returns the symbol to send as seq. wanted names the next block, from one on and then from 0 on, that is wanted
// whole.
func (s *schedule) pick(seq uint32, verified int64, wanted func(from uint32) (uint32, bool)) (symbol, bool) {
	for len(s.urgent) > 0 {
		if sym, ok := s.repairBlock(s.urgent[0], seq); ok {
			return sym, true
		}
	}
	if s.mayContinue(verified) {
		sym, ok := s.step(&s.pass, firstTime, seq)
		if ok {
			return sym, true
		}
		s.pass = s.walk(s.pass.block + 1)
		return s.pick(seq, verified, wanted)
	}
	for len(s.deferred) > 0 {
		if sym, ok := s.repairBlock(s.deferred[0], seq); ok {
			return sym, true
		}
	}
	for {
		if !s.repeating {
			block, ok := wanted(s.repeatFrom)
			if !ok {
				return symbol{}, false
			}
			s.repeat, s.repeating, s.repeatFrom = s.walk(block), true, block+1
		}
		if sym, ok := s.step(&s.repeat, resend, seq); ok {
			return sym, true
		}
		s.repeating = false
	}
}

// step takes the next symbol of w, and none when it is over.
func (s *schedule) step(w *blockPass, why reason, seq uint32) (symbol, bool) {
	if w.esi < w.k {
		w.esi++
		if why == resend {
			if s.resentAt == nil {
				s.resentAt = make([]uint32, s.blocks)
			}
			s.resentAt[w.block] = seq
			s.noteSent(w.block, seq)
		}
		return symbol{w.block, uint16(w.esi - 1), why}, true
	}
	if w.parity < 0 {
		w.parity = int(s.aheadShare() * float64(w.k))
	}
	if w.parity == 0 {
		return symbol{}, false
	}
	w.parity--
	return s.parity(w.block, seq)
}

// repairBlock takes a parity symbol of a requested block. If none is left it drops the request.
func (s *schedule) repairBlock(block, seq uint32) (symbol, bool) {
	sym, ok := s.parity(block, seq)
	if !ok {
		w := s.requests[block]
		w.urgent, w.urgentOthers, w.deferred = 0, 0, 0
		s.index(block, w)
	}
	return sym, ok
}

func (s *schedule) parity(block, seq uint32) (symbol, bool) {
	if s.parityLeft(block) == 0 {
		return symbol{}, false
	}
	esi := s.k(block) + int(s.parityUsed[block])
	s.parityUsed[block]++
	s.noteSent(block, seq)
	if w := s.requests[block]; w.urgent > 0 || w.deferred > 0 {
		if w.urgent > w.urgentOthers {
			w.urgentBy.spent++
		}
		w.urgent, w.urgentOthers, w.deferred = max(w.urgent-1, 0), max(w.urgentOthers-1, 0), max(w.deferred-1, 0)
		s.index(block, w)
	}
	return symbol{block, uint16(esi), repair}, true
}

// parityLeft is how many parity symbols of a block were not sent.
func (s *schedule) parityLeft(block uint32) int { return s.layout.R - int(s.parityUsed[block]) }

// resendIsCheaper says whether to send a block's own symbols again to a receiver that lacks n of them, rather than
// parity, which runs out: because it has next to nothing of the block, or because not enough parity is left.
func (s *schedule) resendIsCheaper(block uint32, n int) bool {
	k := s.k(block)
	return n >= k-k/8 || n > k/2 && n > s.parityLeft(block)
}
