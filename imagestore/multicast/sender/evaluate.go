package sender

import (
	"fmt"
	"slices"
	"time"

	"griddle/imagestore/multicast/datagram"
)

const (
	tooLossy      = 0.30 // a receiver that loses more than this, while most do not, is told to leave
	outlierLoss   = 0.15 // and it loses so much more than the median
	judgedReports = 10   // reports before a receiver is judged
)

// sample is what a receiver, or the median receiver, got of what was sent lately.
type sample struct {
	ok        bool
	loss      float64
	delivered float64 // payload bytes a second
	sent      float64 // likewise
}

// window is what m got during the last n intervals; ok if there are so many, and if enough was sent to judge. A
// receiver that hears nothing of what is sent loses all.
func (m *receiver) window(n int, symbol int, now time.Duration, sent uint32) sample {
	last := len(m.snapshots) - 1
	if last < n {
		return sample{}
	}
	from, to := m.snapshots[last-n], m.snapshots[last]
	if now-m.progressed > time.Second && sent-min(sent, to.highest) > 128 {
		return sample{ok: true, loss: 1}
	}
	passed := to.highest - from.highest
	if passed < 32 || from.highest == 0 {
		return sample{}
	}
	got := min(to.received-from.received, passed)
	each := float64(symbol) / (to.at - from.at).Seconds()
	return sample{true, 1 - float64(got)/float64(passed), float64(got) * each, float64(passed) * each}
}

// usualLoss is the median loss of m's last stretches of about half a block. Parity that is sent ahead is for what
// every block loses: a burst hits one block of many, and its parity would be wasted on the others.
func (m *receiver) usualLoss() float64 {
	const stretch = 512
	var all []float64
	for i := len(m.snapshots) - 1; i > 0 && len(all) < 15; {
		j := i - 1
		for j > 0 && m.snapshots[i].highest-m.snapshots[j].highest < stretch {
			j--
		}
		passed := m.snapshots[i].highest - m.snapshots[j].highest
		if passed < stretch {
			break
		}
		all = append(all, 1-float64(min(m.snapshots[i].received-m.snapshots[j].received, passed))/float64(passed))
		i = j
	}
	if len(all) < 3 {
		return m.loss
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// evaluate counts and judges all receivers, ten times a second; it returns those that are told to leave. sent is the
// seq of the last datagram.
func (c *receivers) evaluate(now time.Duration, sent uint32, s *schedule) []*receiver {
	c.counts, c.worstLoss = counts{}, 0
	var all []sample
	for _, m := range c.list {
		if m.gone() {
			c.counts.left++
			m.release()
			continue
		}
		if m.flags&datagram.Done != 0 {
			c.counts.done++
		}
		if now-m.heard > lostAfter {
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
		if w := m.window(judgedReports-1, c.layout.Symbol, now, sent); w.ok {
			all = append(all, w)
		}
	}
	if 2*len(all) < c.counts.waiting {
		all = nil // a few receivers do not give a median of all
	}
	c.median = medianOf(all)
	var out []*receiver
	for _, m := range c.list {
		if m.gone() || m.flags&(datagram.Ready|datagram.Done) != datagram.Ready || now-m.heard > lostAfter {
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
		m.lossy = w.ok && w.loss > tooLossy && w.loss > c.median.loss+outlierLoss
		if !m.lossy {
			c.worstLoss = max(c.worstLoss, min(m.loss, m.usualLoss(), tooLossy))
		}
	}
	if c.rate.update(now, c.median) || now < c.rate.settledAt {
		c.resetWindows()
	}
	return out
}

// outlier says why m must leave, or "" if it may stay.
func (c *receivers) outlier(m *receiver, now time.Duration, sent uint32) string {
	if w := m.window(judgedReports, c.layout.Symbol, now, sent); w.ok && w.loss > tooLossy &&
		w.loss > c.median.loss+outlierLoss && m.steadyLoss() {
		return fmt.Sprintf("it loses %.0f %%, most lose %.0f %%", 100*w.loss, 100*c.median.loss)
	}
	// A receiver that lacks parts of more and more blocks, and reports that it gets what is sent, is slower than the
	// others or lies.
	const window = 3 * judgedReports
	if last := len(m.snapshots) - 1; last >= window && c.median.loss <= congested {
		from, to := m.snapshots[last-window], m.snapshots[last]
		if sent := int(to.closed - from.closed); sent >= 8 && to.partial-from.partial > sent/2 {
			return fmt.Sprintf("it lacks parts of %d blocks, and of more each second", to.partial)
		}
	}
	return ""
}

// steadyLoss says whether m lost much in most of the last reports, or hears nothing at all. A single loss may be a
// cable that was moved.
func (m *receiver) steadyLoss() bool {
	last := m.snapshots[len(m.snapshots)-1-judgedReports:]
	if last[0].highest == last[judgedReports].highest {
		return true
	}
	bad := 0
	for i, to := range last[1:] {
		from := last[i]
		if passed := float64(to.highest - from.highest); passed*(1-tooLossy) > float64(to.received-from.received) {
			bad++
		}
	}
	return bad > judgedReports/2
}

// resetWindows forgets the measurements: rate or state changed.
func (c *receivers) resetWindows() {
	for _, m := range c.list {
		m.snapshots = m.snapshots[:0]
	}
}

// release frees the memory for a receiver that does not report any more.
func (m *receiver) release() { m.wholeBlocks, m.snapshots, m.missing, m.lossy = nil, nil, 0, false }

// medianOf is the median sample by loss; of two, the better one.
func medianOf(all []sample) sample {
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
