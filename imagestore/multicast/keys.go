package multicast

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"griddle/imagestore/multicast/datagram"
)

// A session has one secret, which the coordinator shares with the sender. All keys of the session are derived from it
// (RFC 5869), so a relay's sender knows the keys of receivers that it has not heard yet.

// NewSecret makes a random secret of a session.
func NewSecret() Key {
	k := make(Key, datagram.KeySize)
	rand.Read(k) // never fails (crypto/rand)
	return k
}

// NewID makes a random ID, never 0.
func NewID() ID {
	var b [8]byte
	for {
		rand.Read(b[:])
		if id := ID(binary.BigEndian.Uint64(b[:])); id != 0 {
			return id
		}
	}
}

// GroupKey derives the key of a session's group.
func GroupKey(secret Key, id ID) (Key, error) { return derive(secret, id, "griddle multicast group") }

// ReceiverKey derives the key that receiver n shares with the sender.
func ReceiverKey(secret Key, id ID, n uint16) (Key, error) {
	return derive(secret, id, fmt.Sprintf("griddle multicast receiver %d", n))
}

func derive(secret Key, id ID, what string) (Key, error) {
	if len(secret) != datagram.KeySize {
		return nil, fmt.Errorf("making a session's keys: the secret has %d bytes, not %d",
			len(secret), datagram.KeySize)
	}
	k, err := hkdf.Key(sha256.New, secret, binary.BigEndian.AppendUint64(nil, uint64(id)), what, datagram.KeySize)
	if err != nil {
		return nil, fmt.Errorf("making a session's keys: %w", err)
	}
	return k, nil
}

// Key is a secret of datagram.KeySize bytes, in JSON as hex.
type Key []byte

// String keeps keys out of logs.
func (Key) String() string { return "(secret)" }

// MarshalText writes hex digits.
func (k Key) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(k)), nil }

// UnmarshalText reads hex digits; no digits make a nil Key.
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
