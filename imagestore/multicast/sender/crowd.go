package sender

import (
	"slices"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

const (
	// absent is how long a receiver is not heard until it counts no more.
	absent = 5 * time.Second
	// maxAsked is how many blocks of one report are mended; what is missing of more is asked for again when those are there.
	maxAsked = 64
	// markEvery is how far marks are apart: about a report.
	markEvery = 90 * time.Millisecond
	// maxMarks of them are kept: four seconds.
	maxMarks = 45
)

// crowd is what the reports of all receivers mean: who is there, what each lacks, who keeps the others waiting, and how fast the
// network is. It is pure; times are of the session's clock. A member is a few hundred bytes, and while it lacks whole blocks up to
// 1.5 KB more.
type crowd struct {
	layout  multicast.Layout
	members map[uint16]*member
	order   []*member     // by when they came
	first   time.Duration // when somebody was ready first; 0 if nobody was
	rate    adaptation
	median  sample
	worst   float64 // long-term loss of the receiver that has most, of those that keep up
	counts  counts
}

// counts is how many receivers there are, of those that were heard lately.
type counts struct {
	heard   int // and that did not leave, nor were told to
	ready   int // of these, those that are set up
	waiting int // of those, the ones that have not got everything
	lost    int // ready once, not done, and not heard for some time
	done    int // that have everything
}

// member is one receiver.
type member struct {
	number  uint16
	flags   uint8
	demoted string // why, in words; "" if it was not
	told    uint32 // seq of the last verdict
	seq     uint32 // of the last report
	heard   time.Duration
	moved   time.Duration // when hi last grew
	hi      uint32        // highest seq that it has seen
	count   uint32        // of datagrams that it got
	lost    uint32        // of datagrams that it saw no more of than their gap
	loss    float64       // of the last thousands of datagrams
	marks   []mark        // oldest first, the last one is of now
	suspect bool          // it loses so much that its wants come last
	missing int           // blocks that it lacks something of
	whole   []datagram.Missing
	joined  uint32 // what was sent when it came
	spent   int    // symbols that were sent for it alone
	resent  int    // blocks that were sent again for it
}

// mark is where a receiver stood at one time.
type mark struct {
	at        time.Duration
	hi, count uint32
	closed    uint32 // blocks that were sent once
	partial   int    // and of those, the ones that it had in part
}

func newCrowd(l multicast.Layout) *crowd {
	return &crowd{layout: l, members: map[uint16]*member{}}
}

// report takes a report that is authentic, of receiver n; sent is the seq of the last datagram. It returns nil for one that is
// older than another. What is lacking is asked for at s.
func (c *crowd) report(n uint16, now time.Duration, h datagram.Header, missing []datagram.Missing, sent uint32, s *schedule) *member {
	m := c.members[n]
	if m == nil {
		m = &member{number: n, joined: sent, moved: now}
		c.members[n] = m
		c.order = append(c.order, m)
	}
	if h.Seq <= m.seq {
		return nil
	}
	if h.Flags&datagram.Ready != 0 && c.first == 0 {
		c.first = max(now, 1)
	}
	m.seq, m.heard = h.Seq, now
	m.flags |= h.Flags & (datagram.Ready | datagram.Done | datagram.Leaving)
	m.saw(now, min(h.Pos, sent), h.Time)
	m.whole, m.missing = m.whole[:0], 0
	partial := 0
	if m.flags&(datagram.Done|datagram.Leaving) == 0 && m.demoted == "" {
		partial = c.wants(m, missing, sent, s)
	}
	m.mark(now, s.closed(), partial)
	return m
}

// saw notes how far a receiver has come. What it says is believed only as far as it goes together.
func (m *member) saw(now time.Duration, hi, count uint32) {
	if hi <= m.hi {
		return
	}
	passed := hi - m.hi
	got := uint32(0)
	if count > m.count {
		got = min(count-m.count, passed)
	}
	if m.hi > 0 { // the first report says where it began
		m.lost += passed - got
		lost := float64(passed-got) / float64(passed)
		weight := float64(min(passed, 1024))
		if m.hi-m.joined > 1024 { // one gap says little of the next seconds: what is there already bounds what it adds
			lost = min(lost, 2*m.loss+0.02)
		}
		m.loss += (lost - m.loss) * max(weight/float64(hi-m.joined), weight/8192)
	} else {
		m.joined = hi
	}
	m.hi, m.count, m.moved = hi, max(count, m.count), now
}

// wants asks for what m misses, and returns how many blocks it has in part.
func (c *crowd) wants(m *member, missing []datagram.Missing, sent uint32, s *schedule) int {
	hurry := !m.suspect && float64(m.spent) <= m.credit(c.layout, sent)
	partial := 0
	for _, w := range missing {
		if w.First >= s.closed() {
			break
		}
		n := min(uint32(w.Blocks), s.closed()-w.First)
		m.missing += int(n)
		if s.cheaper(w.First, int(w.Symbols)) {
			m.whole = append(m.whole, datagram.Missing{First: w.First, Blocks: uint16(n), Symbols: w.Symbols})
			continue
		}
		for b := w.First; b < w.First+n && partial < maxAsked; b++ {
			k := s.k(b)
			lacks := min(int(w.Symbols), k)
			partial++
			s.ask(m, b, m.hi, c.dose(m, lacks, s), hurry && (lacks <= k/2))
		}
	}
	return partial
}

// dose is how many symbols are sent so that about lacks arrive. At the very end a few more are cheaper than one more report.
func (c *crowd) dose(m *member, lacks int, s *schedule) int {
	p := min(m.loss, 0.3)
	more := float64(lacks) * p / (1 - p)
	if s.sentOnce() && c.counts.waiting > 0 && len(s.soon) <= 4 && lacks < c.layout.K/4 {
		more += 2*more + 2
		return lacks + int(more)
	}
	return lacks + int(more+0.5)
}

// credit is how many symbols may be sent for m alone in a hurry: about as many as it can have lost. More it gets when nobody else
// has to wait.
func (m *member) credit(l multicast.Layout, sent uint32) float64 {
	return float64(2*l.K) + 1.3*float64(m.lost) + 0.02*float64(sent-min(m.joined, sent))
}

// mark notes where m stands, at most once in markEvery; in between the last mark moves.
func (m *member) mark(now time.Duration, closed uint32, partial int) {
	k := mark{now, m.hi, m.count, closed, partial}
	switch n := len(m.marks); {
	case n >= 2 && now-m.marks[n-2].at < markEvery:
		m.marks[n-1] = k
	case n == maxMarks:
		m.marks = append(slices.Delete(m.marks, 0, 1), k)
	default:
		m.marks = append(m.marks, k)
	}
}

// wanted is the next block from one on, and around, that is sent again because somebody has nothing of it.
func (c *crowd) wanted(s *schedule, from uint32) (uint32, bool) {
	block, ok := c.find(s, from)
	for _, m := range c.order {
		if b, has := m.lacksFrom(s, block); ok && has && b == block {
			m.resent++
		}
	}
	return block, ok
}

// find is wanted without consequences. What a receiver may have sent again is bounded: a ring that overflowed asks twice.
func (c *crowd) find(s *schedule, from uint32) (uint32, bool) {
	limit := int(s.blocks) + int(s.blocks)/2 + 16
	nearest, found := uint32(0), false
	for _, m := range c.order {
		if len(m.whole) == 0 || m.resent >= limit {
			continue
		}
		b, ok := m.lacksFrom(s, from)
		if !ok {
			b, ok = m.lacksFrom(s, 0)
		}
		// Those from from on come before those that are reached by going around.
		if ok && (!found || (b < from) == (nearest < from) && b < nearest || b >= from && nearest < from) {
			nearest, found = b, true
		}
	}
	return nearest, found
}

// lacksFrom is the first block from one on that m has nothing of, and that is not on its way to it.
func (m *member) lacksFrom(s *schedule, from uint32) (uint32, bool) {
	i, _ := slices.BinarySearchFunc(m.whole, from, func(w datagram.Missing, b uint32) int {
		if w.First+uint32(w.Blocks) <= b {
			return -1
		}
		return 1
	})
	for _, w := range m.whole[i:] {
		for b := max(w.First, from); b < w.First+uint32(w.Blocks); b++ {
			if s.resent == nil || s.resent[b] <= m.hi {
				return b, true
			}
		}
	}
	return 0, false
}

// away says that a receiver is none any more, whatever it reports.
func (m *member) away() bool { return m.demoted != "" || m.flags&datagram.Leaving != 0 }
