package sender

import (
	"slices"
	"testing"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// What reports ask for, with what is under way left out.
func TestReportsMean(t *testing.T) {
	l := multicast.DefaultLayout()
	const ms = time.Millisecond
	type told struct {
		n       uint16
		seq, hi uint32
		missing []datagram.Missing
	}
	for _, c := range []struct {
		name       string
		sent       []run // of block 3, parity
		told       []told
		soon, late []uint32
		lacks      int // soon or late of block 3
		whole      uint32
		none       bool
	}{
		{name: "few symbols", told: []told{{1, 1, 5000, []datagram.Missing{{First: 3, Blocks: 1, Symbols: 5}}}},
			soon: []uint32{3}, lacks: 5, none: true},
		{name: "the most of two", told: []told{{1, 1, 5000, []datagram.Missing{{First: 3, Blocks: 1, Symbols: 5}}},
			{2, 1, 5000, []datagram.Missing{{First: 3, Blocks: 1, Symbols: 9}}}},
			soon: []uint32{3}, lacks: 9, none: true},
		{name: "an older report", told: []told{{1, 2, 5000, nil}, {1, 1, 5000,
			[]datagram.Missing{{First: 3, Blocks: 1, Symbols: 5}}}}, none: true},
		{name: "half is under way", sent: []run{{4990, 5}, {5010, 3}},
			told: []told{{1, 1, 5000, []datagram.Missing{{First: 3, Blocks: 1, Symbols: 5}}}}, soon: []uint32{3},
			lacks: 2, none: true},
		{name: "all is under way", sent: []run{{4999, 6}},
			told: []told{{1, 1, 4999, []datagram.Missing{{First: 3, Blocks: 1, Symbols: 5}}}}, none: true},
		{name: "a seq that is not sent yet", sent: []run{{5990, 5}},
			told: []told{{1, 1, 1 << 31, []datagram.Missing{{First: 3, Blocks: 1, Symbols: 5}}}}, soon: []uint32{3},
			lacks: 5, none: true},
		{name: "much", told: []told{{1, 1, 5000, []datagram.Missing{{First: 3, Blocks: 2, Symbols: 600}}}},
			late: []uint32{3, 4}, lacks: 600, none: true},
		{name: "all", told: []told{{1, 1, 5000, []datagram.Missing{{First: 3, Blocks: 2, Symbols: datagram.All}}}},
			whole: 3},
		{name: "nearly all", told: []told{{1, 1, 5000, []datagram.Missing{{First: 4, Blocks: 1, Symbols: 1000}}}},
			whole: 4},
		{name: "what is not closed", told: []told{{1, 1, 5000, []datagram.Missing{{First: 9, Blocks: 1, Symbols: 5},
			{First: 10, Blocks: 1, Symbols: datagram.All}}}}, soon: []uint32{9}, none: true},
		{name: "what does not exist", told: []told{{1, 1, 5000,
			[]datagram.Missing{{First: 1 << 31, Blocks: 65535, Symbols: 5}}}}, none: true},
		{name: "more than there is", told: []told{{1, 1, 5000,
			[]datagram.Missing{{First: 3, Blocks: 1, Symbols: 1025}}}}, whole: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSchedule(l, 20*l.Block(), func() float64 { return 0 })
			s.pass = s.walk(10)
			all := newReceivers(l)
			for _, r := range c.sent {
				for i := range r.n {
					s.noteSent(3, r.seq+i)
				}
			}
			for _, r := range c.told {
				all.report(r.n, 100*ms, datagram.Header{Flags: datagram.Ready, Seq: r.seq, Pos: r.hi},
					r.missing, 6000, s)
			}
			if !slices.Equal(s.urgent, c.soon) || !slices.Equal(s.deferred, c.late) {
				t.Errorf("mended are %v and later %v, want %v and %v", s.urgent, s.deferred, c.soon, c.late)
			}
			if w := s.requests[3]; c.lacks > 0 && w.urgent+w.deferred != c.lacks {
				t.Errorf("block 3 gets %d and later %d symbols, want %d", w.urgent, w.deferred, c.lacks)
			}
			if b, ok := all.nextWanted(s, 0); ok == c.none || b != c.whole {
				t.Errorf("block %d is sent again (%v), want %d", b, ok, c.whole)
			}
		})
	}
}

