// Package multicast is what all sides of a multicast session share: the session, how an encoding is cut up, its
// hashes and keys, the rate of an interface, and what machines ask and are answered.
//
// One sender brings an encoding, a blob, to many machines at once. Parity repairs losses, and HTTP brings the rest. On
// the server start with package coordinator, on a machine with package fetcher, which ask each other in Ask and
// Answer. Package sender and package receiver are the two sides of a session, package relay is both, and package
// datagram has the wire format.
//
// The encoding is cut into blocks of Layout.K symbols. The sender sends each block's own symbols once, in order, and
// then what receivers ask for: parity symbols that were not sent before. Any parity symbol repairs any loss, so a
// block gets as many as the receiver needs that lost most. Receivers report ten times a second. A receiver that came
// late gets whole blocks again after everything was sent once. A receiver that cannot keep up must leave, so that the
// others do not wait for it.
//
// What a receiver must know of a session comes from the control plane over TLS, never from the network: a lost
// datagram makes no machine wait.
//
// Guarantees. Bytes leave a receiver only after the SHA-256 of their block matched Session.Hashes; the signatures of
// the pieces, which package imagestore checks, decide in the end. Whatever happens to the sender or the network, a
// machine continues by HTTP after Silence. No datagram is fragmented. Sessions of one interface together never send
// faster than its Budget.
//
// The tests in this folder run sender and receivers against each other on a test bed of network namespaces.
//
// Sources: RFC 5740 (NORM), RFC 5401 (building blocks of negative acknowledgements), RFC 3450 (layered coding
// transport).
package multicast

import (
	"time"
)

const (
	// HeartbeatInterval is how often a sender with nothing else to send is heard at least.
	HeartbeatInterval = 250 * time.Millisecond
	// ReportInterval is how often a receiver reports while there is something to report; a tenth of
	// it at random is added.
	ReportInterval = 100 * time.Millisecond
	// Silence is how long a receiver waits for a sender that was heard before: then HTTP has the rest.
	Silence = 2 * time.Second
	// UnheardAfter is how long a receiver waits for the first datagram of a group that it joined.
	UnheardAfter = 3 * time.Second
)

// MaxHold is the longest that machines are made to wait at once.
const MaxHold = time.Hour
