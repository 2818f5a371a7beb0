// Package multicast brings one encoding to many machines at once: one sender, any number of receivers, parity for what is lost,
// and HTTP for the rest.
//
// A Sender multicasts one encoding, a blob, as a Session. A Download is a machine's side of it: the blob's bytes in order, whichever
// way each of them came. What a receiver must know of a session it learns from a control plane, over TLS, and not from the
// network: a lost datagram can make nobody wait.
//
// The encoding is cut into blocks of Layout.K symbols. The sender sends each block's own symbols once, in order, and what
// receivers ask for: parity symbols that were never sent before, any of which mends any loss, as many as the receiver needs that
// needs most. Receivers report ten times a second. Whole blocks that a receiver has nothing of, because it came late, are sent
// again when everything was sent once. A receiver that cannot keep up is told to leave, so that nobody else waits for it.
//
// Guarantees. Bytes of a block leave a Download only after the block's SHA-256 was found to be that of Session.Hashes; the
// pieces' signatures, which package imagestore checks, decide in the end. Whatever happens to the sender or the network, a Download
// goes on by HTTP after Silence. No datagram is fragmented. Neither side sends faster than its Budget.
//
// Sources: RFC 5740 (NORM), RFC 5401 (building blocks of negative acknowledgements), RFC 3450 (layered coding transport).
package multicast

import (
	"time"
)

const (
	// HeartbeatInterval is how often a sender with nothing else to send is heard at least.
	HeartbeatInterval = 250 * time.Millisecond
	// ReportInterval is how often a receiver reports while there is something to report; a tenth of it at random is added.
	ReportInterval = 100 * time.Millisecond
	// Silence is how long a receiver waits for a sender that was heard before: then HTTP has the rest.
	Silence = 2 * time.Second
	// UnheardAfter is how long a receiver waits for the first datagram of a group that it joined.
	UnheardAfter = 3 * time.Second
)
