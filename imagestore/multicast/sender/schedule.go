package sender

import (
	"slices"

	"griddle/imagestore/multicast"
)

// way is why a symbol is sent.
type way uint8

const (
	firstPass way = iota // a block's own symbols, the first time
	mending              // parity: asked for, or sent ahead because losses are known
	again                // a block's own symbols once more, for who came late
	ways
)

// symbol is one that is to be sent.
type symbol struct {
	block uint32
	esi   uint16
	way   way
}

// schedule is what is sent next: small losses first, because nobody can use what comes after them; then what was not sent yet; and
// when there is nothing of that, what somebody lacks who came late or lost much. It is pure.
//
// Parity is never sent twice, and each block has Layout.R symbols of it: what is missing after those comes by HTTP. A block's own
// symbols are sent again only for a receiver that has nothing of the block.
//
// Its memory is 6 bytes for each block of the encoding, and 1 KB for each block of which something is asked for.
type schedule struct {
	layout multicast.Layout
	size   int64
	blocks uint32
	ahead  func() float64 // parity to send ahead, as a share of a block

	pass   walk              // the first pass; pass.block is what is closed, too
	re     walk              // a block that is sent again
	live   bool              // re is under way
	next   uint32            // where the search for the next such block begins
	used   []uint16          // parity symbols that were sent, by block
	resent []uint32          // seq of the last own symbol sent again, by block; nil as long as there is none
	work   map[uint32]*lacks // what is asked for, by block
	soon   []uint32          // blocks with soon > 0, in order
	late   []uint32          // blocks with late > 0, in order
}

// walk is a block whose own symbols are sent one after the other, and then some parity.
type walk struct {
	block uint32
	esi   int
	k     int
	extra int // parity symbols left; -1 until the own ones are sent
}

// lacks is what receivers lack of a block.
type lacks struct {
	soon  int     // symbols to send before anything else
	other int     // what they would be without the receiver that lacks most,
	by    *member // which is this one
	late  int     // symbols to send when nothing is new
	after *member // the receiver that lacks as many
	runs  []run   // what was sent of it lately, oldest first
}

// run is consecutive datagrams of one block.
type run struct{ seq, n uint32 }

// maxRuns bounds what is remembered of a block; reports that are older count what was forgotten as lost.
const maxRuns = 64

func newSchedule(l multicast.Layout, size int64, ahead func() float64) *schedule {
	s := &schedule{layout: l, size: size, blocks: uint32(l.Blocks(size)), ahead: ahead, work: map[uint32]*lacks{}}
	s.used = make([]uint16, s.blocks)
	s.pass = s.walk(0)
	return s
}

func (s *schedule) k(block uint32) int { return s.layout.BlockK(s.size, int(block)) }

func (s *schedule) walk(block uint32) walk {
	w := walk{block: block, extra: -1}
	if block < s.blocks {
		w.k = s.k(block)
	}
	return w
}

// closed is how many blocks were sent once, whole: what is missing of those may be asked for.
func (s *schedule) closed() uint32 { return s.pass.block }

// sentOnce says that there is nothing new any more.
func (s *schedule) sentOnce() bool { return s.pass.block == s.blocks }

// open says whether the first pass may go on: verified bytes of the encoding may be sent.
func (s *schedule) open(verified int64) bool {
	return !s.sentOnce() && int64(s.pass.block)*s.layout.Block()+int64(s.layout.BlockSize(s.size, int(s.pass.block))) <= verified
}

// pick returns what is sent as seq. wanted names the next block, from one on and around, that is wanted whole.
func (s *schedule) pick(seq uint32, verified int64, wanted func(from uint32) (uint32, bool)) (symbol, bool) {
	for len(s.soon) > 0 {
		if sym, ok := s.mend(s.soon[0], seq); ok {
			return sym, true
		}
	}
	if s.open(verified) {
		sym, ok := s.step(&s.pass, firstPass, seq)
		if ok {
			return sym, true
		}
		s.pass = s.walk(s.pass.block + 1)
		return s.pick(seq, verified, wanted)
	}
	for len(s.late) > 0 {
		if sym, ok := s.mend(s.late[0], seq); ok {
			return sym, true
		}
	}
	for {
		if !s.live {
			block, ok := wanted(s.next)
			if !ok {
				return symbol{}, false
			}
			s.re, s.live, s.next = s.walk(block), true, block+1
		}
		if sym, ok := s.step(&s.re, again, seq); ok {
			return sym, true
		}
		s.live = false
	}
}

// step takes the next symbol of a walk, and none when it is over.
func (s *schedule) step(w *walk, why way, seq uint32) (symbol, bool) {
	if w.esi < w.k {
		w.esi++
		if why == again {
			if s.resent == nil {
				s.resent = make([]uint32, s.blocks)
			}
			s.resent[w.block] = seq
			s.remember(w.block, seq)
		}
		return symbol{w.block, uint16(w.esi - 1), why}, true
	}
	if w.extra < 0 {
		w.extra = int(s.ahead() * float64(w.k))
	}
	if w.extra == 0 {
		return symbol{}, false
	}
	w.extra--
	return s.parity(w.block, seq)
}

