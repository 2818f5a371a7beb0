package content

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"griddle/initramfs/disk/luksheader"

	"github.com/google/uuid"
)

// The mark of a pool on a disk that others share, in the pool's own partition: version 2 of how a disk says whose pool
// it has (version 1 is the GUID of the disk and the name of the partition). btrfs leaves the first 64 KiB of its
// partition to boot loaders, and mkfs.btrfs writes zeros there, so that the mark is gone with the pool.
//
//	16 bytes              1 byte   36 bytes             455 bytes   4 bytes
//	+--------------------+--------+--------------------+-----------+--------+
//	| "GRIDDLE POOL 1"   | state  | ID of the job      | zero      | CRC-32 | little endian, of all before it
//	| and two zero bytes | U or F | (a UUID, in text)  |           | (IEEE) |
//	+--------------------+--------+--------------------+-----------+--------+
//
// A program that does not know another version or state takes the mark for none. Bytes that are zero today do not
// count.
//
// An encrypted pool has its mark in the header of its LUKS2 volume, which can be read without a key: the subsystem
// there is "griddle:", the state, ":" and the ID of the job (package luksheader).
//
// Where the roots are partitions of their own, the mark is in the ext4 that they share, in the second half of the 1024
// bytes that ext4 leaves to boot loaders. The kernel writes these bytes again with the superblock while it has the
// filesystem mounted: the mark changes only while it has not.
const (
	MarkAt   = 48 << 10 // bytes from the start of a btrfs
	MarkSize = 512      // bytes: one sector is written whole or not at all

	ext4MarkAt = 512 // bytes from the start of an ext4

	luksMark = "griddle:" // begins the subsystem of a LUKS2 volume that is a pool

	markMagic      = "GRIDDLE POOL 1\x00\x00"
	markUnfinished = 'U'
	markFinished   = 'F'
)

// Mark says whose a pool is, and whether its install was finished. The zero value means that there is none.
type Mark struct {
	Job      string // ID of the job, a UUID in lower case
	Finished bool
}

// Bytes is the mark as it is on a disk, MarkSize bytes long. It fails if the job is not a UUID in lower case.
func (m Mark) Bytes() ([]byte, error) {
	if !isJob(m.Job) {
		return nil, fmt.Errorf("marking a pool: %q is not the ID of a job", m.Job)
	}
	b := make([]byte, MarkSize)
	n := copy(b, markMagic)
	b[n] = markUnfinished
	if m.Finished {
		b[n] = markFinished
	}
	copy(b[n+1:], m.Job)
	binary.LittleEndian.PutUint32(b[MarkSize-4:], crc32.ChecksumIEEE(b[:MarkSize-4]))
	return b, nil
}

// Subsystem is the mark as the header of a LUKS2 volume has it. It fails if the job is not a UUID in lower case.
func (m Mark) Subsystem() (string, error) {
	b, err := m.Bytes()
	if err != nil {
		return "", err
	}
	return luksMark + string(b[len(markMagic)]) + ":" + m.Job, nil
}

// parseSubsystem is the mark in the header of a LUKS2 volume.
func parseSubsystem(s string) Mark {
	rest, ok := strings.CutPrefix(s, luksMark)
	state, id, _ := strings.Cut(rest, ":")
	if !ok || state != string(rune(markFinished)) && state != string(rune(markUnfinished)) || !isJob(id) {
		return Mark{}
	}
	return Mark{Job: id, Finished: state == string(rune(markFinished))}
}

// markOf is the mark of a partition with a filesystem of a kind, zero if it has none that is whole.
func markOf(partition io.ReaderAt, kind string) Mark {
	if at, ok := MarkPlace(kind); ok {
		return readMark(partition, at)
	}
	if kind != Encrypted {
		return Mark{}
	}
	h, _ := luksheader.Read(partition)
	return parseSubsystem(h.Subsystem)
}

// Encrypted is the Signature.Type of a LUKS volume.
const Encrypted = "crypto_LUKS"

// MarkPlace is where a filesystem of a kind has the mark, in bytes from its start. ok is false if that has none.
func MarkPlace(kind string) (at int64, ok bool) {
	switch kind {
	case "btrfs":
		return MarkAt, true
	case "ext4":
		return ext4MarkAt, true
	}
	return 0, false
}

// readMark is the mark of a partition, zero if it has none that is whole.
func readMark(partition io.ReaderAt, at int64) Mark {
	b := make([]byte, MarkSize)
	if !readFull(partition, b, at) {
		return Mark{}
	}
	return parseMark(b)
}

// parseMark reads MarkSize bytes.
func parseMark(b []byte) Mark {
	n := len(markMagic)
	if string(b[:n]) != markMagic || crc32.ChecksumIEEE(b[:MarkSize-4]) != binary.LittleEndian.Uint32(b[MarkSize-4:]) {
		return Mark{}
	}
	m := Mark{Job: string(b[n+1 : n+1+36]), Finished: b[n] == markFinished}
	if b[n] != markFinished && b[n] != markUnfinished || !isJob(m.Job) {
		return Mark{}
	}
	return m
}

// isJob says whether s is a UUID in lower case, with dashes.
func isJob(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.String() == s
}
