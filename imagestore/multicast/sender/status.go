package sender

import (
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// Status returns the session's state and its receivers. It is cheap.
func (s *Sender) Status() multicast.SessionStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	out := multicast.SessionStatus{State: s.lifecycle.state, Why: s.lifecycle.why, Wait: s.wait,
		Rate: int64(s.receivers.rate.rate), Sent: s.sent[firstTime],
		Parity: s.sent[repair], Again: s.sent[resend], Block: int(s.schedule.closed()),
		Blocks: int(s.schedule.blocks), Receivers: []multicast.ReceiverStatus{}}
	for _, m := range s.receivers.list {
		out.Receivers = append(out.Receivers, m.status(now))
	}
	return out
}

func (m *receiver) status(now time.Duration) multicast.ReceiverStatus {
	r := multicast.ReceiverStatus{Number: m.number, State: "receiving", Why: m.demoted, Missing: m.missing,
		Loss: m.loss, Heard: now - m.heard}
	switch {
	case m.demoted != "":
		r.State = "demoted"
	case m.flags&datagram.Done != 0:
		r.State = "done"
	case m.flags&datagram.Leaving != 0:
		r.State = "left"
	case now-m.heard > lostAfter:
		r.State = "lost"
	case m.flags&datagram.Ready == 0:
		r.State = "waiting"
	}
	return r
}
