package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// silence is how long nothing was heard of a sender. Only the time counts in which the socket was looked at: a
// machine that computes, or stands still, for seconds has the sender's datagrams in its socket.
type silence struct {
	heard time.Time // the last good datagram of the group; zero if there was none
	quiet time.Duration
}

// over says whether it lasts too long, and as what a membership ends then.
func (s *silence) over() Outcome {
	switch {
	case s.heard.IsZero() && s.quiet > multicast.UnheardAfter:
		return Unheard
	case !s.heard.IsZero() && s.quiet > multicast.Silence:
		return Silent
	}
	return 0
}

// readPause is how long the socket may fill when n datagrams were read after the last pause: to read a handful at a
// time costs most of the processor's time, and the socket holds about 3600 of them.
func readPause(n int) time.Duration {
	switch {
	case n > 1000:
		return time.Millisecond
	case n > 400:
		return 4 * time.Millisecond
	}
	return 16 * time.Millisecond
}

// run reads the group until the membership is over.
func (m *membership) run(ctx context.Context) (Outcome, error) {
	const batch = 128
	msgs := make([]ipv4.Message, batch)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, m.s.Layout.Symbol+datagram.Overhead+1)}
	}
	scratch := make([]byte, 0, m.s.Layout.Symbol+datagram.Overhead)
	next := time.Now().Add(multicast.ReportInterval)
	rejoined, drained := false, 0
	for {
		if err := ctx.Err(); err != nil {
			m.report(datagram.Leaving)
			return 0, err
		}
		n, err := m.sock.packets.ReadBatch(msgs, unix.MSG_DONTWAIT)
		now := time.Now()
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return 0, fmt.Errorf("receiving session %v: %w", m.s.ID, err)
		}
		n = max(n, 0)
		for i := range n {
			if m.fromSender(msgs[i].Addr) {
				scratch = m.handle(scratch, msgs[i].Buffers[0][:msgs[i].N], now)
			}
		}
		m.tellProgress()
		if out := m.outcome(); out != 0 {
			m.leave(out)
			return out, nil
		}
		if quiet, heard := m.quiet(); quiet > multicast.Silence/2 && !rejoined && heard {
			m.sock.rejoin()
			rejoined = true
		} else if quiet < multicast.Silence/4 {
			rejoined = false
		}
		if !now.Before(next) {
			next = now.Add(m.report(0))
		}
		if drained += n; n < batch {
			pause := max(0, min(readPause(drained), time.Until(next)))
			time.Sleep(pause)
			m.listened(pause)
			drained = 0
		}
	}
}

// fromSender says whether addr is the sender's.
func (m *membership) fromSender(addr net.Addr) bool {
	from, ok := addr.(*net.UDPAddr)
	return ok && from.AddrPort().Port() == m.s.Sender.Port() && from.AddrPort().Addr().Unmap() == m.s.Sender.Addr()
}

// listened adds to the time for which nothing was heard.
func (m *membership) listened(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silence.quiet += d
}

// quiet is for how long nothing was heard, and whether anything ever was.
func (m *membership) quiet() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silence.quiet, !m.silence.heard.IsZero()
}
