// Package ata erases ATA disks by their own commands: SANITIZE DEVICE, and SECURITY ERASE UNIT.
//
// Make a Drive, ask it by Look what it can do, then call Sanitize or SecurityErase. Commands and answers are made and
// read by pure functions; Drive.Do is the one way to the disk, an ioctl outside of tests.
//
// A command goes to the disk in a SCSI command, ATA PASS-THROUGH (16):
//
//	0     1           2         3        5       7                           13      14       15
//	+-----+-----------+---------+--------+-------+---------------------------+-------+--------+---+
//	| 85h | protocol, | CK_COND | fea-   | count | LBA, in the order 31:24,  | de-   | com-   | 0 |
//	|     | 48 bits   | T_DIR…  | tures  |       | 7:0, 39:32, 15:8, 47:40,  | vice  | mand   |   |
//	|     |           |         |        |       | 23:16                     |       |        |   |
//	+-----+-----------+---------+--------+-------+---------------------------+-------+--------+---+
//
// The registers that answer it are in the sense data, in a descriptor of 14 bytes that begins with 09h 0Ch.
//
// A drive continues a SANITIZE DEVICE after a power cut by itself. A SECURITY ERASE UNIT that is interrupted leaves the
// drive locked, by the password Password, until another one has ended.
//
// Sources: ACS-4 sections 7.12 (IDENTIFY DEVICE), 7.32 (SANITIZE DEVICE), 7.33 to 7.39 (SECURITY …), 7.22 (READ NATIVE
// MAX ADDRESS EXT, of ACS-2); SAT-4 sections 12.2.2 and 12.2.7; hdparm's sgio.c and sysfs.
package ata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The commands that are used.
const (
	opReadNativeMax   = 0x27
	opSanitize        = 0xb4
	opIdentify        = 0xec
	opSetPassword     = 0xf1
	opUnlock          = 0xf2
	opErasePrepare    = 0xf3
	opEraseUnit       = 0xf4
	opDisablePassword = 0xf6
)

// Command is a command of ATA with its registers.
type Command struct {
	Op       byte
	Feature  uint16
	Count    uint16
	LBA      uint64 // 48 bits
	Device   byte
	Extended bool   // it has 48 bits
	In, Out  []byte // one sector that the disk fills, or that it gets; nil for neither
	Answers  bool   // its registers are wanted
	Timeout  time.Duration
}

// Block is the SCSI command that takes c to the disk (SAT-4 table 146).
func (c Command) Block() (b [16]byte) {
	const none, in, out = 3, 4, 5 // protocols
	protocol, flags := byte(none), byte(0)
	const sectors, blocks, fromDisk, condition = 2, 4, 8, 0x20
	switch {
	case c.In != nil:
		protocol, flags = in, sectors|blocks|fromDisk
	case c.Out != nil:
		protocol, flags = out, sectors|blocks
	}
	if c.Answers {
		flags |= condition
	}
	b[0], b[1], b[2] = 0x85, protocol<<1, flags
	if c.Extended {
		b[1] |= 1
	}
	binary.BigEndian.PutUint16(b[3:], c.Feature)
	binary.BigEndian.PutUint16(b[5:], c.Count)
	for i, shift := range []int{24, 0, 32, 8, 40, 16} {
		b[7+i] = byte(c.LBA >> shift)
	}
	b[13], b[14] = c.Device, c.Op
	return b
}

// Answer is the registers after a command.
type Answer struct {
	Error, Status byte
	Count         uint16
	LBA           uint64
}

// The bits of Answer.Status that say that a command failed.
const (
	statusError = 1
	statusFault = 0x20
)

// ReadAnswer finds the registers in sense data, in the form with descriptors (SAT-4 table 147). It returns false if
// they are not in it.
func ReadAnswer(sense []byte) (a Answer, ok bool) {
	if len(sense) < 8 || sense[0]&0x7f != 0x72 && sense[0]&0x7f != 0x73 {
		return a, false
	}
	rest := sense[8:min(len(sense), 8+int(sense[7]))]
	for len(rest) >= 2 {
		n := 2 + int(rest[1])
		if rest[0] == 9 && n >= 14 && len(rest) >= 14 {
			a = Answer{Error: rest[3], Count: uint16(rest[4])<<8 | uint16(rest[5]), Status: rest[13]}
			for i, shift := range []int{24, 0, 32, 8, 40, 16} {
				a.LBA |= uint64(rest[6+i]) << shift
			}
			return a, true
		}
		rest = rest[min(len(rest), n):]
	}
	return a, false
}

