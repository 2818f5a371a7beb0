package receiver

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// announced is what the sender said last about its session.
type announced struct {
	pos     int // blocks that were sent once
	status  datagram.Status
	ended   Outcome // why the session is over for this receiver, or 0
	verdict uint32  // highest seq of a verdict
}

// sends notes that data came. A sender that has work announces its state once a second only, and until then it would
// look as if it lingered and did not do what it is asked for.
func (a *announced) sends() {
	switch a.status.State {
	case datagram.Gathering, datagram.Held:
		a.status.State = datagram.Running
	case datagram.Lingering:
		a.status.State = datagram.Repairing
	}
}

// idle says whether the sender waits for something.
func (a *announced) idle() bool {
	return a.status.State == datagram.Lingering || a.status.State == datagram.Held
}

// limit is how long blocks may be asked for in vain; 0 means that they are not late.
func (a *announced) limit(e datagram.Missing, blocks int) time.Duration {
	switch state := a.status.State; {
	case state == datagram.Lingering:
		return 500 * time.Millisecond // it has nothing to do, and does not send them
	case state == datagram.Gathering || state == datagram.Held || a.pos < blocks && e.Symbols == datagram.All:
		return 0
	case e.Symbols != datagram.All:
		return 2 * time.Second
	}
	return 20 * time.Second // whole blocks come after everything was sent once
}

// report reports what is missing to the sender, and returns when to report again.
func (m *membership) report(flags uint8) time.Duration {
	left, next := m.d.buffer.missing()
	m.mu.Lock()
	now := time.Now()
	list := m.collector.missing(nil, next, m.announced.pos,
		func(i int) bool { return !m.fallback.has(i) && m.d.buffer.wants(i) })
	m.watch(list, now)
	m.reports++
	if left == 0 {
		flags |= datagram.Done
	}
	h := datagram.Header{
		Type: datagram.Report, Flags: flags | datagram.Ready, Seq: m.reports, Block: uint32(next), ESI: m.s.Receiver,
		Pos: m.seqs.last, Time: m.seqs.received,
	}
	last := m.announced.pos >= m.collector.blocks() && left <= 4
	idle := len(list) == 0 && m.announced.idle()
	b := m.own.Seal(nil, h, datagram.AppendMissing(nil, list))
	m.mu.Unlock()
	// A sender that is gone refuses it (ICMP); its silence shows that it is gone. A network that takes nothing must
	// not hold this up, for the same reason.
	m.sock.reports.SetWriteDeadline(now.Add(multicast.ReportInterval))
	_, _ = m.sock.reports.Write(b)
	every := multicast.ReportInterval
	switch {
	case last && len(list) > 0:
		every /= 5
	case idle:
		every *= 3
	}
	return every + rand.N(every/10)
}

// watch leaves to HTTP what was asked for in vain.
func (m *membership) watch(list []datagram.Missing, now time.Time) {
	limit := func(e datagram.Missing) time.Duration { return m.announced.limit(e, m.collector.blocks()) }
	for _, i := range m.fallback.watch(list, now, m.collector.symbols, limit) {
		m.collector.drop(i)
	}
}

// readVerdicts reads what the sender answers this receiver alone, until ctx ends.
func (m *membership) readVerdicts(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { m.sock.reports.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, 2048)
	for ctx.Err() == nil {
		n, err := m.sock.reports.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// No sender listens there any more; the deadline that ends this comes with ctx.
			select {
			case <-ctx.Done():
			case <-time.After(multicast.ReportInterval):
			}
			continue
		}
		h, payload, err := m.own.Open(nil, b[:n])
		if err != nil || h.Type != datagram.Verdict || h.ESI != m.s.Receiver {
			continue
		}
		st, err := datagram.ParseStatus(payload)
		m.mu.Lock()
		if err == nil && h.Seq > m.announced.verdict {
			m.announced.verdict = h.Seq
			switch st.State {
			case datagram.Demoted:
				m.announced.ended = Demoted
			case datagram.Closed:
				m.announced.ended = Ended
			}
		}
		m.mu.Unlock()
	}
}

// leave reports the end three times: a report may be lost, and a sender waits for receivers that did not report theirs.
func (m *membership) leave(out Outcome) {
	flags := datagram.Leaving
	if out == Complete {
		flags = datagram.Done
	}
	for range 3 {
		m.report(flags)
		time.Sleep(5 * time.Millisecond)
	}
}
