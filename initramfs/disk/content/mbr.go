package content

import (
	"encoding/binary"
	"fmt"
	"io"
)

// maxLogical bounds the chain of logical partitions, which a hostile disk may close into a ring.
const maxLogical = 128

type mbrEntry struct {
	kind        byte
	first, size int64 // sectors
}

// mbrEntries reads the four entries of a boot sector. ok is false where it has no signature; odd is a status byte that
// no partition table should have, as in the boot sector of a filesystem, or 0.
func mbrEntries(b []byte) (e [4]mbrEntry, odd byte, ok bool) {
	if b[510] != 0x55 || b[511] != 0xaa {
		return e, 0, false
	}
	for i := range e {
		p := b[446+16*i:]
		if p[0]&0x7f != 0 {
			odd = p[0]
		}
		e[i] = mbrEntry{p[4], int64(binary.LittleEndian.Uint32(p[8:])), int64(binary.LittleEndian.Uint32(p[12:]))}
	}
	return e, odd, true
}

// plausible says whether entries with an odd status byte are a table all the same: at least one is used, and what is
// used is on a disk of so many sectors.
func plausible(entries [4]mbrEntry, sectors int64) bool {
	used := 0
	for _, e := range entries {
		switch {
		case e.kind == 0 && e.size == 0:
		case e.kind == 0 || e.first == 0 || e.size == 0 || e.first >= sectors:
			return false
		default:
			used++
		}
	}
	return used > 0
}

func extended(kind byte) bool { return kind == 0x05 || kind == 0x0f || kind == 0x85 }

// readMBR reads a DOS partition table with its logical partitions. A protective MBR is what is left of a GPT where
// readGPT found none.
func readMBR(r io.ReaderAt, size int64, sectorSize int) (Content, bool) {
	b := make([]byte, 512)
	if sectorSize <= 0 || !readFull(r, b, 0) {
		return Content{}, false
	}
	entries, odd, ok := mbrEntries(b)
	if !ok || odd != 0 && !plausible(entries, size/int64(sectorSize)) || fatBootSector(b) ||
		string(b[3:11]) == "NTFS    " || string(b[3:11]) == "EXFAT   " {
		return Content{}, false
	}
	c := Content{Table: "mbr"}
	if id := binary.LittleEndian.Uint32(b[440:]); id != 0 {
		c.GUID = fmt.Sprintf("%08x", id)
	}
	if odd != 0 {
		c.Damaged = fmt.Sprintf("it has a status byte of 0x%02x", odd)
	}
	for _, e := range entries {
		if e.kind == 0xee && entries == [4]mbrEntry{e} {
			return Content{Table: "gpt", Damaged: "only its protective MBR is left"}, true
		}
	}
	s := int64(sectorSize)
	var chain int64
	for i, e := range entries {
		if e.kind == 0 || e.size == 0 {
			continue
		}
		if extended(e.kind) {
			chain = e.first
		}
		c.Partitions = append(c.Partitions,
			Partition{Number: i + 1, Start: e.first * s, Size: clip(e.first*s, e.size*s, size), Type: mbrType(e.kind)})
	}
	// Every link's own partition counts from the link, the next link from the start of the extended one. Numbers count
	// partitions: a link without one has no number.
	next, number := chain, 5
	for n := 0; next > 0 && n < maxLogical; n++ {
		if !readFull(r, b, next*s) {
			break
		}
		link, odd, ok := mbrEntries(b)
		if !ok || odd != 0 {
			break
		}
		here := next
		next = 0
		for _, e := range link[:2] {
			switch {
			case e.kind == 0 || e.size == 0:
			case extended(e.kind):
				next = chain + e.first
			default:
				start := (here + e.first) * s
				c.Partitions = append(c.Partitions,
					Partition{Number: number, Start: start, Size: clip(start, e.size*s, size), Type: mbrType(e.kind)})
				number++
			}
		}
	}
	return c, true
}

// clip cuts a partition at the end of the disk.
func clip(start, n, size int64) int64 { return max(0, min(n, size-start)) }
