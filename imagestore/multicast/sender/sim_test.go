package sender

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// room is a session without sockets and in no time: the schedule, the receivers and the lifecycle as Run drives them,
// and receivers that lose what they are told to.
type room struct {
	t         testing.TB
	layout    multicast.Layout
	size      int64
	schedule  *schedule
	receivers *receivers
	lifecycle lifecycle
	seq       uint32
	now       time.Duration
	rand      *rand.Rand
	machines  []*machine
	ways      [reasons]int
	esis      map[symbol]bool
	queue     []waiting // reports under way
	data      time.Duration
	rates     []float64 // at each tick
}

type waiting struct {
	at      time.Duration
	n       uint16
	h       datagram.Header
	missing []datagram.Missing
}

// machine is a receiver.
type machine struct {
	n     uint16
	joins time.Duration
	drop  func(seq uint32, now time.Duration) bool
	// its reports arrive, whatever it hears
	speaks  bool
	lie     func(h *datagram.Header, missing []datagram.Missing) []datagram.Missing // may be nil
	own     []map[uint16]bool
	have    []int
	left    int // blocks
	hi      uint32
	count   uint32
	pos     uint32
	reports uint32
	next    time.Duration
	done    time.Duration
	over    bool // it was told to leave
	demoted time.Duration
}

func newRoom(t testing.TB, size int64, rate float64, seed uint64) *room {
	l := multicast.DefaultLayout()
	r := &room{t: t, layout: l, size: size, rand: rand.New(rand.NewPCG(seed, 1)), esis: map[symbol]bool{}}
	r.receivers = newReceivers(l)
	r.receivers.rate.ceiling, r.receivers.rate.rate = rate, rate
	r.schedule = newSchedule(l, size, func() float64 { return r.receivers.worstLoss / (1 - r.receivers.worstLoss) })
	r.lifecycle = lifecycle{gather: time.Second, linger: 5 * time.Second, state: datagram.Gathering}
	return r
}

func (r *room) add(joins time.Duration, drop func(seq uint32, now time.Duration) bool) *machine {
	v := &machine{n: uint16(len(r.machines) + 1), joins: joins, next: joins, drop: drop, left: r.layout.Blocks(r.size)}
	v.own, v.have = make([]map[uint16]bool, v.left), make([]int, v.left)
	r.machines = append(r.machines, v)
	return v
}

// lossy drops a share of everything at random.
func (r *room) lossy(p float64) func(uint32, time.Duration) bool {
	return func(uint32, time.Duration) bool { return r.rand.Float64() < p }
}

// run goes on until the session is closed.
func (r *room) run() {
	var tick, beat time.Duration
	for r.lifecycle.state != datagram.Closed {
		if r.now > 20*time.Minute {
			r.t.Fatalf("the session does not end: %v, %+v", r.lifecycle.state, r.receivers.counts)
		}
		for len(r.queue) > 0 && r.queue[0].at <= r.now {
			q := r.queue[0]
			r.queue = r.queue[1:]
			m := r.receivers.report(q.n, r.now, q.h, q.missing, r.seq, r.schedule)
			if v := r.machines[q.n-1]; m != nil && m.demoted != "" && v.demoted == 0 {
				v.demoted, v.over = r.now, true
			}
		}
		if r.now >= tick {
			tick = r.now + tickInterval
			r.receivers.evaluate(r.now, r.seq, r.schedule)
			r.schedule.sweep(r.seq - min(r.seq, 65536))
			r.rates = append(r.rates, r.receivers.rate.rate)
		}
		_, more := r.receivers.findWanted(r.schedule, r.schedule.repeatFrom)
		more = more || len(r.schedule.urgent)+len(r.schedule.deferred) > 0 || r.schedule.repeating ||
			r.schedule.mayContinue(r.size)
		was := r.lifecycle.state
		r.lifecycle.step(r.now, conditions{r.receivers.counts, r.receivers.firstReady, r.schedule.sentOnce(), !more})
		if r.lifecycle.state != was {
			r.receivers.resetWindows()
		}
		sending := r.lifecycle.state == datagram.Running || r.lifecycle.state == datagram.Repairing
		if sending && more {
			sym, ok := r.schedule.pick(r.seq+1, r.size, func(from uint32) (uint32, bool) {
				return r.receivers.nextWanted(r.schedule, from)
			})
			if ok {
				r.seq++
				r.send(sym)
				r.now += time.Duration(float64(r.layout.Symbol) / r.receivers.rate.rate * float64(time.Second))
				r.data = r.now
			}
		} else {
			r.now += 5 * time.Millisecond
		}
		every := multicast.HeartbeatInterval
		if sending && r.now-r.data < time.Second {
			every = lastHeartbeats
		}
		if r.now-max(beat, r.data) >= every {
			beat = r.now
			r.seq++
			for _, v := range r.machines {
				v.take(r, nil)
			}
		}
		for _, v := range r.machines {
			v.report(r)
		}
	}
}

