package sender

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/net/ipv4"

	"griddle/imagestore/multicast/datagram"
)

// outgoing is the memory for the datagrams of one batch.
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

// batch sends up to 32 datagrams, or as many as the rate allows in 10 ms, when the budgets allow it, and returns how
// many.
func (o *outgoing) batch(ctx context.Context) (int, error) {
	s := o.s
	size := s.o.Layout.Symbol
	n := min(batch, max(1, int(s.ownBudget.Rate())/100/size))
	wait, cancel := context.WithTimeout(ctx, budgetWait)
	defer cancel()
	if s.ownBudget.Take(wait, n*size) != nil {
		return 0, nil
	}
	if s.o.Budget.Take(wait, n*size) != nil {
		s.ownBudget.GiveBack(n * size)
		return 0, nil
	}
	verified := s.o.Verified()
	s.mu.Lock()
	got := s.pick(o.symbols[:n], o.heads[:n], verified)
	s.mu.Unlock()
	if got < n {
		s.ownBudget.GiveBack((n - got) * size)
		s.o.Budget.GiveBack((n - got) * size)
	}
	if err := o.seal(got); err != nil {
		return 0, err
	}
	return got, o.write(ctx, o.messages[:got])
}

// seal makes datagrams of the first n symbols. Consecutive own symbols of a block are read at once.
func (o *outgoing) seal(n int) error {
	s, l := o.s, o.s.o.Layout
	var sent [reasons]int64
	for i := 0; i < n; {
		first := o.symbols[i]
		run := 1
		var payload []byte
		if k := l.BlockK(s.o.Size, int(first.block)); int(first.esi) < k {
			for i+run < n && o.symbols[i+run].block == first.block &&
				int(o.symbols[i+run].esi) == int(first.esi)+run && int(first.esi)+run < k {
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
			sent[o.symbols[i].reason] += int64(len(one))
		}
	}
	s.mu.Lock()
	for i, n := range sent {
		s.sent[i] += n
	}
	s.mu.Unlock()
	return nil
}

// write sends the sealed datagrams. It waits for a network that is gone; receivers ask for what is lost meanwhile.
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
			o.s.o.Log.Warn("the network refuses multicast; trying again", "err", err)
		case time.Since(begin) > unreachable:
			return fmt.Errorf("writing to %v: %w", o.s.o.Group, err)
		}
		select {
		case <-time.After(budgetWait):
		case <-ctx.Done():
			return nil
		}
		if o.s.stopped() {
			return nil
		}
	}
	return nil
}

// announce sends the session's state to the group.
func (o *outgoing) announce(t datagram.Type) error {
	s := o.s
	s.mu.Lock()
	s.seq++
	st := s.announcement()
	h := datagram.Header{Type: t, Seq: s.seq, Pos: s.schedule.closed(), Time: uint32(s.now().Milliseconds())}
	s.mu.Unlock()
	b := s.group.Seal(nil, h, st.Append(nil))
	_, err := s.sock.conn.WriteTo(b, s.sock.group)
	return err
}

// pick chooses the next symbols.
func (s *Sender) pick(symbols []symbol, heads []datagram.Header, verified int64) int {
	if s.lifecycle.state != datagram.Running && s.lifecycle.state != datagram.Repairing {
		return 0 // an operator ended or held it meanwhile
	}
	now := uint32(s.now().Milliseconds())
	wanted := func(from uint32) (uint32, bool) { return s.receivers.nextWanted(s.schedule, from) }
	for i := range symbols {
		sym, ok := s.schedule.pick(s.seq+1, verified, wanted)
		if !ok {
			return i
		}
		s.seq++
		symbols[i] = sym
		heads[i] = datagram.Header{Type: datagram.Data, Seq: s.seq, Block: sym.block, ESI: sym.esi,
			Pos: s.schedule.closed(), Time: now}
	}
	return len(symbols)
}

// announcement is the session's state for receivers.
func (s *Sender) announcement() datagram.Status {
	return datagram.Status{State: s.lifecycle.state, Receivers: uint16(min(s.receivers.counts.heard, math.MaxUint16)),
		Rate: uint32(min(s.receivers.rate.rate, math.MaxUint32)),
		Wait: uint32(min(s.wait.Milliseconds(), math.MaxUint32))}
}

// sendEnd tells the group that the session is over, five times, as datagrams may be lost.
func (s *Sender) sendEnd() {
	o := newOutgoing(s)
	var errs []error
	for range 5 {
		errs = append(errs, o.announce(datagram.End))
		time.Sleep(20 * time.Millisecond)
	}
	if err := errors.Join(errs...); err != nil {
		s.o.Log.Debug("sending the end of the session failed", "err", err)
	}
}

// stopped says whether an operator ended the session.
func (s *Sender) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop
}
