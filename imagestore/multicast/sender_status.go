package multicast

import (
	"time"

	"griddle/imagestore/multicast/datagram"
)

// SenderStatus is where a session stands, for an operator.
type SenderStatus struct {
	State     datagram.State   `json:"state"`
	Why       string           `json:"why,omitempty"` // it is closed, in words
	Wait      time.Duration    `json:"wait"`          // until the state ends if nothing happens; 0 if that is not known
	Rate      int64            `json:"rate"`          // payload bytes a second that it may send now
	Sent      int64            `json:"sent"`          // payload bytes of the first pass,
	Parity    int64            `json:"parity"`        // of parity,
	Again     int64            `json:"again"`         // and of what was sent again for who came late
	Block     int              `json:"block"`         // blocks that were sent once
	Blocks    int              `json:"blocks"`        // that there are
	Receivers []ReceiverStatus `json:"receivers"`     // by when they came
}

// ReceiverStatus is one receiver of a session.
type ReceiverStatus struct {
	Number  uint16        `json:"number"`
	State   string        `json:"state"`         // "waiting", "receiving", "done", "left", "demoted", "lost"
	Why     string        `json:"why,omitempty"` // it was demoted
	Missing int           `json:"missing"`       // blocks, of those that were sent, that are not whole there
	Loss    float64       `json:"loss"`          // of what was sent, 0 to 1
	Heard   time.Duration `json:"heard"`         // ago
}

// Percent is how much was sent once.
func (s SenderStatus) Percent() int { return 100 * s.Block / max(s.Blocks, 1) }

// Over says whether the session has ended.
func (s SenderStatus) Over() bool { return s.State == datagram.Closed }

// Status is where the session stands. It costs next to nothing.
func (s *Sender) Status() SenderStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	out := SenderStatus{State: s.course.state, Why: s.course.ended, Wait: s.wait, Rate: int64(s.crowd.rate.rate), Sent: s.sent[firstPass],
		Parity: s.sent[mending], Again: s.sent[again], Block: int(s.plan.closed()), Blocks: int(s.plan.blocks), Receivers: []ReceiverStatus{}}
	for _, m := range s.crowd.order {
		out.Receivers = append(out.Receivers, m.status(now))
	}
	return out
}

func (m *member) status(now time.Duration) ReceiverStatus {
	r := ReceiverStatus{Number: m.number, State: "receiving", Why: m.demoted, Missing: m.missing, Loss: m.loss, Heard: now - m.heard}
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
