package erase

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"

	"griddle/appliance/job"
)

// head is what the mark is in: the first bytes of the disk, a whole number of sectors. They are overwritten last.
const head = 4096

// mark says on a disk which job overwrites it and how far that is. It is in the first 512 bytes, so that a write of it
// is durable as a whole or not at all; the rest of head is zeros. See the package comment for its form.
type mark struct {
	job  string
	size int64 // of the disk, bytes
	done int64 // every byte from head to here is overwritten, durably
}

const (
	markMagic = "GRIDDLE ERASE 1\x00"
	markSize  = 512
	markSum   = markSize - 4
)

// encode is head with the mark.
func (m mark) encode() []byte {
	b := aligned(head)
	copy(b, markMagic)
	copy(b[16:52], m.job)
	binary.LittleEndian.PutUint64(b[56:], uint64(m.size))
	binary.LittleEndian.PutUint64(b[64:], uint64(m.done))
	binary.LittleEndian.PutUint32(b[markSum:], crc32.ChecksumIEEE(b[:markSum]))
	return b
}

// readMark reads the mark of a job. It returns false if there is none, or one that cannot be.
func readMark(b []byte) (m mark, ok bool) {
	if len(b) < markSize || !bytes.HasPrefix(b, []byte(markMagic)) ||
		crc32.ChecksumIEEE(b[:markSum]) != binary.LittleEndian.Uint32(b[markSum:]) {
		return mark{}, false
	}
	m = mark{job: string(b[16:52]), size: int64(binary.LittleEndian.Uint64(b[56:])),
		done: int64(binary.LittleEndian.Uint64(b[64:]))}
	return m, m.job == job.NormalUUID(m.job) && m.job != "" && m.size > 0 && m.done >= head && m.done <= m.size
}

// findMark reads the mark of the job on a disk of size bytes.
func findMark(r io.ReaderAt, id string, size int64) (mark, bool) {
	b := aligned(head)
	if _, err := r.ReadAt(b, 0); err != nil {
		return mark{}, false
	}
	m, ok := readMark(b)
	return m, ok && m.job == id && m.size == size
}
