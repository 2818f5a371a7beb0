// Package datagram is the wire format of a multicast session: what the sender says to its group, what a receiver
// reports to the sender, and what the sender answers one receiver. It is pure: bytes to values to bytes.
//
// Start with a Key, which seals and opens; Data, Heartbeat and End are sealed with the group's key, Report and
// Verdict with the key that one receiver shares with the sender.
//
// Every datagram is one UDP payload, and never more than a frame holds. Integers are big-endian:
//
//	 0      1              2     4         8     12      16    20     24          24+n
//	+------+------+-------+-----+---------+-----+-------+-----+------+-----------+--------+
//	| 'H'  | type | flags | esi | session | seq | block | pos | time | payload n | tag 12 |
//	+------+------+-------+-----+---------+-----+-------+-----+------+-----------+--------+
//	   1     4 bit  4 bit    2       4       4      4      4     4
//
//	esi      encoding symbol: 0 to k-1 are the block's own bytes, k and above parity; of a report and a verdict the
//	         receiver's number
//	session  its lower half
//	seq      of everything that was sealed with this key in this direction, from 1; losses are gaps in it
//	block    of the encoding, from 0; a report's is the first block that is missing
//	pos      blocks that were sent once, whole: receivers may ask for what they lack of them; a report's is the highest
//	         seq that was seen
//	time     milliseconds of the sender's clock since the session began; a report's is the count of datagrams that came
//
// The payload goes to the end of the datagram. The last symbol of an encoding is short on the wire; in the code zeros
// follow it. The header is authenticated and not encrypted, the payload is both: AES-128-GCM with a tag of 12 bytes
// (NIST SP 800-38D section 5.2.1.2), whose nonce is the type, three zero bytes, the session's upper half and the seq.
// A key is used for one session only, so no nonce is used twice.
//
// The payload of a Heartbeat and a Verdict is a Status, that of a Report a list of Missing, 8 bytes each.
//
// Sources: RFC 5740 (NORM) for the scheme of negative acknowledgements and parity, RFC 5116 section 5.1 for the AEAD.
package datagram

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
)

// Type is the kind of a datagram.
type Type uint8

// The types. Data, Heartbeat and End go to the group, Report to the sender, Verdict to one receiver.
const (
	Data Type = iota + 1
	Heartbeat
	End
	Report
	Verdict
)

