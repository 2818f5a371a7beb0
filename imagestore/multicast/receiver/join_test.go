package receiver

import (
	"bytes"
	"testing"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// What a receiver waits for, and for how long, until it takes HTTP.
func TestLeftToHTTP(t *testing.T) {
	type heard struct {
		what  datagram.State // of a heartbeat; 0 is a symbol of block 4
		after time.Duration
	}
	for _, c := range []struct {
		name  string
		pos   uint32
		first []heard
		ask   time.Duration // goes on every 100 ms for so long
		want  []int         // of the blocks that are closed, those that are left to HTTP
	}{
		{"running: whole blocks come when all was sent once", 3, []heard{{datagram.Running, 0}}, time.Minute, nil},
		{"gathering", 5, []heard{{datagram.Gathering, 0}}, time.Minute, nil},
		{"held by an operator", 5, []heard{{datagram.Held, 0}}, time.Minute, nil},
		{"lingering: it could, and does not", 5, []heard{{datagram.Lingering, 0}}, time.Second, []int{0, 1, 2, 3, 4}},
		{"lingering, just asked", 5, []heard{{datagram.Lingering, 0}}, 300 * time.Millisecond, nil},
		{"repairing: others may come first", 5, []heard{{datagram.Repairing, 0}}, 10 * time.Second, nil},
		{"repairing without end", 5, []heard{{datagram.Repairing, 0}}, 25 * time.Second, []int{0, 1, 2, 3, 4}},
		// A sender that sends has no time for heartbeats.
		{"it lingered, and sends again", 5, []heard{{datagram.Lingering, 0}, {0, time.Second}}, time.Second, nil},
		{"it was held, and sends again", 5, []heard{{datagram.Held, 0}, {0, time.Second}}, time.Minute,
			[]int{0, 1, 2, 3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newInsider(t, 5*512)
			for _, h := range c.first {
				i.at = i.at.Add(h.after)
				if h.what == 0 {
					i.say(datagram.Header{Type: datagram.Data, Block: 4, ESI: 3, Pos: c.pos},
						i.data[4*512+3*64:4*512+4*64])
					continue
				}
				i.say(datagram.Header{Type: datagram.Heartbeat, Pos: c.pos}, datagram.Status{State: h.what}.Append(nil))
			}
			for end := i.at.Add(c.ask); i.at.Before(end); i.at = i.at.Add(multicast.ReportInterval) {
				i.m.watch(i.m.collector.missing(nil, 0, i.m.announced.pos, func(n int) bool {
					return !i.m.fallback.has(n)
				}), i.at)
			}
			var got []int
			for n := range 5 {
				if i.m.fallback.has(n) {
					got = append(got, n)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("left to HTTP are %v, want %v", got, c.want)
			}
		})
	}
}

// What comes is what resets the time-out: a symbol a second is little, and enough.
func TestLimitStartsAgain(t *testing.T) {
	i := newInsider(t, 2*512)
	i.say(datagram.Header{Type: datagram.Heartbeat, Pos: 2}, datagram.Status{State: datagram.Repairing}.Append(nil))
	for esi := range 7 {
		i.say(datagram.Header{Type: datagram.Data, Block: 0, ESI: uint16(esi), Pos: 2}, i.data[esi*64:(esi+1)*64])
		for range 15 {
			i.at = i.at.Add(multicast.ReportInterval)
			i.m.watch(i.m.collector.missing(nil, 0, i.m.announced.pos,
				func(n int) bool { return n == 0 && !i.m.fallback.has(0) }), i.at)
		}
	}
	if i.m.fallback.has(0) {
		t.Error("a block that grows was left to HTTP")
	}
	for range 15 {
		i.at = i.at.Add(multicast.ReportInterval)
		i.m.watch(i.m.collector.missing(nil, 0, i.m.announced.pos,
			func(n int) bool { return n == 0 && !i.m.fallback.has(0) }), i.at)
	}
	if !i.m.fallback.has(0) || i.m.collector.symbols(0) != 0 {
		t.Errorf("a block that does not grow: byHTTP %v, %d symbols kept", i.m.fallback.has(0),
			i.m.collector.symbols(0))
	}
}

func TestOutcome(t *testing.T) {
	const never = 100 * time.Hour
	for _, c := range []struct {
		name   string
		before func(i *insider)
		after  time.Duration
		want   Outcome
	}{
		{"just joined", func(*insider) {}, multicast.UnheardAfter, 0},
		{"nothing came", func(*insider) {}, multicast.UnheardAfter + 1, Unheard},
		{"heard", func(i *insider) { i.block(0, 0) }, multicast.Silence, 0},
		{"silent", func(i *insider) { i.block(0, 0) }, multicast.Silence + 1, Silent},
		{"end", func(i *insider) {
			i.say(datagram.Header{Type: datagram.End}, datagram.Status{State: datagram.Closed}.Append(nil))
		}, 0, Ended},
		{"closed", func(i *insider) {
			i.say(datagram.Header{Type: datagram.Heartbeat}, datagram.Status{State: datagram.Closed}.Append(nil))
		}, 0, Ended},
		{"an old end", func(i *insider) {
			i.seq = 50
			i.block(0, 0)
			i.seq = 10
			i.say(datagram.Header{Type: datagram.End}, datagram.Status{State: datagram.Closed}.Append(nil))
		}, 0, 0},
		{"complete", func(i *insider) {
			for n := range 3 {
				i.block(n, 0)
			}
		}, never, Complete},
		{"complete by HTTP", func(i *insider) {
			for n := range 3 {
				i.d.buffer.put(n, i.data[n*512:(n+1)*512])
			}
		}, never, Complete},
		{"complete, and an end", func(i *insider) {
			for n := range 3 {
				i.block(n, 0)
			}
			i.say(datagram.Header{Type: datagram.End}, datagram.Status{State: datagram.Closed}.Append(nil))
		}, 0, Complete},
		// One block is enough for as long as it is repeated by whoever heard it.
		{"replayed", func(i *insider) {
			b := i.m.group.Seal(nil, datagram.Header{Type: datagram.Data, Seq: 1}, i.data[:64])
			for range 100 {
				i.m.handle(nil, b, i.at)
				i.m.listened(100 * time.Millisecond)
			}
		}, 0, Silent},
		{"without a number, replayed", func(i *insider) {
			b := i.m.group.Seal(nil, datagram.Header{Type: datagram.Data, Seq: 0}, i.data[:64])
			for range 100 {
				i.m.handle(nil, b, i.at)
				i.m.listened(100 * time.Millisecond)
			}
		}, 0, Unheard},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := newInsider(t, 3*512)
			c.before(i)
			i.m.listened(c.after)
			if got := i.m.outcome(); got != c.want {
				t.Errorf("outcome() = %v, want %v", got, c.want)
			}
		})
	}
}

