package datagram

import (
	"encoding/binary"
	"fmt"
)

// State is the state of a session.
type State uint8

// The states of a session, as the sender announces them. Each ends by itself.
const (
	Gathering State = iota + 1 // waits for more receivers
	Running                    // sends what it has not sent yet
	Repairing                  // everything was sent once
	Lingering                  // no receiver asks for anything; late ones still may
	Held                       // by an operator: nothing is sent for a while
	Closed                     // over; what is missing comes by HTTP
	Demoted                    // of one receiver, in a Verdict: it leaves the group now and continues by HTTP
)

func (s State) String() string {
	if s >= Gathering && s <= Demoted {
		return [...]string{"gathering", "running", "repairing", "lingering", "held", "closed", "demoted"}[s-Gathering]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// MarshalText writes the state's name; 0 has an empty one.
func (s State) MarshalText() ([]byte, error) {
	if s == 0 {
		return nil, nil
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads a state's name.
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
	return fmt.Errorf("parsing a session's state: %.40q is not one", b)
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
	Receivers uint16 // that report
	Rate      uint32 // payload bytes per second, at present
	Wait      uint32 // milliseconds until the state ends by itself; 0 if that is not known
}

const statusSize = 12

// Append appends the status to dst, 12 bytes.
func (s Status) Append(dst []byte) []byte {
	dst = append(dst, byte(s.State), 0)
	dst = binary.BigEndian.AppendUint16(dst, s.Receivers)
	dst = binary.BigEndian.AppendUint32(dst, s.Rate)
	return binary.BigEndian.AppendUint32(dst, s.Wait)
}

// ParseStatus reads what Append wrote. Errors wrap ErrMalformed.
func ParseStatus(b []byte) (Status, error) {
	if len(b) != statusSize {
		return Status{}, fmt.Errorf("%w: a status of %d bytes", ErrMalformed, len(b))
	}
	s := Status{State(b[0]), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]),
		binary.BigEndian.Uint32(b[8:])}
	if s.State < Gathering || s.State > Demoted {
		return Status{}, fmt.Errorf("%w: %v", ErrMalformed, s.State)
	}
	return s, nil
}

// Missing says that each of Blocks blocks from First on lacks Symbols symbols; any symbols help that were not sent
// before. On the wire it is first 4, blocks 2, symbols 2.
type Missing struct {
	First   uint32
	Blocks  uint16 // at least 1
	Symbols uint16 // All if nothing of the blocks came
}

// All is the Symbols of blocks of which nothing came: their own symbols are as good as parity, and cheaper.
const All = 0xffff

const missingSize = 8

// MaxMissing is how many Missing fit into a report, in a frame of 1500 bytes.
const MaxMissing = (1500 - 28 - Overhead) / missingSize

// AppendMissing appends the first MaxMissing of list to dst.
func AppendMissing(dst []byte, list []Missing) []byte {
	for _, m := range list[:min(len(list), MaxMissing)] {
		dst = binary.BigEndian.AppendUint32(dst, m.First)
		dst = binary.BigEndian.AppendUint16(dst, m.Blocks)
		dst = binary.BigEndian.AppendUint16(dst, m.Symbols)
	}
	return dst
}

// ParseMissing appends the list in b to dst[:0]. Blocks must be in order, each named once. Errors wrap ErrMalformed.
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
