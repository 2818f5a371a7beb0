package multicast

import (
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast/datagram"
)

// SessionStatus is the state of a session, for operators.
type SessionStatus struct {
	State     datagram.State   `json:"state"`
	Why       string           `json:"why,omitempty"` // why it is closed, for display
	Wait      time.Duration    `json:"wait"`          // until the state ends if nothing happens; 0 if that is not known
	Rate      int64            `json:"rate"`          // payload bytes a second that it may send now
	Sent      int64            `json:"sent"`          // payload bytes of the first pass,
	Parity    int64            `json:"parity"`        // of parity,
	Again     int64            `json:"again"`         // and of blocks that were sent again for late receivers
	Block     int              `json:"block"`         // blocks that were sent once
	Blocks    int              `json:"blocks"`        // that there are
	Receivers []ReceiverStatus `json:"receivers"`     // in the order in which they came
}

// ReceiverStatus is one receiver of a session.
type ReceiverStatus struct {
	Number  uint16        `json:"number"`
	State   string        `json:"state"`         // "waiting", "receiving", "done", "left", "demoted", "lost"
	Why     string        `json:"why,omitempty"` // why it was demoted, for display
	Missing int           `json:"missing"`       // blocks of those that were sent that are not whole at the receiver
	Loss    float64       `json:"loss"`          // of what was sent, 0 to 1
	Heard   time.Duration `json:"heard"`         // ago
}

// Percent is how much of the encoding was sent once, 0 to 100.
func (s SessionStatus) Percent() int { return 100 * s.Block / max(s.Blocks, 1) }

// Over says whether the session has ended.
func (s SessionStatus) Over() bool { return s.State == datagram.Closed }

// Listed is a session in an operator's list.
type Listed struct {
	ID       ID                `json:"id"`
	Encoding blob.Digest       `json:"encoding"`
	Size     int64             `json:"size"` // bytes
	Group    string            `json:"group"`
	Link     string            `json:"link,omitempty"`  // this host's interface, if it sends
	Relay    string            `json:"relay,omitempty"` // the machine that holds it
	Started  time.Time         `json:"started"`
	Names    map[uint16]string `json:"names"` // the machine of each receiver's number
	Status   SessionStatus     `json:"status"`
}