// Who is sent a block again is not sent it once more before it can have said that it did not come; the search goes
// around.
func TestWantedGoesAround(t *testing.T) {
	l := multicast.DefaultLayout()
	s := newSchedule(l, 20*l.Block(), func() float64 { return 0 })
	s.pass = s.walk(20)
	c := newReceivers(l)
	c.report(1, 0, datagram.Header{Seq: 1, Pos: 50, Flags: datagram.Ready},
		[]datagram.Missing{{First: 2, Blocks: 3, Symbols: datagram.All}}, 100, s)
	c.report(2, 0, datagram.Header{Seq: 1, Pos: 50, Flags: datagram.Ready},
		[]datagram.Missing{{First: 4, Blocks: 1, Symbols: datagram.All}, {First: 18, Blocks: 2,
			Symbols: datagram.All}}, 100, s)
	var got []uint32
	next := uint32(4)
	s.resentAt = make([]uint32, 20)
	for seq := uint32(101); ; seq++ {
		b, ok := c.nextWanted(s, next)
		if !ok {
			break
		}
		got = append(got, b)
		s.resentAt[b], next = seq, b+1
	}
	if want := []uint32{4, 18, 19, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("sent again are %v, want %v", got, want)
	}
	if c.byNumber[1].resent != 3 || c.byNumber[2].resent != 3 {
		t.Errorf("counted are %d and %d, want 3 and 3", c.byNumber[1].resent, c.byNumber[2].resent)
	}
}

// Symbols that were asked for by one who is told to leave are not sent.
func TestForget(t *testing.T) {
	l := multicast.DefaultLayout()
	s := newSchedule(l, 20*l.Block(), func() float64 { return 0 })
	s.pass = s.walk(20)
	a, b := &receiver{number: 1}, &receiver{number: 2}
	s.ask(a, 5, 0, 100, true)
	s.ask(b, 5, 0, 10, true)
	s.ask(a, 6, 0, 100, true)
	s.ask(a, 7, 0, 600, false)
	s.forget(a)
	if !slices.Equal(s.urgent, []uint32{5}) || len(s.deferred) > 0 || s.requests[5].urgent != 10 {
		t.Errorf("mended are %v and later %v, want [5] and none", s.urgent, s.deferred)
	}
}

// A block has so much parity and no more.
func TestParityEnds(t *testing.T) {
	l := multicast.DefaultLayout()
	s := newSchedule(l, l.Block(), func() float64 { return 0 })
	s.pass = s.walk(1)
	m := &receiver{number: 1}
	sent := 0
	none := func(uint32) (uint32, bool) { return 0, false }
	for round := range uint32(5) {
		s.ask(m, 0, round*1000, 400, true)
		for {
			if _, ok := s.pick(round*1000+uint32(sent), l.Block(), none); !ok {
				break
			}
			sent++
		}
	}
	if sent != l.R {
		t.Errorf("%d parity symbols are sent, want %d", sent, l.R)
	}
}

func TestUsualLoss(t *testing.T) {
	for _, c := range []struct {
		name string
		lost func(i int) uint32 // of the i-th 600 datagrams
		want float64
	}{
		{"all alike", func(int) uint32 { return 30 }, 0.05},
		{"bursts", func(i int) uint32 { return uint32(60 * (i % 4 / 3)) }, 0},
		{"two of three", func(i int) uint32 { return uint32(12 * min(i%3, 1)) }, 0.02},
	} {
		m := &receiver{loss: 0.5}
		var hi, count uint32 = 1, 1
		for i := range 20 {
			m.snapshots = append(m.snapshots, snapshot{highest: hi, received: count})
			hi, count = hi+600, count+600-c.lost(i)
		}
		if got := m.usualLoss(); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := (&receiver{loss: 0.5, snapshots: []snapshot{{highest: 1}, {highest: 2000}}}).usualLoss(); got != 0.5 {
		t.Errorf("of one stretch: %v, want the loss since the beginning", got)
	}
}
