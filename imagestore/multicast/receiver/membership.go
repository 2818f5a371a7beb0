package receiver

import (
	"errors"
	"net"
	"sync"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// membership is one receiver in one session.
type membership struct {
	d     *Download
	s     multicast.Session
	group *datagram.Key // opens what the sender sends to all
	own   *datagram.Key // for reports and verdicts
	sock  *socket

	mu        sync.Mutex
	collector *collector
	seqs      sequence
	silence   silence
	announced announced
	fallback  fallback
	recent    recent
	reports   uint32 // seq of the last report
}

// recent is what came since the progress was told last.
type recent struct {
	blocks, parity int64 // bytes
	any            bool
}

// newMembership makes a membership without sockets. The code's tables are made here, before the sender hears that
// this receiver is ready: they take longer than a session can wait.
func newMembership(d *Download, s multicast.Session, h multicast.Hashes) (*membership, error) {
	m := &membership{d: d, s: s, fallback: newFallback()}
	var err error
	if m.collector, err = newCollector(s, h); err != nil {
		return nil, err
	}
	if m.group, err = datagram.NewKey(s.Key, uint64(s.ID)); err != nil {
		return nil, err
	}
	if m.own, err = datagram.NewKey(s.ReceiverKey, uint64(s.ID)); err != nil {
		return nil, err
	}
	return m, nil
}

// open opens the sockets, and joins the group on the interface ifi.
func (m *membership) open(ifi *net.Interface) (err error) {
	m.sock, err = openSocket(m.s, ifi)
	return err
}

// outcome says whether the session is over for this receiver, and as what; 0 if it is not.
func (m *membership) outcome() Outcome {
	left, _ := m.d.buffer.missing()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case left == 0:
		return Complete
	case m.announced.ended != 0:
		return m.announced.ended
	case m.collector.bad >= pollutedBlocks:
		return Polluted
	}
	return m.silence.over()
}

// handle takes in one datagram from the sender's address. Whatever is wrong with it, it is dropped.
func (m *membership) handle(scratch, b []byte, now time.Time) []byte {
	h, payload, err := m.group.Open(scratch, b)
	if err != nil {
		return scratch
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.seqs.add(h.Seq) {
		return payload[:0]
	}
	m.silence = silence{heard: now}
	newest := h.Seq == m.seqs.last
	if newest {
		m.announced.pos = max(m.announced.pos, min(int(h.Pos), m.collector.blocks()))
	}
	switch h.Type {
	case datagram.Data:
		if newest {
			m.announced.sends()
		}
		m.data(h, payload)
	case datagram.Heartbeat, datagram.End:
		if st, err := datagram.ParseStatus(payload); err == nil && newest {
			m.state(h.Type, st)
		}
	}
	return payload[:0]
}

// state takes in the sender's newest state.
func (m *membership) state(t datagram.Type, st datagram.Status) {
	m.announced.status = st
	if t == datagram.End || st.State == datagram.Closed {
		m.announced.ended = Ended
	}
	m.d.tell(func(p *Progress) {
		p.State, p.Receivers, p.Wait = st.State, int(st.Receivers), time.Duration(st.Wait)*time.Millisecond
		if st.State == datagram.Gathering || st.State == datagram.Held {
			p.Way = "waiting"
		}
	})
}

// data takes in a symbol.
func (m *membership) data(h datagram.Header, payload []byte) {
	i := int(h.Block)
	if h.Block >= uint32(m.collector.blocks()) || m.fallback.has(i) || !m.d.buffer.wants(i) {
		return
	}
	whole, used, err := m.collector.symbol(i, int(h.ESI), payload)
	if errors.Is(err, errPolluted) {
		m.fallback.leave(i)
	}
	if err != nil || !used {
		return
	}
	if whole != nil {
		m.fallback.came(i)
		if m.d.buffer.put(i, whole) {
			m.recent.blocks += int64(len(whole))
		}
	}
	if int(h.ESI) >= m.s.Layout.BlockK(m.s.Size, i) {
		m.recent.parity += int64(len(payload))
	}
	m.recent.any = true
}

// tellProgress passes on what a batch brought.
func (m *membership) tellProgress() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.recent.any {
		return
	}
	came, loss := m.recent, m.seqs.loss()
	m.recent = recent{}
	m.d.tell(func(p *Progress) {
		p.Way, p.State, p.Loss = "multicast", datagram.Running, loss
		p.Multicast += came.blocks
		p.Repair += came.parity
	})
}
