package multicast

import (
	"errors"
	"net/netip"
	"time"

	"griddle/imagestore/blob"
)

// Ask is a machine's question: which way do I get this encoding?
type Ask struct {
	Encoding blob.Digest `json:"encoding"`
	Size     int64       `json:"size"` // bytes
	Networks []Network   `json:"networks"`
	Former   string      `json:"former,omitempty"`  // why its last session is over for it
	NoRelay  bool        `json:"noRelay,omitempty"` // this machine holds no session for others
}

// Network is a network that a machine is on.
type Network struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"`            // its address, with the network's length
	Gateway   netip.Addr   `json:"gateway,omitzero"`  // its router there
	Wireless  bool         `json:"wireless,omitzero"` // multicast, at the slowest rate there, is not used
}

// Answer says which way the machine gets the encoding: in a session, as a relay, or by HTTP from Sources.
type Answer struct {
	Session *Session    `json:"session,omitempty"` // by multicast
	Relay   *RelayOrder `json:"relay,omitempty"`   // by HTTP, and the machine sends it to its neighbours
	Sources []string    `json:"sources"`           // base URLs that have the encoding
	Why     string      `json:"why,omitempty"`     // why neither, for display

	// After is how long to wait before the same question, if it is not decided yet; nanoseconds.
	After time.Duration `json:"after,omitempty"`
}

// ErrNoSession is wrapped if an operator or a relay names a session that does not exist, or not any more.
var ErrNoSession = errors.New("no such multicast session")

// RelayOrder has a machine hold a session itself: it fetches the encoding by HTTP, and sends it to its own network by
// multicast and by HTTP. It needs no trust for that. Like a Session it has keys, and travels over TLS only.
type RelayOrder struct {
	Session Session `json:"session"` // without a sender and a receiver
	Secret  Key     `json:"secret"`
	TTL     int     `json:"ttl"`
	Rate    int64   `json:"rate"` // payload bytes per second at most; 0 means DefaultRate

	Gather   time.Duration `json:"gather"`   // nanoseconds
	Machines int           `json:"machines"` // that do not wait for more; 0 means that they always wait

	Private bool `json:"private,omitempty"` // no HTTP for neighbours: only the session, whose datagrams are sealed
}

// RelayReport is a relay's report on its session: the first when it listens, then one every RelayInterval.
type RelayReport struct {
	Session ID             `json:"session"`
	Sender  netip.AddrPort `json:"sender"`            // where receivers report to
	Sources []string       `json:"sources,omitempty"` // base URLs where the relay serves what it has
	Status  SessionStatus  `json:"status"`
}

// RelayCommand answers a report: an operator's orders since the last one.
type RelayCommand struct {
	Start bool           `json:"start,omitempty"`
	Hold  *time.Duration `json:"hold,omitempty"` // nanoseconds; 0 resumes
	Cap   *int64         `json:"cap,omitempty"`  // payload bytes per second
	Stop  bool           `json:"stop,omitempty"`
}

// RelayInterval is how often a relay reports. After six without a report, machines are not sent to it any more.
const RelayInterval = 2 * time.Second
