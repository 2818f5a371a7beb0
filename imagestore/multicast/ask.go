package multicast

import (
	"errors"
	"net/netip"
	"time"

	"griddle/imagestore/blob"
)

// Ask is what a machine says that wants an encoding.
type Ask struct {
	Encoding blob.Digest `json:"encoding"`
	Size     int64       `json:"size"` // bytes
	Networks []Network   `json:"networks"`
	Former   string      `json:"former,omitempty"` // why a session that it was in is over for it
}

// Network is one that the machine is on.
type Network struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"`            // its address, with the network's length
	Gateway   netip.Addr   `json:"gateway,omitzero"`  // its router there
	Wireless  bool         `json:"wireless,omitzero"` // multicast goes out at the slowest rate there, and is not tried
}

// Answer says which way the encoding is to come.
type Answer struct {
	Session *Session    `json:"session,omitempty"` // by multicast
	Relay   *RelayOrder `json:"relay,omitempty"`   // by HTTP, and this machine sends it to its neighbours
	Sources []string    `json:"sources"`           // base URLs that have the encoding
	Why     string      `json:"why,omitempty"`     // why neither, in words for people

	// After is how long to wait and ask again, where it is not decided yet; nanoseconds.
	After time.Duration `json:"after,omitempty"`
}

// ErrNoSession is wrapped where an operator or a relay names a session that there is not, or not any more.
var ErrNoSession = errors.New("no such multicast session")

// RelayOrder is a session that the asker is to hold itself: it fetches the encoding by HTTP, sends it to its own network and
// serves it there by HTTP too. It needs no trust for that. Like a Session it bears keys.
type RelayOrder struct {
	Session Session `json:"session"` // without a sender and a receiver
	Secret  Key     `json:"secret"`
	TTL     int     `json:"ttl"`
	Rate    int64   `json:"rate"` // payload bytes per second at most; 0 means DefaultRate

	Gather   time.Duration `json:"gather"`   // nanoseconds
	Machines int           `json:"machines"` // that do not wait for more; 0 for no number

	Private bool `json:"private,omitempty"` // only the session, whose datagrams are sealed; no HTTP for neighbours
}

// RelayReport is what a relay says of its session, first when it listens and then every RelayInterval.
type RelayReport struct {
	Session ID             `json:"session"`
	Sender  netip.AddrPort `json:"sender"`            // where receivers report to
	Sources []string       `json:"sources,omitempty"` // base URLs where the relay serves what it has
	Status  SessionStatus  `json:"status"`
}

// RelayCommand answers a report: what an operator wants of the session since the last one.
type RelayCommand struct {
	Start bool           `json:"start,omitempty"`
	Hold  *time.Duration `json:"hold,omitempty"` // nanoseconds; 0 goes on
	Cap   *int64         `json:"cap,omitempty"`  // payload bytes per second
	Stop  bool           `json:"stop,omitempty"`
}

// RelayInterval is how often a relay reports; one that was silent for six of them is named to nobody any more.
const RelayInterval = 2 * time.Second
