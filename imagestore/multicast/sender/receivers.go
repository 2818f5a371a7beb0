package sender

import (
	"slices"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

const (
	// lostAfter is how long a receiver is not heard before it does not count any more.
	lostAfter = 5 * time.Second
	// maxAsked is how many blocks of one report are repaired; the receiver asks for the others again later.
	maxAsked = 64
	// snapshotInterval is how far snapshots are apart: about a report.
	snapshotInterval = 90 * time.Millisecond
	// maxSnapshots of them are kept: four seconds.
	maxSnapshots = 45
)

// receivers is what the reports of all receivers say: who is there, what each lacks, who holds up the others, and how
// fast the network is. It is pure; times count from the opening of the session. A receiver takes a few hundred bytes,
// and up to 1.5 KB more while it lacks whole blocks.
type receivers struct {
	layout     multicast.Layout
	byNumber   map[uint16]*receiver
	list       []*receiver   // in the order in which they came
	firstReady time.Duration // when the first receiver was ready; 0 if none is
	rate       rateControl
	median     sample
	worstLoss  float64 // highest long-term loss of those that keep up
	counts     counts
}

// counts is how many receivers there are.
type counts struct {
	heard   int // lately, and that did not leave and were not told to
	ready   int // of these, those that are set up to receive
	waiting int // of those, the ones that lack something
	left    int // by themselves or because they were told to
	lost    int // ready once, not done, and not heard for some time
	done    int // that have everything
}

// receiver is one receiver of the session.
type receiver struct {
	number      uint16
	flags       uint8
	demoted     string // why it was told to leave; "" if it was not
	verdictSeq  uint32 // seq of the last verdict
	seq         uint32 // of the last report
	heard       time.Duration
	progressed  time.Duration // when highest last grew
	highest     uint32        // highest seq that it has seen
	received    uint32        // of datagrams that it got
	lost        uint32        // of datagrams that did not come to it
	loss        float64       // of the last thousands of datagrams
	snapshots   []snapshot    // oldest first, the last one is of now
	lossy       bool          // it loses so much that it is served last
	missing     int           // blocks that it lacks something of
	wholeBlocks []datagram.Missing
	joined      uint32 // seq of the last datagram when it came
	spent       int    // symbols that were sent for it alone
	resent      int    // blocks that were sent again for it
}

// snapshot is how far a receiver was at one time.
type snapshot struct {
	at                time.Duration
	highest, received uint32
	closed            uint32 // blocks that were sent once
	partial           int    // and of those, the ones that it had in part
}

func newReceivers(l multicast.Layout) *receivers {
	return &receivers{layout: l, byNumber: map[uint16]*receiver{}}
}

// report takes in an authentic report of receiver n, and asks s for what it lacks; sent is the seq of the last
// datagram. It returns nil for a report that is older than another one.
func (c *receivers) report(
	n uint16, now time.Duration, h datagram.Header, missing []datagram.Missing, sent uint32, s *schedule,
) *receiver {
	m := c.byNumber[n]
	if m == nil {
		m = &receiver{number: n, joined: sent, progressed: now}
		c.byNumber[n] = m
		c.list = append(c.list, m)
	}
	if h.Seq <= m.seq {
		return nil
	}
	if h.Flags&datagram.Ready != 0 && c.firstReady == 0 {
		c.firstReady = max(now, 1)
	}
	m.seq, m.heard = h.Seq, now
	m.flags |= h.Flags & (datagram.Ready | datagram.Done | datagram.Leaving)
	m.progress(now, min(h.Pos, sent), h.Time)
	m.wholeBlocks, m.missing = m.wholeBlocks[:0], 0
	partial := 0
	if m.flags&(datagram.Done|datagram.Leaving) == 0 && m.demoted == "" {
		partial = c.request(m, missing, sent, s)
	}
	m.addSnapshot(now, s.closed(), partial)
	return m
}

// progress notes how far a receiver is. Numbers that contradict each other are cut to what is possible.
func (m *receiver) progress(now time.Duration, hi, count uint32) {
	if hi <= m.highest {
		return
	}
	passed := hi - m.highest
	got := uint32(0)
	if count > m.received {
		got = min(count-m.received, passed)
	}
	if m.highest > 0 { // the first report says where it began
		m.lost += passed - got
		lost := float64(passed-got) / float64(passed)
		weight := float64(min(passed, 1024))
		if m.highest-m.joined > 1024 {
			// one gap says little about the next seconds, so it counts only twice the loss so far
			lost = min(lost, 2*m.loss+0.02)
		}
		m.loss += (lost - m.loss) * max(weight/float64(hi-m.joined), weight/8192)
	} else {
		m.joined = hi
	}
	m.highest, m.received, m.progressed = hi, max(count, m.received), now
}

// request asks for what m lacks, and returns how many blocks it has in part.
func (c *receivers) request(m *receiver, missing []datagram.Missing, sent uint32, s *schedule) int {
	hurry := !m.lossy && float64(m.spent) <= m.urgentCredit(c.layout, sent)
	partial := 0
	for _, w := range missing {
		if w.First >= s.closed() {
			break
		}
		n := min(uint32(w.Blocks), s.closed()-w.First)
		m.missing += int(n)
		if s.resendIsCheaper(w.First, int(w.Symbols)) {
			m.wholeBlocks = append(m.wholeBlocks,
				datagram.Missing{First: w.First, Blocks: uint16(n), Symbols: w.Symbols})
			continue
		}
		for b := w.First; b < w.First+n && partial < maxAsked; b++ {
			k := s.k(b)
			lacks := min(int(w.Symbols), k)
			partial++
			s.ask(m, b, m.highest, c.symbolsFor(m, lacks, s), hurry && (lacks <= k/2))
		}
	}
	return partial
}

// symbolsFor is how many symbols to send so that about lacks of them arrive. At the very end a few more symbols are
// cheaper than one more report.
func (c *receivers) symbolsFor(m *receiver, lacks int, s *schedule) int {
	p := min(m.loss, 0.3)
	more := float64(lacks) * p / (1 - p)
	if s.sentOnce() && c.counts.waiting > 0 && len(s.urgent) <= 4 && lacks < c.layout.K/4 {
		more += 2*more + 2
		return lacks + int(more)
	}
	return lacks + int(more+0.5)
}

// urgentCredit is how many symbols may be sent for m alone before new ones: about as many as it can have lost. It
// gets more when no other receiver has to wait for that.
func (m *receiver) urgentCredit(l multicast.Layout, sent uint32) float64 {
	return float64(2*l.K) + 1.3*float64(m.lost) + 0.02*float64(sent-min(m.joined, sent))
}

// addSnapshot notes how far m is, at most once in snapshotInterval; in between it replaces the last snapshot.
func (m *receiver) addSnapshot(now time.Duration, closed uint32, partial int) {
	k := snapshot{now, m.highest, m.received, closed, partial}
	switch n := len(m.snapshots); {
	case n >= 2 && now-m.snapshots[n-2].at < snapshotInterval:
		m.snapshots[n-1] = k
	case n == maxSnapshots:
		m.snapshots = append(slices.Delete(m.snapshots, 0, 1), k)
	default:
		m.snapshots = append(m.snapshots, k)
	}
}

// nextWanted is the next block from from on, and then from 0 on, that is sent again because a receiver has nothing of
// it.
func (c *receivers) nextWanted(s *schedule, from uint32) (uint32, bool) {
	block, ok := c.findWanted(s, from)
	for _, m := range c.list {
		if b, has := m.nextWanted(s, block); ok && has && b == block {
			m.resent++
		}
	}
	return block, ok
}

// findWanted is nextWanted without counting. How much is sent again for one receiver is bounded; the bound leaves
// room for receivers whose socket overflowed and that ask twice.
func (c *receivers) findWanted(s *schedule, from uint32) (uint32, bool) {
	limit := int(s.blocks) + int(s.blocks)/2 + 16
	nearest, found := uint32(0), false
	for _, m := range c.list {
		if len(m.wholeBlocks) == 0 || m.resent >= limit {
			continue
		}
		b, ok := m.nextWanted(s, from)
		if !ok {
			b, ok = m.nextWanted(s, 0)
		}
		// Blocks from from on come before those from 0 on.
		if ok && (!found || (b < from) == (nearest < from) && b < nearest || b >= from && nearest < from) {
			nearest, found = b, true
		}
	}
	return nearest, found
}

// nextWanted is the first block from from on that m has nothing of, and that is not on its way to m.
func (m *receiver) nextWanted(s *schedule, from uint32) (uint32, bool) {
	i, _ := slices.BinarySearchFunc(m.wholeBlocks, from, func(w datagram.Missing, b uint32) int {
		if w.First+uint32(w.Blocks) <= b {
			return -1
		}
		return 1
	})
	for _, w := range m.wholeBlocks[i:] {
		for b := max(w.First, from); b < w.First+uint32(w.Blocks); b++ {
			if s.resentAt == nil || s.resentAt[b] <= m.highest {
				return b, true
			}
		}
	}
	return 0, false
}

// gone says that m left or was told to, so that its reports do not count any more.
func (m *receiver) gone() bool { return m.demoted != "" || m.flags&datagram.Leaving != 0 }
