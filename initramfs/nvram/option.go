package nvram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// Option is what an entry says.
type Option struct {
	Active      bool // the firmware tries it
	Description string
	Path        []byte // nodes of the device path, and perhaps of further ones
	Optional    []byte // data for the program
}

// active is LOAD_OPTION_ACTIVE.
const active = 1

// ParseOption reads the value of Boot####.
func ParseOption(b []byte) (Option, error) {
	if len(b) < 6 {
		return Option{}, fmt.Errorf("reading a boot entry: it has %d bytes, which are too few", len(b))
	}
	o := Option{Active: binary.LittleEndian.Uint32(b)&active != 0}
	path, rest := int(binary.LittleEndian.Uint16(b[4:])), b[6:]
	var text []uint16
	for {
		if len(rest) < 2 {
			return Option{}, errors.New("reading a boot entry: its description has no end")
		}
		c := binary.LittleEndian.Uint16(rest)
		rest = rest[2:]
		if c == 0 {
			break
		}
		text = append(text, c)
	}
	if path > len(rest) {
		return Option{}, fmt.Errorf("reading a boot entry: its device path has %d bytes, and only %d are there", path,
			len(rest))
	}
	o.Description = string(utf16.Decode(text))
	o.Path, o.Optional = rest[:path:path], rest[path:]
	return o, nil
}

// bytes is the value of Boot####.
func (o Option) bytes() []byte {
	flags := uint32(0)
	if o.Active {
		flags = active
	}
	b := binary.LittleEndian.AppendUint32(nil, flags)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(o.Path)))
	b = append(b, text(o.Description)...)
	return append(append(b, o.Path...), o.Optional...)
}

// text is UTF-16 with its end.
func text(s string) []byte {
	var b []byte
	for _, c := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// Types and subtypes of nodes (UEFI 2.10 section 10.3).
const (
	typeHardware  = 1
	memoryMapped  = 3
	typeMessaging = 3
	typeMedia     = 4
	mediaDisk     = 1
	mediaCD       = 2
	mediaFile     = 4
	firmwareFile  = 6
	firmwareAll   = 7
	typeBIOS      = 5
	typeEnd       = 0x7f
	endOfAll      = 0xff
)

// node is one part of a device path.
type node struct {
	kind, sub byte
	data      []byte
}

// nodes are those of the first device path. What is damaged ends it.
func nodes(path []byte) []node {
	var out []node
	for len(path) >= 4 && path[0] != typeEnd {
		n := int(binary.LittleEndian.Uint16(path[2:]))
		if n < 4 || n > len(path) {
			break
		}
		out = append(out, node{path[0], path[1], path[4:n]})
		path = path[n:]
	}
	return out
}

// encode is a node as a device path has it.
func (n node) encode() []byte {
	b := binary.LittleEndian.AppendUint16([]byte{n.kind, n.sub}, uint16(4+len(n.data)))
	return append(b, n.data...)
}

// first says whether an entry is one that an entry for a disk must not come before: the network, by which an operator
// reaches a machine, what people plug in, and the programs of the firmware, such as its setup.
func first(data []byte) bool {
	o, err := ParseOption(data)
	if err != nil {
		return false
	}
	disk, other := false, false
	for _, n := range nodes(o.Path) {
		switch {
		case n.kind == typeMessaging:
			switch n.sub {
			case 5, 15, 16, // USB
				11, 12, 13, 24, 28: // MAC address, IPv4, IPv6, URI, Wi-Fi
				return true
			}
		case n.kind == typeMedia && n.sub == mediaCD:
			return true
		case n.kind == typeMedia && n.sub == mediaDisk:
			disk = true
		case n.kind == typeMedia && (n.sub == firmwareFile || n.sub == firmwareAll),
			n.kind == typeHardware && n.sub == memoryMapped:
			other = true
		case n.kind == typeBIOS && len(n.data) >= 2:
			// The types of the BIOS Boot Specification: hard disk is 2.
			return binary.LittleEndian.Uint16(n.data) != 2
		}
	}
	return other && !disk
}

// starts says whether an entry starts a file, and from which partition: the data of the node of the disk, without the
// number and place of the partition, which change when a table is sorted.
func starts(data []byte) (partition []byte, file string) {
	o, err := ParseOption(data)
	if err != nil {
		return nil, ""
	}
	for _, n := range nodes(o.Path) {
		switch {
		case n.kind == typeMedia && n.sub == mediaDisk && len(n.data) == diskNode:
			partition = n.data[20:]
		case n.kind == typeMedia && n.sub == mediaFile:
			var part []uint16
			for b := n.data; len(b) >= 2 && (b[0] != 0 || b[1] != 0); b = b[2:] {
				part = append(part, binary.LittleEndian.Uint16(b))
			}
			file += string(utf16.Decode(part))
		}
	}
	return bytes.Clone(partition), file
}

// diskNode is the length of the data of a node of a partition.
const diskNode = 38
