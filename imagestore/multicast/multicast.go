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
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/parity"
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

// Layout is how an encoding is cut up.
type Layout struct {
	Code   string `json:"code"`   // parity.Name
	K      int    `json:"k"`      // source symbols of a block
	R      int    `json:"r"`      // parity symbols of a block that there are at most
	Symbol int    `json:"symbol"` // bytes, a multiple of parity.Align
}

// DefaultLayout is for links whose frames hold 1500 bytes: blocks of 1.4 MB, packets of 1472 bytes.
func DefaultLayout() Layout { return Layout{parity.Name, 1024, 1024, 1408} }

// Block is the bytes of a whole block.
func (l Layout) Block() int64 { return int64(l.K) * int64(l.Symbol) }

// Blocks is how many blocks size bytes make.
func (l Layout) Blocks(size int64) int { return int((size + l.Block() - 1) / l.Block()) }

// BlockSize is the bytes of block i of an encoding of size bytes.
func (l Layout) BlockSize(size int64, i int) int {
	return int(min(l.Block(), size-int64(i)*l.Block()))
}

// BlockK is the source symbols of block i: fewer than K in the last one.
func (l Layout) BlockK(size int64, i int) int {
	return (l.BlockSize(size, i) + l.Symbol - 1) / l.Symbol
}

// validate refuses what would cost a receiver more memory than it has, or was made for another code.
func (l Layout) validate() error {
	switch {
	case l.Code != parity.Name:
		return fmt.Errorf("%w: its code is %.40q, and this program knows %s", ErrSession, l.Code, parity.Name)
	case l.K < 1 || l.R < 1 || l.K+l.R > 65535 || l.Symbol < parity.Align || l.Symbol%parity.Align != 0 || l.Symbol > datagram.MaxPayload || l.Block() > 8<<20 || int64(l.R)*int64(l.Symbol) > 16<<20:
		return fmt.Errorf("%w: blocks of %d and %d symbols of %d bytes", ErrSession, l.K, l.R, l.Symbol)
	}
	return nil
}

// ErrSession is wrapped where a Session cannot be one.
var ErrSession = errors.New("not a multicast session")

// MaxSize is the longest encoding that a session takes: block hashes of 23 MB, and no seq twice.
const MaxSize = 1 << 40

// ID names a session. It is random, and never used again.
type ID uint64

func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// MarshalText writes 16 hex digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads them.
func (id *ID) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil || len(b) != 16 {
		return fmt.Errorf("parsing session %.40q: want 16 hex digits", b)
	}
	*id = ID(n)
	return nil
}

// Key is a secret of datagram.KeySize bytes, in JSON as hex.
type Key []byte

// String keeps it out of logs.
func (Key) String() string { return "(secret)" }

// MarshalText writes hex digits.
func (k Key) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(k)), nil }

// UnmarshalText reads them. No digits are no key.
func (k *Key) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*k = nil
		return nil
	}
	s, err := hex.DecodeString(string(b))
	if err != nil || len(s) != datagram.KeySize {
		return errors.New("parsing a key: want 32 hex digits")
	}
	*k = s
	return nil
}

// Session is what one receiver must know. It bears keys, and travels over TLS alone.
type Session struct {
	ID       ID          `json:"id"`
	Encoding blob.Digest `json:"encoding"`
	Size     int64       `json:"size"` // bytes of the encoding
	Layout   Layout      `json:"layout"`
	Hashes   blob.Digest `json:"hashes"` // of the list of block hashes: 32 bytes of SHA-256 for each block, in order

	Group  netip.AddrPort `json:"group"`  // where data comes to
	Sender netip.AddrPort `json:"sender"` // where data comes from, and where reports go
	Key    Key            `json:"key"`    // of the group

	Receiver    uint16 `json:"receiver"`    // this receiver's number, and
	ReceiverKey Key    `json:"receiverKey"` // the key that it shares with the sender

	Sources []string `json:"sources"` // base URLs that have the encoding, a relay's first
}

// Validate says whether a receiver can act on s.
func (s Session) Validate() error {
	if err := s.Layout.validate(); err != nil {
		return err
	}
	_, eerr := blob.ParseDigest(string(s.Encoding))
	_, herr := blob.ParseDigest(string(s.Hashes))
	switch {
	case s.Size < 1 || s.Size > MaxSize:
		return fmt.Errorf("%w: %d bytes", ErrSession, s.Size)
	case !s.Group.Addr().Is4() || !s.Group.Addr().IsMulticast() || s.Group.Port() == 0:
		return fmt.Errorf("%w: %v is no IPv4 multicast group", ErrSession, s.Group)
	case !s.Sender.Addr().Is4() || s.Sender.Addr().IsMulticast() || s.Sender.Addr().IsUnspecified() || s.Sender.Port() == 0:
		return fmt.Errorf("%w: %v is no sender", ErrSession, s.Sender)
	case len(s.Key) != datagram.KeySize || len(s.ReceiverKey) != datagram.KeySize:
		return fmt.Errorf("%w: a key is missing", ErrSession)
	case eerr != nil || herr != nil:
		return fmt.Errorf("%w: %w", ErrSession, errors.Join(eerr, herr))
	}
	return nil
}
