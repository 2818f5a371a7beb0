package multicast

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast/datagram"
)

// ErrSession is wrapped by errors about a Session or Layout that is not valid.
var ErrSession = errors.New("not a multicast session")

// MaxSize is the longest encoding of a session, in bytes: its block hashes are 23 MB, and no seq is used twice.
const MaxSize = 1 << 40

// Session is what one receiver must know of a session. It has keys, and travels over TLS only.
type Session struct {
	ID       ID          `json:"id"`
	Encoding blob.Digest `json:"encoding"`
	Size     int64       `json:"size"` // bytes of the encoding
	Layout   Layout      `json:"layout"`
	Hashes   blob.Digest `json:"hashes"` // of the list of block hashes: 32 bytes of SHA-256 for each block, in order

	Group  netip.AddrPort `json:"group"`  // where data comes to
	Sender netip.AddrPort `json:"sender"` // where data comes from, and where reports go
	Key    Key            `json:"key"`    // of the group

	Receiver    uint16 `json:"receiver"`    // this receiver's number
	ReceiverKey Key    `json:"receiverKey"` // the key that this receiver shares with the sender

	Sources []string `json:"sources"` // base URLs that have the encoding, a relay's first
}

// Validate says whether a receiver can join s. Errors wrap ErrSession.
func (s Session) Validate() error {
	if err := s.Layout.Validate(); err != nil {
		return err
	}
	_, eerr := blob.ParseDigest(string(s.Encoding))
	_, herr := blob.ParseDigest(string(s.Hashes))
	switch {
	case s.Size < 1 || s.Size > MaxSize:
		return fmt.Errorf("%w: an encoding of %d bytes", ErrSession, s.Size)
	case !s.Group.Addr().Is4() || !s.Group.Addr().IsMulticast() || s.Group.Port() == 0:
		return fmt.Errorf("%w: %v is not an IPv4 multicast group with a port", ErrSession, s.Group)
	case !s.Sender.Addr().Is4() || s.Sender.Addr().IsMulticast() || s.Sender.Addr().IsUnspecified() ||
		s.Sender.Port() == 0:
		return fmt.Errorf("%w: %v is not a sender's IPv4 address with a port", ErrSession, s.Sender)
	case len(s.Key) != datagram.KeySize || len(s.ReceiverKey) != datagram.KeySize:
		return fmt.Errorf("%w: a key is missing", ErrSession)
	case eerr != nil || herr != nil:
		return fmt.Errorf("%w: %w", ErrSession, errors.Join(eerr, herr))
	}
	return nil
}

// ID names a session. It is random, and never used twice.
type ID uint64

func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// MarshalText writes 16 hex digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads 16 hex digits.
func (id *ID) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil || len(b) != 16 {
		return fmt.Errorf("parsing session %.40q: want 16 hex digits", b)
	}
	*id = ID(n)
	return nil
}
