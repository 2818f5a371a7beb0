package sender

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/net/ipv4"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

const (
	tickEvery = 100 * time.Millisecond
	// patience bounds how long a sender waits for its budget without being heard.
	patience = 100 * time.Millisecond
	// lively is how far heartbeats are apart when data ended just now: they tell receivers that there was nothing after it.
	lively = 25 * time.Millisecond
	// unreachable is how long the network may refuse what is sent.
	unreachable = time.Minute
	// maxSeq leaves room for END: no seq comes twice.
	maxSeq = math.MaxUint32 - 1000
)

// glance is what Run does next.
type glance struct {
	closed bool
	work   bool
	beat   time.Duration // when the next heartbeat is due
}

// send sends until the session is closed or cannot go on.
func (s *Sender) send(ctx context.Context) error {
	var tick, data, beat time.Duration
	timer := time.NewTimer(0)
	defer timer.Stop()
	out := newOutgoing(s)
	for ctx.Err() == nil {
		now := s.now()
		g := s.look(now, data, beat, &tick)
		if g.closed {
			return nil
		}
		if now >= g.beat {
			beat = now
			if err := out.beat(datagram.Heartbeat); err != nil && ctx.Err() == nil {
				s.o.Log.Debug("a heartbeat was not sent", "err", err)
			}
			continue
		}
		if !g.work {
			timer.Reset(min(g.beat, tick) - now)
			select {
			case <-timer.C:
			case <-s.wake:
			case <-ctx.Done():
			}
			continue
		}
		n, err := out.batch(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			data = s.now()
		}
	}
	return nil
}

// look draws the conclusions of what happened since it was called last.
func (s *Sender) look(now, data, beat time.Duration, tick *time.Duration) glance {
	verified := s.o.Verified()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now >= *tick {
		*tick = now + tickEvery
		s.strange = 0
		for _, m := range s.crowd.tick(now, s.seq, s.plan) {
			s.o.Log.Info("receiver is left to HTTP", "receiver", m.number, "why", m.demoted)
		}
		s.plan.sweep(s.seq - min(s.seq, 65536))
		s.limit()
	}
	work := s.work(verified)
	was := s.course.state
	s.wait = s.course.step(now, needs{s.crowd.counts, s.crowd.first, s.plan.sentOnce(), !work})
	switch {
	case s.stop:
		s.course.close("it was stopped")
	case s.seq >= maxSeq:
		s.course.close("it sent too much")
	}
	state := s.course.state
	if state != was {
		s.crowd.restart()
		s.o.Log.Info("multicast session is "+state.String(), "receivers", s.crowd.counts.heard)
	}
	sending := state == datagram.Running || state == datagram.Repairing
	g := glance{closed: state == datagram.Closed, work: work && sending, beat: max(data, beat) + multicast.HeartbeatInterval}
	switch {
	case sending && !g.work && now-data < time.Second:
		g.beat = max(data, beat) + lively
	case g.work:
		g.beat = min(beat+4*multicast.HeartbeatInterval, g.beat)
	}
	return g
}

// work says whether there is something to send.
func (s *Sender) work(verified int64) bool {
	p := s.plan
	if len(p.soon)+len(p.late) > 0 || p.live || p.open(verified) {
		return true
	}
	_, ok := s.crowd.find(p, p.next)
	return ok
}

// outgoing is the memory of what is sent at once.
type outgoing struct {
	s        *Sender
	symbols  [batch]symbol
	heads    [batch]datagram.Header
	messages []ipv4.Message
}

func newOutgoing(s *Sender) *outgoing {
	o := &outgoing{s: s, messages: make([]ipv4.Message, batch)}
	for i := range o.messages {
		o.messages[i].Addr = s.sock.group
		o.messages[i].Buffers = [][]byte{make([]byte, 0, s.o.Layout.Symbol+datagram.Overhead)}
	}
	return o
}

// batch sends up to 32 datagrams, or as many as go in 10 ms, when the budgets allow it, and says how many.
func (o *outgoing) batch(ctx context.Context) (int, error) {
	s := o.s
	size := s.o.Layout.Symbol
	n := min(batch, max(1, int(s.own.Rate())/100/size))
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.own.Take(wait, n*size) != nil {
		return 0, nil
	}
	if s.o.Budget.Take(wait, n*size) != nil {
		s.own.GiveBack(n * size)
		return 0, nil
	}
	verified := s.o.Verified()
	s.mu.Lock()
	got := s.pick(o.symbols[:n], o.heads[:n], verified)
	s.mu.Unlock()
	if got < n {
		s.own.GiveBack((n - got) * size)
		s.o.Budget.GiveBack((n - got) * size)
	}
	if err := o.seal(got); err != nil {
		return 0, err
	}
	return got, o.write(ctx, o.messages[:got])
}