// mend takes a parity symbol of a block of which some are lacking; none is left, or lacking, if it takes none.
func (s *schedule) mend(block, seq uint32) (symbol, bool) {
	sym, ok := s.parity(block, seq)
	if !ok {
		w := s.work[block]
		w.soon, w.other, w.late = 0, 0, 0
		s.sort(block, w)
	}
	return sym, ok
}

func (s *schedule) parity(block, seq uint32) (symbol, bool) {
	if s.left(block) == 0 {
		return symbol{}, false
	}
	esi := s.k(block) + int(s.used[block])
	s.used[block]++
	s.remember(block, seq)
	if w := s.work[block]; w.soon > 0 || w.late > 0 {
		if w.soon > w.other {
			w.by.spent++
		}
		w.soon, w.other, w.late = max(w.soon-1, 0), max(w.other-1, 0), max(w.late-1, 0)
		s.sort(block, w)
	}
	return symbol{block, uint16(esi), mending}, true
}

// left is how many parity symbols of a block were never sent.
func (s *schedule) left(block uint32) int { return s.layout.R - int(s.used[block]) }

// cheaper says whether the block's own symbols do as well as parity for who lacks n, of which there is no end: because it has next to
// nothing of the block, or because there is not as much parity.
func (s *schedule) cheaper(block uint32, n int) bool {
	k := s.k(block)
	return n >= k-k/8 || n > k/2 && n > s.left(block)
}

func (s *schedule) at(block uint32) *lacks {
	w := s.work[block]
	if w == nil {
		w = &lacks{}
		s.work[block] = w
	}
	return w
}

func (s *schedule) remember(block, seq uint32) {
	w := s.at(block)
	if n := len(w.runs); n > 0 && w.runs[n-1].seq+w.runs[n-1].n == seq {
		w.runs[n-1].n++
		return
	}
	if len(w.runs) == maxRuns {
		w.runs = slices.Delete(w.runs, 0, 1)
	}
	w.runs = append(w.runs, run{seq, 1})
}

// coming is how many symbols of a block were sent after hi, or will be without being asked for.
func (s *schedule) coming(block, hi uint32) int {
	n := 0
	if w := s.work[block]; w != nil {
		for i := len(w.runs) - 1; i >= 0 && w.runs[i].seq+w.runs[i].n-1 > hi; i-- {
			r := w.runs[i]
			n += int(r.seq + r.n - max(r.seq, hi+1))
		}
	}
	if s.live && s.re.block == block {
		n += s.re.k - s.re.esi + max(s.re.extra, 0)
	}
	return n
}

// ask notes that m, which has seen datagrams up to hi, needs n symbols of a closed block. In a hurry it is served before anything
// new. It says whether the block can be mended so.
func (s *schedule) ask(m *member, block, hi uint32, n int, hurry bool) bool {
	if block >= s.closed() {
		return false
	}
	left := s.left(block)
	lacking := min(n-s.coming(block, hi), left)
	if lacking <= 0 {
		return left > 0
	}
	w := s.at(block)
	switch {
	case !hurry:
		if lacking > w.late {
			w.late, w.after = lacking, m
		}
	case m == w.by || lacking > w.soon:
		if m != w.by {
			w.other, w.by = w.soon, m
		}
		w.soon = max(w.soon, lacking)
	default:
		w.other = max(w.other, lacking)
	}
	s.sort(block, w)
	return true
}

// forget takes back what m alone asked for.
func (s *schedule) forget(m *member) {
	for block, w := range s.work {
		if w.by == m {
			w.soon, w.by = w.other, nil
		}
		if w.after == m {
			w.late, w.after = 0, nil
		}
		s.sort(block, w)
	}
}

// sweep forgets blocks that nobody asks for and of which nothing was sent since the datagram seq.
func (s *schedule) sweep(seq uint32) {
	for block, w := range s.work {
		if n := len(w.runs); w.soon == 0 && w.late == 0 && (n == 0 || w.runs[n-1].seq+w.runs[n-1].n <= seq) {
			delete(s.work, block)
		}
	}
}

// sort keeps soon and late the blocks that they say they are.
func (s *schedule) sort(block uint32, w *lacks) {
	s.soon = keep(s.soon, block, w.soon > 0)
	s.late = keep(s.late, block, w.late > 0)
}

func keep(list []uint32, block uint32, in bool) []uint32 {
	i, found := slices.BinarySearch(list, block)
	switch {
	case in && !found:
		return slices.Insert(list, i, block)
	case !in && found:
		return slices.Delete(list, i, i+1)
	}
	return list
}