// Each seq counts once, in whatever order, and what is long past not at all.
func TestSequence(t *testing.T) {
	for _, c := range []struct {
		name string
		seqs []uint32
		want []bool
		lost uint32
	}{
		{"in order", []uint32{1, 2, 3}, []bool{true, true, true}, 0},
		{"disorder", []uint32{3, 1, 2}, []bool{true, true, true}, 0},
		{"gap", []uint32{5, 8}, []bool{true, true}, 2},
		{"repeated", []uint32{5, 5, 6, 5, 6}, []bool{true, false, true, false, false}, 0},
		{"none", []uint32{0, 0, 1, 0}, []bool{false, false, true, false}, 0},
		{"long past", []uint32{1 << 20, 1<<20 - seqWindow, 1<<20 - seqWindow + 1},
			[]bool{true, false, true}, seqWindow - 2},
		{"a jump forgets", []uint32{1, 1 + seqWindow, 1, 2, 2}, []bool{true, true, false, true, false}, seqWindow - 2},
		{"to the end", []uint32{1<<32 - 2, 1<<32 - 1, 1<<32 - 1, 1}, []bool{true, true, false, false}, 0},
		{"around", []uint32{seqWindow - 1, seqWindow, seqWindow + 1, 2}, []bool{true, true, true, true}, seqWindow - 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q sequence
			for n, seq := range c.seqs {
				if got := q.add(seq); got != c.want[n] {
					t.Errorf("add(%d), number %d = %v", seq, n, got)
				}
			}
			if lost := q.lost(); lost != c.lost {
				t.Errorf("%d are lost, want %d", lost, c.lost)
			}
		})
	}
}

func TestProgressCounts(t *testing.T) {
	i := newInsider(t, 2*512)
	i.block(0, 0)
	i.m.tellProgress()
	if p := i.d.Progress(); p.Multicast != 512 || p.Loss != 0 || p.Repair != 0 || p.Way != "multicast" {
		t.Errorf("progress is %+v", p)
	}
	i.seq += 9 // a few are lost
	i.say(datagram.Header{Type: datagram.Data, Block: 1, ESI: 1, Pos: 1}, i.data[512+64:512+128])
	i.m.tellProgress()
	if p := i.d.Progress(); p.Multicast != 512 || p.Loss != 0.5 {
		t.Errorf("progress is %+v, want a loss of a half", p)
	}
	if !bytes.Equal(i.d.buffer.memory[0], i.data[:512]) {
		t.Error("the block is another")
	}
}
