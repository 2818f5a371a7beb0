package sender

import (
	"fmt"
	"testing"
	"time"

	"griddle/imagestore/multicast/datagram"
)

// port is a switch's port of so many bytes a second, with a buffer of 200 kB.
func (r *room) port(rate float64) func(uint32, time.Duration) bool {
	var level float64
	var last time.Duration
	return func(_ uint32, now time.Duration) bool {
		level = max(0, level-rate*(now-last).Seconds())
		last = now
		if level += float64(r.layout.Symbol); level > 200e3 {
			level -= float64(r.layout.Symbol)
			return true
		}
		return false
	}
}

// alone is when everybody is done in a room of the same three receivers alone.
func alone(t *testing.T, size int64, rate, loss float64) time.Duration {
	r := newRoom(t, size, rate, 3)
	for range 3 {
		r.add(0, r.lossy(loss))
	}
	r.run()
	return r.last(3)
}

// last is when the last of the first n receivers was done, after the session began.
func (r *room) last(n int) time.Duration {
	var last time.Duration
	for _, v := range r.machines[:n] {
		if v.left > 0 {
			r.t.Errorf("receiver %d: %d blocks are missing; demoted %v", v.n, v.left, v.demoted)
		}
		last = max(last, v.done-r.lifecycle.began)
	}
	return last
}

// What one receiver does costs the others next to nothing, and the session ends.
func TestSimulatedTrouble(t *testing.T) {
	const size, rate = 100 * testMB, 10e6
	before := alone(t, size, rate, 0.01)
	for _, c := range []struct {
		name    string
		fourth  func(r *room) *machine
		demoted bool
		others  float64 // of the time without the fourth
		total   float64 // of the file, at most
		done    bool
	}{
		{name: "a port of a fifth of the rate", fourth: func(r *room) *machine { return r.add(0, r.port(rate/5)) },
			demoted: true, others: 1.05, total: 1.2},
		{name: "loses a quarter", fourth: func(r *room) *machine { return r.add(0, r.lossy(0.25)) }, others: 1.45,
			total: 1.5, done: true},
		{name: "dies", fourth: func(r *room) *machine {
			return r.add(0, func(_ uint32, now time.Duration) bool { return now > 4*time.Second })
		}, others: 1.05, total: 1.1},
		{name: "hears nothing for three seconds", fourth: func(r *room) *machine {
			return r.add(0, func(_ uint32, now time.Duration) bool {
				return now > 4*time.Second && now < 7*time.Second
			})
		}, others: 1.05, total: 1.5, done: true},
		{name: "comes half-way", fourth: func(r *room) *machine { return r.add(6*time.Second, r.lossy(0.01)) },
			others: 1.05, total: 1.6, done: true},
		{name: "hears nothing but reports", fourth: func(r *room) *machine {
			v := r.add(0, r.lossy(1))
			v.speaks = true
			return v
		}, demoted: true, others: 1.05, total: 2.2},
		{name: "asks for half of each block", fourth: func(r *room) *machine {
			v := r.add(0, r.lossy(0))
			v.lie = func(h *datagram.Header, _ []datagram.Missing) []datagram.Missing {
				h.Flags &^= datagram.Done
				return []datagram.Missing{{First: 0, Blocks: 65535, Symbols: 512}}
			}
			return v
		}, demoted: true, others: 1.05, total: 2.2},
		{name: "has nothing of anything, ever", fourth: func(r *room) *machine {
			v := r.add(0, r.lossy(0))
			v.lie = func(h *datagram.Header, _ []datagram.Missing) []datagram.Missing {
				h.Flags &^= datagram.Done
				return []datagram.Missing{{First: 0, Blocks: 65535, Symbols: datagram.All}}
			}
			return v
		}, others: 1.05, total: 3.0},
		{name: "is ahead of its time", fourth: func(r *room) *machine {
			v := r.add(0, r.lossy(0))
			v.lie = func(h *datagram.Header, _ []datagram.Missing) []datagram.Missing {
				h.Flags &^= datagram.Done
				h.Pos, h.Time = 1<<32-1, 0
				return []datagram.Missing{{First: 0, Blocks: 65535, Symbols: 1},
					{First: 1 << 31, Blocks: 3, Symbols: 9}}
			}
			return v
		}, demoted: true, others: 1.05, total: 2.2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, size, rate, 3)
			for range 3 {
				r.add(0, r.lossy(0.01))
			}
			v := c.fourth(r)
			r.run()
			last := r.last(3)
			t.Logf("others done after %v, %.3f of %v; the fourth after %v, demoted %v, %d blocks missing; "+
				"%.3f of the file sent, %v; closed at %v: %s",
				last, last.Seconds()/before.Seconds(), before,
				v.done-max(v.joins, r.lifecycle.began), v.demoted, v.left,
				r.times(), r.ways, r.now, r.lifecycle.why)
			if got := last.Seconds() / before.Seconds(); got > c.others {
				t.Errorf("the others take %.3f of their time, want at most %v", got, c.others)
			}
			if r.times() > c.total {
				t.Errorf("%.3f of the file is sent, want at most %v", r.times(), c.total)
			}
			if (v.demoted > 0) != c.demoted || c.done != (v.left == 0) && v.lie == nil {
				t.Errorf("the fourth is demoted %v, and %d blocks are missing", v.demoted, v.left)
			}
			if limit := 1.10 * size / rate; c.name == "comes half-way" && (v.done-v.joins).Seconds() > limit {
				t.Errorf("who comes half-way is done after %v, want %.1f s", v.done-v.joins, limit)
			}
		})
	}
}