func (t Type) String() string {
	if t >= Data && t <= Verdict {
		return [...]string{"data", "heartbeat", "end", "report", "verdict"}[t-Data]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Flags of a Report.
const (
	Ready   uint8 = 1 << iota // everything is set up, and the group was joined
	Done                      // every block came
	Leaving                   // this receiver continues without the group
)

const (
	// HeaderSize is the header's length in bytes.
	HeaderSize = 24
	// Overhead is the length of header and tag, in bytes.
	Overhead = HeaderSize + tagSize
	// KeySize is the length of a key in bytes.
	KeySize = 16
	// MaxPayload is the longest payload, in bytes: it fits into a frame of 9000 bytes.
	MaxPayload = 9000 - 28 - Overhead

	tagSize = 12
	magic   = 'H'
)

// ErrMalformed is wrapped by errors about bytes that are not of this format.
var ErrMalformed = errors.New("malformed datagram")

// ErrForged is wrapped by the errors of Open for a datagram that was sealed with another key or for another session,
// or was changed.
var ErrForged = errors.New("forged datagram, or one of another session")

// Header is a datagram's header; the package comment says what each field means.
type Header struct {
	Type  Type
	Flags uint8 // of four bits
	Seq   uint32
	Block uint32
	ESI   uint16
	Pos   uint32
	Time  uint32
}

// Key seals and opens the datagrams of one session. Its methods may be called from any number of goroutines.
type Key struct {
	aead    cipher.AEAD
	session uint64
}

// NewKey makes a Key for a session from KeySize bytes.
func NewKey(key []byte, session uint64) (*Key, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("making a session's key: it has %d bytes, not %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making a session's key: %w", err)
	}
	aead, err := cipher.NewGCMWithTagSize(block, tagSize)
	if err != nil {
		return nil, fmt.Errorf("making a session's key: %w", err)
	}
	return &Key{aead, session}, nil
}

func (k *Key) nonce(n *[12]byte, t Type, seq uint32) []byte {
	n[0] = byte(t)
	binary.BigEndian.PutUint32(n[4:], uint32(k.session>>32))
	binary.BigEndian.PutUint32(n[8:], seq)
	return n[:]
}

// Seal appends the datagram to dst, which must not overlap payload, and returns the result. A key must not seal two
// datagrams with the same type and seq: that would reveal it. Seal panics if payload is longer than MaxPayload.
func (k *Key) Seal(dst []byte, h Header, payload []byte) []byte {
	if len(payload) > MaxPayload {
		panic("datagram: payload too long")
	}
	at := len(dst)
	dst = append(dst, magic, byte(h.Type)<<4|h.Flags&0xf)
	dst = binary.BigEndian.AppendUint16(dst, h.ESI)
	dst = binary.BigEndian.AppendUint32(dst, uint32(k.session))
	dst = binary.BigEndian.AppendUint32(dst, h.Seq)
	dst = binary.BigEndian.AppendUint32(dst, h.Block)
	dst = binary.BigEndian.AppendUint32(dst, h.Pos)
	dst = binary.BigEndian.AppendUint32(dst, h.Time)
	var n [12]byte
	return k.aead.Seal(dst, k.nonce(&n, h.Type, h.Seq), payload, dst[at:at+HeaderSize])
}

// Open checks b and returns its header and its payload, which is appended to dst[:0]. If the check fails, it returns
// nothing of b. A repeated datagram opens again: compare Seq. Errors wrap ErrMalformed or ErrForged.
func (k *Key) Open(dst, b []byte) (Header, []byte, error) {
	h, err := parse(b)
	if err != nil {
		return Header{}, nil, err
	}
	if got := binary.BigEndian.Uint32(b[4:]); got != uint32(k.session) {
		return Header{}, nil, fmt.Errorf("%w: of a session that ends in %08x", ErrForged, got)
	}
	var n [12]byte
	payload, err := k.aead.Open(dst[:0], k.nonce(&n, h.Type, h.Seq), b[HeaderSize:], b[:HeaderSize])
	if err != nil {
		return Header{}, nil, fmt.Errorf("%w: its tag is wrong", ErrForged)
	}
	return h, payload, nil
}

// Receiver returns the receiver's number in a Report or Verdict, which says which key opens it. Nothing was checked
// yet. Errors wrap ErrMalformed.
func Receiver(b []byte) (uint16, error) {
	h, err := parse(b)
	if err == nil && h.Type != Report && h.Type != Verdict {
		err = fmt.Errorf("%w: a %v has no receiver", ErrMalformed, h.Type)
	}
	return h.ESI, err
}

func parse(b []byte) (h Header, err error) {
	if len(b) < Overhead {
		return h, fmt.Errorf("%w: it has %d bytes, fewer than the %d of an empty one", ErrMalformed, len(b), Overhead)
	}
	h = Header{
		Type: Type(b[1] >> 4), Flags: b[1] & 0xf, ESI: binary.BigEndian.Uint16(b[2:]),
		Seq: binary.BigEndian.Uint32(b[8:]), Block: binary.BigEndian.Uint32(b[12:]),
		Pos: binary.BigEndian.Uint32(b[16:]), Time: binary.BigEndian.Uint32(b[20:]),
	}
	switch {
	case b[0] != magic:
		err = fmt.Errorf("%w: it begins with %#02x", ErrMalformed, b[0])
	case h.Type < Data || h.Type > Verdict:
		err = fmt.Errorf("%w: %v", ErrMalformed, h.Type)
	case len(b) > Overhead+MaxPayload:
		err = fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	return h, err
}
