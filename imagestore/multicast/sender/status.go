package sender

import (
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// Status is where the session stands. It costs next to nothing.
func (s *Sender) Status() multicast.SessionStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	out := multicast.SessionStatus{State: s.course.state, Why: s.course.ended, Wait: s.wait, Rate: int64(s.crowd.rate.rate), Sent: s.sent[firstPass],
		Parity: s.sent[mending], Again: s.sent[again], Block: int(s.plan.closed()), Blocks: int(s.plan.blocks), Receivers: []multicast.ReceiverStatus{}}
	for _, m := range s.crowd.order {
		out.Receivers = append(out.Receivers, m.status(now))
	}
	return out
}

func (m *member) status(now time.Duration) multicast.ReceiverStatus {
	r := multicast.ReceiverStatus{Number: m.number, State: "receiving", Why: m.demoted, Missing: m.missing, Loss: m.loss, Heard: now - m.heard}
	switch {
	case m.demoted != "":
		r.State = "demoted"
	case m.flags&datagram.Done != 0:
		r.State = "done"
	case m.flags&datagram.Leaving != 0:
		r.State = "left"
	case now-m.heard > absent:
		r.State = "lost"
	case m.flags&datagram.Ready == 0:
		r.State = "waiting"
	}
	return r
}
