package sender

import (
	"fmt"
	"slices"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

const (
	tooLossy  = 0.30 // a receiver that loses more, while most do not, is left to HTTP
	outlier   = 0.15 // and that is as much more than most
	congested = 0.10 // loss that speaks for a rate that is too high
	judged    = 10   // reports before a receiver is judged
)

// sample is what a receiver, or the one in the middle of all, got of what was sent lately.
type sample struct {
	ok        bool
	loss      float64
	delivered float64 // payload bytes a second
	sent      float64 // likewise
}

// window is what m got during the last n intervals, or all that there are since its marks began; ok if those are n, and enough was sent
// to say something. Who hears nothing of what is sent loses all.
func (m *member) window(n int, symbol int, now time.Duration, sent uint32) sample {
	last := len(m.marks) - 1
	if last < n {
		return sample{}
	}
	from, to := m.marks[last-n], m.marks[last]
	if now-m.moved > time.Second && sent-min(sent, to.hi) > 128 {
		return sample{ok: true, loss: 1}
	}
	passed := to.hi - from.hi
	if passed < 32 || from.hi == 0 {
		return sample{}
	}
	got := min(to.count-from.count, passed)
	each := float64(symbol) / (to.at - from.at).Seconds()
	return sample{true, 1 - float64(got)/float64(passed), float64(got) * each, float64(passed) * each}
}

// usual is the loss of the one in the middle of m's last stretches of about half a block. Parity that goes out ahead is for what
// every block loses: a burst hits one of many, and the others would carry in vain what it alone needs.
func (m *member) usual() float64 {
	const stretch = 512
	var all []float64
	for i := len(m.marks) - 1; i > 0 && len(all) < 15; {
		j := i - 1
		for j > 0 && m.marks[i].hi-m.marks[j].hi < stretch {
			j--
		}
		passed := m.marks[i].hi - m.marks[j].hi
		if passed < stretch {
			break
		}
		all = append(all, 1-float64(min(m.marks[i].count-m.marks[j].count, passed))/float64(passed))
		i = j
	}
	if len(all) < 3 {
		return m.loss
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// tick draws the conclusions of all reports, ten times a second; it returns those that are told to leave. sent is the seq of the
// last datagram.
func (c *crowd) tick(now time.Duration, sent uint32, s *schedule) []*member {
	c.counts, c.worst = counts{}, 0
	var all []sample
	for _, m := range c.order {
		if m.away() {
			m.release()
			continue
		}
		if m.flags&datagram.Done != 0 {
			c.counts.done++
		}
		if now-m.heard > absent {
			if m.flags&(datagram.Ready|datagram.Done) == datagram.Ready {
				c.counts.lost++
			}
			m.release()
			continue
		}
		c.counts.heard++
		if m.flags&datagram.Ready == 0 {
			continue
		}
		c.counts.ready++
		if m.flags&datagram.Done != 0 {
			m.release()
			continue
		}
		c.counts.waiting++
		if w := m.window(judged-1, c.layout.Symbol, now, sent); w.ok {
			all = append(all, w)
		}
	}
	if 2*len(all) < c.counts.waiting {
		all = nil // a few that report a lot are not the middle of all
	}
	c.median = middle(all)
	var out []*member
	for _, m := range c.order {
		if m.away() || m.flags&(datagram.Ready|datagram.Done) != datagram.Ready || now-m.heard > absent {
			continue
		}
		if why := c.outlier(m, now, sent); why != "" {
			m.demoted = why
			m.release()
			s.forget(m)
			out = append(out, m)
			continue
		}
		w := m.window(2, c.layout.Symbol, now, sent)
		m.suspect = w.ok && w.loss > tooLossy && w.loss > c.median.loss+outlier
		if !m.suspect {
			c.worst = max(c.worst, min(m.loss, m.usual(), tooLossy))
		}
	}
	if c.rate.adapt(now, c.median) || now < c.rate.next {
		c.restart()
	}
	return out
}

// outlier says why m is to leave, or nothing.
func (c *crowd) outlier(m *member, now time.Duration, sent uint32) string {
	if w := m.window(judged, c.layout.Symbol, now, sent); w.ok && w.loss > tooLossy && w.loss > c.median.loss+outlier && m.steady() {
		return fmt.Sprintf("it loses %.0f %%, most lose %.0f %%", 100*w.loss, 100*c.median.loss)
	}
	// Who lacks parts of ever more blocks while it says that it gets what is sent is slower than the others or does not say the truth.
	const window = 3 * judged
	if last := len(m.marks) - 1; last >= window && c.median.loss <= congested {
		from, to := m.marks[last-window], m.marks[last]
		if sent := int(to.closed - from.closed); sent >= 8 && to.partial-from.partial > sent/2 {
			return fmt.Sprintf("it lacks parts of %d blocks, and ever more", to.partial)
		}
	}
	return ""
}

// steady says whether m lost much in most of the last reports, or hears nothing at all: somebody stumbled over a cable where it was once.
func (m *member) steady() bool {
	last := m.marks[len(m.marks)-1-judged:]
	if last[0].hi == last[judged].hi {
		return true
	}
	bad := 0
	for i, to := range last[1:] {
		from := last[i]
		if passed := float64(to.hi - from.hi); passed*(1-tooLossy) > float64(to.count-from.count) {
			bad++
		}
	}
	return bad > judged/2
}

// restart forgets how fast things went: they go otherwise from now on.
func (c *crowd) restart() {
	for _, m := range c.order {
		m.marks = m.marks[:0]
	}
}

// release gives back what is kept of who reports no more.
func (m *member) release() { m.whole, m.marks, m.missing, m.suspect = nil, nil, 0, false }

// middle is the sample in the middle by loss; of two, the better one.
func middle(all []sample) sample {
	if len(all) == 0 {
		return sample{}
	}
	slices.SortFunc(all, func(a, b sample) int {
		switch {
		case a.loss < b.loss:
			return -1
		case a.loss > b.loss:
			return 1
		}
		return 0
	})
	return all[(len(all)-1)/2]
}

// adaptation finds the rate that the receiver in the middle can take. Loss by itself says nothing: a bad cable loses 5 % at any
// rate, and parity pays for it. So a lower rate is tried, and where the loss stays what it was, the rate was not the reason.
type adaptation struct {
	ceiling float64 // payload bytes a second; the rate is never higher
	rate    float64
	base    float64 // loss that does not come of the rate
	tried   float64 // the loss before the rate was lowered, while that is on trial; else 0
	was     float64 // the rate then
	known   float64 // what was delivered when the rate was too high; near it the rate rises slowly
	next    time.Duration
}

// adapt takes the median of about a second, at each tick. It says whether what was measured until now is of another rate.
func (a *adaptation) adapt(now time.Duration, m sample) bool {
	if a.rate == 0 || a.rate > a.ceiling {
		a.rate = a.ceiling
	}
	if !m.ok || now < a.next || m.sent < a.rate/4 {
		return false // of the little that was sent nothing follows for the rate
	}
	switch {
	case a.tried > 0 && m.loss > 0.7*a.tried:
		a.base, a.rate, a.tried = m.loss, min(a.was, a.ceiling), 0
	case m.loss > a.base+congested:
		a.tried, a.was, a.known = m.loss, a.rate, m.delivered
		a.rate = max(0.97*m.delivered, a.ceiling/64, multicast.MinRate)
	case a.tried > 0 && a.known < a.was/64:
		// Nothing at all came, and now something does: the network was gone, and is back. The rate had no part in it.
		a.rate, a.tried = min(a.was, a.ceiling), 0
	default:
		a.tried = 0
		a.base = min(a.base, m.loss)
		step := 1.01
		switch {
		case a.known > 0 && a.rate > 0.95*a.known && a.rate < 1.1*a.known:
			step = 1.002
		case a.rate < 0.7*a.known:
			step = 1.03
		}
		a.rate = min(a.rate*step, a.ceiling)
		return false
	}
	// What is under way was sent at the former rate.
	a.next = now + 200*time.Millisecond
	return true
}
