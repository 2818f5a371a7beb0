package smart

import (
	"encoding/binary"
	"fmt"
	"math"
)

const logSize = 512

// FromNVMe reads the health log of an NVMe disk, 512 bytes.
func FromNVMe(b []byte) Health {
	if len(b) < logSize {
		return unknown("its health log has %d bytes", len(b))
	}
	le := binary.LittleEndian
	var h Health
	if k := int(le.Uint16(b[1:])); k > 273 && k < 273+200 {
		h.Celsius = k - 273
	}
	h.Used = int(b[5])
	h.Hours = wide(b[128:])
	var wrong, notes []string
	for bit, what := range []string{
		0: fmt.Sprintf("%d %% of its spare blocks are left", b[3]), // below the maker's threshold
		2: "it is unreliable after errors of its media",
		3: "it is read-only",
		4: "its cache is not protected against power cuts",
		5: "its persistent memory is unreliable",
	} {
		if what != "" && b[0]&(1<<bit) != 0 {
			wrong = append(wrong, what)
		}
	}
	if b[0]&2 != 0 {
		notes = append(notes, fmt.Sprintf("it is too hot or too cold: %d °C", h.Celsius))
	}
	if h.Used >= 100 {
		notes = append(notes, fmt.Sprintf("%d %% of the writes that it is made for are used", h.Used))
	}
	if n := wide(b[160:]); n > 0 {
		notes = append(notes, fmt.Sprintf("%d errors of its media", n))
	}
	return h.judged(wrong, notes)
}

// wide is a number of 16 bytes, little endian, or the largest that fits.
func wide(b []byte) int64 {
	le := binary.LittleEndian
	n := le.Uint64(b)
	if le.Uint64(b[8:]) != 0 || n > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(n)
}