func (r *room) send(sym symbol) {
	r.ways[sym.reason]++
	key := symbol{block: sym.block, esi: sym.esi}
	if r.esis[key] && sym.reason != resend {
		r.t.Fatalf("symbol %d of block %d is sent twice (%d)", sym.esi, sym.block, sym.reason)
	}
	if k := r.schedule.k(sym.block); int(sym.esi) >= k+r.layout.R || (sym.reason == repair) != (int(sym.esi) >= k) {
		r.t.Fatalf("symbol %d of block %d, of %d, is sent as %d", sym.esi, sym.block, k, sym.reason)
	}
	r.esis[key] = true
	for _, v := range r.machines {
		v.take(r, &sym)
	}
}

func (v *machine) take(r *room, sym *symbol) {
	if v.over || r.now < v.joins || v.drop(r.seq, r.now) {
		return
	}
	v.hi, v.pos = r.seq, r.schedule.closed()
	v.count++
	if sym == nil || v.have[sym.block] == r.schedule.k(sym.block) {
		return
	}
	if k := r.schedule.k(sym.block); int(sym.esi) < k {
		if v.own[sym.block] == nil {
			v.own[sym.block] = map[uint16]bool{}
		}
		if v.own[sym.block][sym.esi] {
			return
		}
		v.own[sym.block][sym.esi] = true
	}
	v.have[sym.block]++
	if v.have[sym.block] == r.schedule.k(sym.block) {
		v.own[sym.block] = nil
		if v.left--; v.left == 0 {
			v.done = r.now
		}
	}
}

func (v *machine) report(r *room) {
	if r.now < v.next || v.over {
		return
	}
	v.next = r.now + multicast.ReportInterval + time.Duration(r.rand.IntN(10))*time.Millisecond
	v.reports++
	h := datagram.Header{Type: datagram.Report, Flags: datagram.Ready, Seq: v.reports, Pos: v.hi, Time: v.count}
	if v.left == 0 {
		h.Flags |= datagram.Done
	}
	var missing []datagram.Missing
	for b := range v.pos {
		lacks := r.schedule.k(b) - v.have[b]
		if lacks == 0 {
			continue
		}
		if v.have[b] == 0 {
			lacks = datagram.All
		}
		if n := len(missing); n > 0 && missing[n-1].Symbols == uint16(lacks) &&
			missing[n-1].First+uint32(missing[n-1].Blocks) == b {
			missing[n-1].Blocks++
			continue
		}
		missing = append(missing, datagram.Missing{First: b, Blocks: 1, Symbols: uint16(lacks)})
	}
	if v.lie != nil {
		missing = v.lie(&h, missing)
	}
	if v.speaks || !v.drop(r.seq, r.now) { // reports are lost as data is
		r.queue = append(r.queue,
			waiting{r.now + time.Millisecond, v.n, h, missing[:min(len(missing), datagram.MaxMissing)]})
	}
}

// times is all that was sent, as a share of the encoding.
func (r *room) times() float64 {
	return float64(r.ways[firstTime]+r.ways[repair]+r.ways[resend]) * float64(r.layout.Symbol) / float64(r.size)
}

const ( // of a frame of 1486 bytes, of which 1408 are payload
	framing = 1486.0 / 1408
	testMB  = 1 << 20
)

// The goals for bytes and time, without the machine that they are measured on.
func TestSimulatedLoss(t *testing.T) {
	const size, rate = 100*testMB + 12345, 10e6
	for _, c := range []struct {
		n     int
		loss  float64
		bytes float64 // on the wire, as a share of the file
	}{
		{2, 0, 1.066}, {4, 0.01, 1.10}, {8, 0.01, 1.10}, {4, 0.05, 1.15}, {8, 0.05, 1.15},
		{4, 0.20, 1.5}, {64, 0.05, 1.18},
	} {
		t.Run(fmt.Sprintf("%d receivers lose %v", c.n, c.loss), func(t *testing.T) {
			r := newRoom(t, size, rate, 7)
			for range c.n {
				r.add(0, r.lossy(c.loss))
			}
			r.run()
			last := time.Duration(0)
			for _, v := range r.machines {
				if v.left > 0 {
					t.Errorf("receiver %d: %d blocks are missing; demoted %v", v.n, v.left, v.demoted)
				}
				last = max(last, v.done-r.lifecycle.began)
			}
			got := r.times() * framing
			limit := time.Duration((1.05*size/rate/(1-c.loss) + 1) * float64(time.Second))
			t.Logf("%.3f of the file on the wire, last done after %v (limit %v), closed %v later; %v", got, last,
				limit, r.now-last-r.lifecycle.began, r.ways)
			if got > c.bytes {
				t.Errorf("%.3f of the file on the wire, want at most %v", got, c.bytes)
			}
			if last > limit {
				t.Errorf("the last one is done after %v, want %v", last, limit)
			}
		})
	}
}