// Where all ports are slow the rate becomes theirs; where a network is bad at any rate it stays.
func TestSimulatedRate(t *testing.T) {
	const size, rate = 100 * testMB, 10e6
	for _, c := range []struct {
		name  string
		drop  func(r *room) func(uint32, time.Duration) bool
		time  float64 // of what the limit would take
		limit float64
		total float64
	}{
		{"ports of half the rate", func(r *room) func(uint32, time.Duration) bool { return r.port(rate / 2) }, 1.25,
			rate / 2, 1.25},
		{"a loss of a fifth", func(r *room) func(uint32, time.Duration) bool { return r.lossy(0.2) },
			1.15, rate * 0.8, 1.4},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, size, rate, 5)
			for range 4 {
				r.add(0, c.drop(r))
			}
			r.run()
			last := r.last(4)
			t.Logf("done after %v, %.3f of the limit; %.3f of the file sent; rates %.0f", last,
				last.Seconds()*c.limit/size, r.times(), every(r.rates, 10))
			if got := last.Seconds() * c.limit / size; got > c.time || r.times() > c.total {
				t.Errorf("it takes %.3f of the limit and %.3f of the file, want at most %v and %v", got,
					r.times(), c.time, c.total)
			}
		})
	}
}

func every(all []float64, n int) []float64 {
	var out []float64
	for i := 0; i < len(all); i += n {
		out = append(out, all[i]/1000)
	}
	return out
}

// BenchmarkReports is 1,000 receivers' reports: each op is one of them, when three blocks lack something each. At ten
// a second from each of 1,000 receivers, 10,000 ns are one core whole.
func BenchmarkReports(b *testing.B) {
	for _, lists := range []int{0, 3, datagram.MaxMissing} {
		b.Run(fmt.Sprintf("%d entries", lists), func(b *testing.B) {
			r := newRoom(b, 10_000*testMB, 10e6, 1)
			r.schedule.pass = r.schedule.walk(5000)
			var missing []datagram.Missing
			for i := range lists {
				missing = append(missing,
					datagram.Missing{First: uint32(4000 + 2*i), Blocks: 1, Symbols: uint16(i%50 + 1)})
			}
			seq := uint32(0)
			for i := 0; b.Loop(); i++ {
				if i%1000 == 0 {
					seq++
					r.now += 100 * time.Millisecond
					r.receivers.evaluate(r.now, r.seq, r.schedule)
					for range 800 {
						r.seq++
						r.schedule.pick(r.seq, r.size, func(from uint32) (uint32, bool) {
							return r.receivers.nextWanted(r.schedule, from)
						})
					}
				}
				h := datagram.Header{Flags: datagram.Ready, Seq: seq, Pos: r.seq, Time: r.seq - r.seq/20}
				r.receivers.report(uint16(i%1000), r.now, h, missing, r.seq, r.schedule)
			}
		})
	}
}
