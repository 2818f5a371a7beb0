package entries

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// le is the order of bytes in both kinds of tables.
var le = binary.LittleEndian

// place is some whole sectors of a disk.
type place struct {
	At    int64  `json:"at"` // bytes
	Bytes []byte `json:"bytes"`
}

func (p place) end() int64 { return p.At + int64(len(p.Bytes)) }

// readPlace reads count sectors from one sector on.
func (t *Table) readPlace(r io.ReaderAt, sector, count int64) (place, error) {
	p := place{sector * t.sector, make([]byte, count*t.sector)}
	if n, err := r.ReadAt(p.Bytes, p.At); n < len(p.Bytes) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return place{}, fmt.Errorf("reading %d bytes at byte %d of the disk: %w", len(p.Bytes), p.At, err)
	}
	return p, nil
}

func cloned(places []place) []place {
	var out []place
	for _, p := range places {
		out = append(out, place{p.At, bytes.Clone(p.Bytes)})
	}
	return out
}

// image is a disk on which only some places are known; all others are zero.
type image []place

func (i image) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	to := at + int64(len(b))
	for _, p := range i {
		if from := max(at, p.At); from < min(to, p.end()) {
			copy(b[from-at:], p.Bytes[from-p.At:])
		}
	}
	return len(b), nil
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// guidText writes the first 16 bytes as the text of a GUID, whose first three fields are little endian on a disk (UEFI
// 2.10 appendix A).
func guidText(b []byte) string {
	return swapped([16]byte(b[:16])).String()
}

// swapped turns the bytes of a GUID on a disk into those of its text, and back.
func swapped(b [16]byte) uuid.UUID {
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5], b[6], b[7] = b[5], b[4], b[7], b[6]
	return b
}
