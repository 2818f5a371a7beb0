// Package lldp finds out to which switch and port a machine is connected, from what switches send every 30 seconds: the
// Link Layer Discovery Protocol (IEEE 802.1AB-2016).
//
// Make a Listener, run Run in a goroutine, and ask Neighbour at any time. It only listens, and sends nothing. Parse
// reads one frame; its bytes, behind the Ethernet header, are TLVs (section 8.4):
//
//	|<- 7 bits ->|<- 9 bits ->|<- length bytes ->|
//	|    type    |   length   |      value       | …
//
// The first three are the chassis ID, the port ID, and for how many seconds the frame counts; zero ends that at once.
//
// Any computer on the wire can send such frames, so what they say is a claim, and each string of it is hostile. A
// Listener keeps one neighbour for each interface, reads at most 20 frames a second, and holds at most 64 KiB of
// others.
package lldp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"griddle/appliance/job"
)

// The types of TLVs (table 8-1), of IDs (tables 8-2 and 8-3), and the bits of capabilities (table 8-4) that are read.
const (
	typeEnd          = 0
	typeChassis      = 1
	typePort         = 2
	typeTTL          = 3
	typeDescription  = 4
	typeName         = 5
	typeCapabilities = 7

	chassisMAC, chassisAddress = 4, 5
	portMAC, portAddress       = 3, 4

	canBridge = 1 << 2
)

// Frame is one frame.
type Frame struct {
	Neighbour job.Neighbour // its strings are as long as the frame has them
	Bridge    bool          // the sender says that it is a switch
	TTL       time.Duration // for which the frame counts; 0 to 65535 seconds
	chassis   string        // of all frames of one sender
}

// Parse reads what a frame has behind its Ethernet header. What follows the end of its TLVs is padding.
func Parse(b []byte) (Frame, error) {
	var f Frame
	var has [typeCapabilities + 1]bool
	for n := 1; ; n++ {
		if len(b) < 2 {
			return Frame{}, fmt.Errorf("LLDP frame: TLV %d is cut", n)
		}
		head := binary.BigEndian.Uint16(b)
		kind, size := int(head>>9), int(head&0x1ff)
		if b = b[2:]; len(b) < size {
			return Frame{}, fmt.Errorf("LLDP frame: TLV %d has %d bytes and should have %d", n, len(b), size)
		}
		value := b[:size]
		b = b[size:]
		if n <= typeTTL && kind != n {
			return Frame{}, fmt.Errorf("LLDP frame: TLV %d has the type %d and should have %d", n, kind, n)
		}
		if kind == typeEnd {
			break
		}
		if kind > typeCapabilities {
			continue
		}
		if has[kind] && kind <= typeTTL {
			return Frame{}, fmt.Errorf("LLDP frame: TLV %d is another one of the type %d", n, kind)
		}
		has[kind] = true
		if err := f.take(kind, value); err != nil {
			return Frame{}, fmt.Errorf("LLDP frame: %w", err)
		}
	}
	if f.Neighbour.Switch == "" {
		f.Neighbour.Switch = f.chassis
	}
	if f.Neighbour.Description == f.Neighbour.Port {
		f.Neighbour.Description = ""
	}
	return f, nil
}

// take reads one TLV.
func (f *Frame) take(kind int, value []byte) error {
	switch kind {
	case typeChassis:
		if len(value) < 2 {
			return errors.New("the chassis ID is empty")
		}
		f.chassis = text(value[1:], value[0] == chassisMAC, value[0] == chassisAddress)
	case typePort:
		if len(value) < 2 {
			return errors.New("the port ID is empty")
		}
		f.Neighbour.Port = text(value[1:], value[0] == portMAC, value[0] == portAddress)
	case typeTTL:
		if len(value) < 2 {
			return errors.New("the time to live is cut")
		}
		f.TTL = time.Duration(binary.BigEndian.Uint16(value)) * time.Second
	case typeDescription:
		f.Neighbour.Description = text(value, false, false)
	case typeName:
		f.Neighbour.Switch = text(value, false, false)
	case typeCapabilities: // what it can do, and what of that is switched on
		f.Bridge = len(value) >= 4 && binary.BigEndian.Uint16(value[2:])&canBridge != 0
	}
	return nil
}

// text is a value for people: a MAC address, a network address (a byte of IANA's address family before it), or a
// string; what is none of them is hexadecimal.
func text(b []byte, mac, address bool) string {
	if mac && len(b) == 6 {
		return net.HardwareAddr(b).String()
	}
	if address && len(b) > 1 {
		if a, ok := netip.AddrFromSlice(b[1:]); ok && (b[0] == 1 && a.Is4() || b[0] == 2 && a.Is6()) {
			return a.String()
		}
	}
	b = bytes.TrimRight(b, "\x00")
	if s := string(b); !mac && !address && (job.Printable(s) != "" || len(b) == 0) {
		return s
	}
	return hex.EncodeToString(b)
}