// Identity is what of IDENTIFY DEVICE an erase needs.
type Identity struct {
	Block, Crypto, Overwrite bool // actions of SANITIZE DEVICE
	Security                 bool // it has SECURITY ERASE UNIT
	Enabled, Locked          bool // it has a password; and needs it before it can be read
	Frozen                   bool // it takes no security command until its power was off
	Expired                  bool // too many wrong passwords
	Enhanced                 bool // it has an enhanced SECURITY ERASE UNIT
	// Normal and Enhance are how long these take by its own word; 0 if it does not say.
	Normal, Enhance time.Duration
	Solid           bool // it says that nothing turns in it
	Hides           bool // it can hide sectors at its end: the host protected area
	Sectors         uint64
}

const identitySize = 512

// ReadIdentity reads what IDENTIFY DEVICE answers (ACS-4 table 45).
func ReadIdentity(b []byte) (Identity, error) {
	if len(b) < identitySize {
		return Identity{}, fmt.Errorf("it described itself in %d bytes, not %d", len(b), identitySize)
	}
	word := func(n int) uint16 { return binary.LittleEndian.Uint16(b[2*n:]) }
	if word(0)&0x8000 != 0 {
		return Identity{}, errors.New("it is not an ATA disk")
	}
	var id Identity
	if w := word(59); w&0x1000 != 0 {
		id.Block, id.Overwrite, id.Crypto = w&0x8000 != 0, w&0x4000 != 0, w&0x2000 != 0
	}
	if w := word(128); w&1 != 0 {
		id.Security, id.Enabled, id.Locked, id.Frozen = true, w&2 != 0, w&4 != 0, w&8 != 0
		id.Expired, id.Enhanced = w&16 != 0, w&32 != 0
	}
	id.Normal, id.Enhance = eraseTime(word(89)), eraseTime(word(90))
	id.Solid = word(217) == 1
	// Words 82 and 83 are valid if the two high bits of word 83 are 01.
	id.Hides = word(83)&0xc000 == 0x4000 && word(82)&0x400 != 0 && word(83)&0x400 != 0
	id.Sectors = binary.LittleEndian.Uint64(b[200:])
	return id, nil
}

// eraseTime reads the words 89 and 90: units of two minutes, in 15 bits if bit 15 is set, else in 8; the largest value
// means more than that.
func eraseTime(w uint16) time.Duration {
	if w&0x8000 != 0 {
		return time.Duration(w&0x7fff) * 2 * time.Minute
	}
	return time.Duration(w&0xff) * 2 * time.Minute
}

// Action is what a SANITIZE DEVICE does: its feature.
type Action uint16

// The actions of SANITIZE DEVICE that erase (ACS-4 table 108).
const (
	sanitizeStatus Action = 0x00
	CryptoScramble Action = 0x11
	BlockErase     Action = 0x12
	Overwrite      Action = 0x14
)

// sanitizeCommand begins an action, or asks for the status. Each has a key, so that nothing else begins it. An
// overwrite writes zeros once. A failed one may be followed by others, and does not lock the drive (FAILURE MODE, count
// bit 4).
func sanitizeCommand(a Action) Command {
	c := Command{Op: opSanitize, Feature: uint16(a), Extended: true, Answers: true, Timeout: time.Minute,
		Device: 0x40}
	const mayFail = 1 << 4
	switch a {
	case CryptoScramble:
		c.LBA, c.Count = 0x43727970, mayFail // "Cryp"
	case BlockErase:
		c.LBA, c.Count = 0x426b4572, mayFail // "BkEr"
	case Overwrite:
		c.LBA, c.Count = 0x4f57_0000_0000, mayFail|1 // "OW", the pattern; once
	}
	return c
}

// Status is what SANITIZE STATUS EXT answers (ACS-4 table 113).
type Status struct {
	Running, Succeeded, Frozen bool
	Fraction                   float64 // 0 to 1, while it is Running
}

func readStatus(a Answer) Status {
	return Status{Succeeded: a.Count&0x8000 != 0, Running: a.Count&0x4000 != 0, Frozen: a.Count&0x2000 != 0,
		Fraction: float64(uint16(a.LBA)) / 65536}
}

// Password is the user password of a drive while a SECURITY ERASE UNIT runs, padded with zeros to 32 bytes. It protects
// nothing: a drive that lost its power has it, and anyone may unlock it by this name.
const Password = "griddle"

// security is the sector of a command with a password (ACS-4 table 119): the user password, and for SECURITY ERASE UNIT
// whether it is enhanced.
func security(op byte, enhanced bool, timeout time.Duration) Command {
	b := make([]byte, 512)
	if enhanced {
		b[0] = 2
	}
	copy(b[2:34], Password)
	return Command{Op: op, Out: b, Count: 1, Timeout: timeout}
}