// pick decides what is sent.
func (s *Sender) pick(symbols []symbol, heads []datagram.Header, verified int64) int {
	if s.course.state != datagram.Running && s.course.state != datagram.Repairing {
		return 0 // an operator was quicker
	}
	now := uint32(s.now().Milliseconds())
	for i := range symbols {
		sym, ok := s.plan.pick(s.seq+1, verified, func(from uint32) (uint32, bool) { return s.crowd.wanted(s.plan, from) })
		if !ok {
			return i
		}
		s.seq++
		symbols[i] = sym
		heads[i] = datagram.Header{Type: datagram.Data, Seq: s.seq, Block: sym.block, ESI: sym.esi, Pos: s.plan.closed(), Time: now}
	}
	return len(symbols)
}

// seal makes datagrams of the first n symbols. Own symbols that follow one another are read at once.
func (o *outgoing) seal(n int) error {
	s, l := o.s, o.s.o.Layout
	var sent [ways]int64
	for i := 0; i < n; {
		first := o.symbols[i]
		run := 1
		var payload []byte
		if k := l.BlockK(s.o.Size, int(first.block)); int(first.esi) < k {
			for i+run < n && o.symbols[i+run].block == first.block && int(o.symbols[i+run].esi) == int(first.esi)+run && int(first.esi)+run < k {
				run++
			}
			at := int64(first.block)*l.Block() + int64(first.esi)*int64(l.Symbol)
			payload = s.buf[:min(int64(run*l.Symbol), s.o.Size-at)]
			if err := s.read(payload, at); err != nil {
				return err
			}
		} else {
			parity, err := s.encoded(first.block)
			if err != nil {
				return err
			}
			payload = parity[int(first.esi)-k]
		}
		for ; run > 0; run, i = run-1, i+1 {
			one := payload[:min(l.Symbol, len(payload))]
			payload = payload[len(one):]
			o.messages[i].Buffers[0] = s.group.Seal(o.messages[i].Buffers[0][:0], o.heads[i], one)
			sent[o.symbols[i].way] += int64(len(one))
		}
	}
	s.mu.Lock()
	for i, n := range sent {
		s.sent[i] += n
	}
	s.mu.Unlock()
	return nil
}

// write sends what was sealed. A network that is gone is waited for; what it lost meanwhile receivers ask for.
func (o *outgoing) write(ctx context.Context, m []ipv4.Message) error {
	begin := time.Time{}
	for len(m) > 0 {
		n, err := o.s.sock.packets.WriteBatch(m, 0)
		m = m[max(n, 0):]
		if err == nil {
			begin = time.Time{}
			continue
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case begin.IsZero():
			begin = time.Now()
			o.s.o.Log.Warn("the network takes no multicast", "err", err)
		case time.Since(begin) > unreachable:
			return fmt.Errorf("writing to %v: %w", o.s.o.Group, err)
		}
		select {
		case <-time.After(patience):
		case <-ctx.Done():
			return nil
		}
		if o.s.over() {
			return nil
		}
	}
	return nil
}

// over says whether an operator ended the session.
func (s *Sender) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop
}

// beat says how the session stands.
func (o *outgoing) beat(t datagram.Type) error {
	s := o.s
	s.mu.Lock()
	s.seq++
	st := s.words()
	h := datagram.Header{Type: t, Seq: s.seq, Pos: s.plan.closed(), Time: uint32(s.now().Milliseconds())}
	s.mu.Unlock()
	b := s.group.Seal(nil, h, st.Append(nil))
	_, err := s.sock.conn.WriteTo(b, s.sock.group)
	return err
}

// words is the session's state as it is told.
func (s *Sender) words() datagram.Status {
	return datagram.Status{State: s.course.state, Receivers: uint16(min(s.crowd.counts.heard, math.MaxUint16)),
		Rate: uint32(min(s.crowd.rate.rate, math.MaxUint32)), Wait: uint32(min(s.wait.Milliseconds(), math.MaxUint32))}
}

// farewell tells the group that the session is over, often enough that everybody hears it.
func (s *Sender) farewell() {
	o := newOutgoing(s)
	var errs []error
	for range 5 {
		errs = append(errs, o.beat(datagram.End))
		time.Sleep(20 * time.Millisecond)
	}
	if err := errors.Join(errs...); err != nil {
		s.o.Log.Debug("the end was not sent", "err", err)
	}
}
