// Package nvme erases NVMe disks by their own commands: Sanitize, and Format NVM with secure erase.
//
// Make a Drive, ask it by Look what it can do, then call Sanitize or Format. Commands and answers are made and read by
// pure functions; Drive.Do is the one way to the disk, an ioctl outside of tests.
//
// Sanitize erases all namespaces of an NVM subsystem, and with some drives Format NVM does too. Each namespace is a
// disk of its own for the kernel, so Look allows neither where there are others: an erase is of one disk.
//
// The drive continues a Sanitize after a reset and a power cut by itself; its log says how far it is:
//
//	0        2        4         8            20
//	+--------+--------+---------+-----------+
//	| SPROG  | SSTAT  | SCDW10  | estimates |   log page 81h, little endian
//	| of     | 2:0    | of the  |           |
//	| 65536  | status | command |           |
//	+--------+--------+---------+-----------+
//
// Sources: NVM Express 1.4 sections 5.14.1.16.2 (Sanitize Status), 5.15 (Identify), 5.23 (Format NVM), 5.24 (Sanitize);
// the kernel's include/uapi/linux/nvme_ioctl.h.
package nvme

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Command is an admin command.
type Command struct {
	Opcode    byte
	Namespace uint32
	Words     [6]uint32 // command dwords 10 to 15
	Data      []byte    // that the disk fills; nil if it sends none
	Timeout   time.Duration
}

// The opcodes of admin commands.
const (
	opGetLogPage = 0x02
	opIdentify   = 0x06
	opFormat     = 0x80
	opSanitize   = 0x84
)

const (
	identifySize = 4096
	logSize      = 512
	all          = 0xffffffff // namespaces: of what is the controller's
	short        = 10 * time.Second
	// formatTime is how long a Format NVM may take. When it is over, the kernel resets the controller.
	formatTime = 4 * time.Hour
)

// Action is what a Sanitize does.
type Action uint32

// The actions of Sanitize that erase (NVM Express 1.4 figure 336).
const (
	exitFailure    Action = 1
	BlockErase     Action = 2
	Overwrite      Action = 3
	CryptoErase    Action = 4
	unrestricted          = 1 << 3 // a failed one may be left by exitFailure
	overwritePass1        = 1 << 4
)

// SanitizeCommand begins a Sanitize. An overwrite writes zeros once.
func SanitizeCommand(a Action) Command {
	word := uint32(a)
	if a != exitFailure {
		word |= unrestricted
	}
	if a == Overwrite {
		word |= overwritePass1
	}
	return Command{Opcode: opSanitize, Words: [6]uint32{word}, Timeout: time.Minute}
}

// SecureErase is what a Format NVM does with the data.
type SecureErase uint32

// The secure erase settings of Format NVM (NVM Express 1.4 figure 330).
const (
	UserData      SecureErase = 1
	Cryptographic SecureErase = 2
)

// FormatCommand formats a namespace as it is, given by its format, and erases its data.
func FormatCommand(namespace uint32, f Formatted, e SecureErase) Command {
	word := uint32(f.LBA) | uint32(e)<<9
	if f.Extended {
		word |= 1 << 4
	}
	word |= uint32(f.Protection)<<5 | uint32(f.First)<<8
	return Command{Opcode: opFormat, Namespace: namespace, Words: [6]uint32{word}, Timeout: formatTime}
}

func identify(what, namespace uint32) Command {
	return Command{Opcode: opIdentify, Namespace: namespace, Words: [6]uint32{what}, Data: make([]byte, identifySize),
		Timeout: short}
}

func sanitizeLog() Command {
	const page = 0x81
	return Command{Opcode: opGetLogPage, Namespace: all, Words: [6]uint32{(logSize/4-1)<<16 | page},
		Data: make([]byte, logSize), Timeout: short}
}

// Controller is what a controller says that it can do.
type Controller struct {
	Block, Crypto, Overwrite bool // actions of Sanitize
	Format                   bool // it has Format NVM
	FormatCrypto             bool // Format NVM can erase by the key
	FormatsAll               bool // Format NVM changes or erases all namespaces
	Manages                  bool // it has namespace management, so that there may be namespaces that are not attached
}

// ReadController reads what Identify Controller answers (NVM Express 1.4 figure 247).
func ReadController(b []byte) (Controller, error) {
	if len(b) < identifySize {
		return Controller{}, fmt.Errorf("it described its controller in %d bytes, not %d", len(b), identifySize)
	}
	optional, format := binary.LittleEndian.Uint16(b[256:]), b[524]
	sanitize := binary.LittleEndian.Uint32(b[328:])
	return Controller{
		Crypto: sanitize&1 != 0, Block: sanitize&2 != 0, Overwrite: sanitize&4 != 0,
		Format: optional&2 != 0, Manages: optional&8 != 0,
		FormatsAll: format&3 != 0, FormatCrypto: format&4 != 0,
	}, nil
}

// Formatted is how a namespace is formatted.
type Formatted struct {
	LBA        byte // index of its LBA format, 0 to 15
	Extended   bool // metadata are at the end of each block
	Protection byte // type of protection information, 0 for none
	First      byte // 1: that is in the first bytes of the metadata
}

// ReadFormatted reads how a namespace is formatted from what Identify Namespace answers (NVM Express 1.4 figure 245).
func ReadFormatted(b []byte) (Formatted, error) {
	if len(b) < identifySize || binary.LittleEndian.Uint64(b) == 0 {
		return Formatted{}, fmt.Errorf("it did not describe the namespace")
	}
	flbas, dps := b[26], b[29]
	return Formatted{LBA: flbas & 15, Extended: flbas&16 != 0, Protection: dps & 7, First: dps >> 3 & 1}, nil
}

// ReadNamespaces reads a list of namespaces, at most 1024 (NVM Express 1.4 section 5.15.2.3).
func ReadNamespaces(b []byte) (out []uint32) {
	for ; len(b) >= 4; b = b[4:] {
		n := binary.LittleEndian.Uint32(b)
		if n == 0 {
			break
		}
		out = append(out, n)
	}
	return out
}

// State is the state of the last Sanitize.
type State int

// The states of a Sanitize. A drive that never had one is Idle.
const (
	Idle State = iota
	Succeeded
	Running
	Failed
)

// Status is what the log says of the last Sanitize.
type Status struct {
	State    State
	Action   Action  // 0 if there was none
	Fraction float64 // 0 to 1, while it is Running
	Estimate time.Duration
}

// ReadStatus reads the log page Sanitize Status.
func ReadStatus(b []byte) (Status, error) {
	if len(b) < 20 {
		return Status{}, fmt.Errorf("its log of sanitizing has %d bytes", len(b))
	}
	le := binary.LittleEndian
	var s Status
	switch le.Uint16(b[2:]) & 7 {
	case 0:
		return s, nil
	case 1, 4: // 4: without deallocating
		s.State = Succeeded
	case 2:
		s.State, s.Fraction = Running, float64(le.Uint16(b))/65536
	case 3:
		s.State = Failed
	default:
		return s, fmt.Errorf("its log of sanitizing has the status %d, which is not known", le.Uint16(b[2:])&7)
	}
	s.Action = Action(le.Uint32(b[4:]) & 7)
	at := map[Action]int{Overwrite: 8, BlockErase: 12, CryptoErase: 16}[s.Action]
	if n := le.Uint32(b[max(at, 8):]); at > 0 && n != 0xffffffff {
		s.Estimate = time.Duration(n) * time.Second
	}
	return s, nil
}
