package datagram

import (
	"encoding/binary"
	"fmt"
)

// State is where a session stands.
type State uint8

// The states of a session, as the sender tells them. Every one but Held ends by itself.
const (
	Gathering State = iota + 1 // waits for more receivers
	Running                    // sends what it has not sent yet
	Repairing                  // everything was sent once
	Lingering                  // nobody asks for anything; whoever comes late still may
	Held                       // by an operator: nothing is sent until told
	Closed                     // over; what is missing comes by HTTP
	Demoted                    // of one receiver, in a Verdict: it leaves the group now and goes on by HTTP
)

func (s State) String() string {
	if s >= Gathering && s <= Demoted {
		return [...]string{"gathering", "running", "repairing", "lingering", "held", "closed", "demoted"}[s-Gathering]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// MarshalText writes the state's name; that of none is empty.
func (s State) MarshalText() ([]byte, error) {
	if s == 0 {
		return nil, nil
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads it.
func (s *State) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*s = 0
		return nil
	}
	for t := Gathering; t <= Demoted; t++ {
		if t.String() == string(b) {
			*s = t
			return nil
		}
	}
	return fmt.Errorf("parsing a session's state: there is no %.40q", b)
}

// Status is the payload of a Heartbeat, an End and a Verdict:
//
//	 0       1        2           4        8          12
//	+-------+--------+-----------+--------+----------+
//	| state | 0      | receivers | rate   | wait     |
//	+-------+--------+-----------+--------+----------+
//	    1       1         2          4         4
type Status struct {
	State     State
	Receivers uint16 // that are heard from
	Rate      uint32 // payload bytes per second, at present
	Wait      uint32 // milliseconds until the state ends by itself; 0 if that is not known
}

const statusSize = 12

// Append appends the status to dst.
func (s Status) Append(dst []byte) []byte {
	dst = append(dst, byte(s.State), 0)
	dst = binary.BigEndian.AppendUint16(dst, s.Receivers)
	dst = binary.BigEndian.AppendUint32(dst, s.Rate)
	return binary.BigEndian.AppendUint32(dst, s.Wait)
}

// ParseStatus reads what Append wrote.
func ParseStatus(b []byte) (Status, error) {
	if len(b) != statusSize {
		return Status{}, fmt.Errorf("%w: a status of %d bytes", ErrMalformed, len(b))
	}
	s := Status{State(b[0]), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])}
	if s.State < Gathering || s.State > Demoted {
		return Status{}, fmt.Errorf("%w: %v", ErrMalformed, s.State)
	}
	return s, nil
}

// Missing says that Blocks blocks from First on each lack Symbols symbols, which any will do that were not sent before.
// On the wire it is first 4, blocks 2, symbols 2.
type Missing struct {
	First   uint32
	Blocks  uint16 // at least 1
	Symbols uint16 // All where nothing of the blocks is there
}

// All is the Symbols of blocks of which nothing is there: their own bytes are as good as parity, and cheaper.
const All = 0xffff

const missingSize = 8

// MaxMissing is how many Missing go into one report, so that it fits into a frame of 1500 bytes.
const MaxMissing = (1500 - 28 - Overhead) / missingSize

// AppendMissing appends the list to dst, at most MaxMissing of it.
func AppendMissing(dst []byte, list []Missing) []byte {
	for _, m := range list[:min(len(list), MaxMissing)] {
		dst = binary.BigEndian.AppendUint32(dst, m.First)
		dst = binary.BigEndian.AppendUint16(dst, m.Blocks)
		dst = binary.BigEndian.AppendUint16(dst, m.Symbols)
	}
	return dst
}

// ParseMissing appends the list in b to dst[:0]. It must be in the order of blocks, each named once.
func ParseMissing(dst []Missing, b []byte) ([]Missing, error) {
	if len(b)%missingSize != 0 || len(b) > MaxMissing*missingSize {
		return nil, fmt.Errorf("%w: a list of %d bytes", ErrMalformed, len(b))
	}
	dst = dst[:0]
	next := uint64(0)
	for ; len(b) > 0; b = b[missingSize:] {
		m := Missing{binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])}
		if m.Blocks == 0 || m.Symbols == 0 || uint64(m.First) < next {
			return nil, fmt.Errorf("%w: %d symbols of %d blocks from %d on", ErrMalformed, m.Symbols, m.Blocks, m.First)
		}
		next = uint64(m.First) + uint64(m.Blocks)
		dst = append(dst, m)
	}
	return dst, nil
}
