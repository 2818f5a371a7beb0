package content

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"unicode/utf16"
)

// Bounds on a GPT: the usual table has 128 entries of 128 bytes.
const (
	maxEntries   = 256
	maxEntrySize = 1024
)

// readGPT looks for both copies of a GPT, for either sector size: a disk keeps its table when it is moved behind a
// bridge that shows other sectors. found is true where a header's signature is there, however broken.
func readGPT(r io.ReaderAt, size int64, sectorSize int) (c Content, found bool) {
	sizes := []int64{int64(sectorSize)}
	for _, s := range []int64{512, 4096} {
		if s != int64(sectorSize) {
			sizes = append(sizes, s)
		}
	}
	for _, s := range sizes {
		if s <= 0 || size < 4*s {
			continue
		}
		primary, seen1, ok1 := readGPTCopy(r, size, s, 1)
		backup, seen2, ok2 := readGPTCopy(r, size, s, size/s-1)
		found = found || seen1 || seen2
		switch {
		case ok1 && ok2:
			primary.Damaged = flaw(r, primary, backup, s, int64(sectorSize))
			return primary, true
		case ok1 && seen2:
			primary.Damaged = "its backup copy is damaged"
			return primary, true
		case ok1:
			primary.Damaged = "it has no backup copy at the end of the disk"
			return primary, true
		case ok2 && seen1:
			backup.Damaged = "its first copy is damaged, the backup is intact"
			return backup, true
		case ok2:
			backup.Damaged = "only its backup copy is left"
			return backup, true
		}
	}
	if found {
		return Content{Table: "gpt", Damaged: "no copy of it can be read"}, true
	}
	return Content{}, false
}

// flaw is what is wrong with a GPT although both copies are whole, "" for nothing. Names and the GUID of the disk may
// differ: these change while an install is marked, and the first copy counts.
func flaw(r io.ReaderAt, primary, backup Content, sector, diskSector int64) string {
	same := func(p, q Partition) bool {
		return p.Number == q.Number && p.Start == q.Start && p.Size == q.Size && p.Type == q.Type
	}
	switch {
	case !slices.EqualFunc(primary.Partitions, backup.Partitions, same):
		return "its two copies have other partitions: a change of it was interrupted"
	case sector != diskSector:
		return fmt.Sprintf("it is for sectors of %d bytes, and those of the disk have %d", sector, diskSector)
	}
	return protection(r)
}

// protection is what is wrong with the MBR of a disk that has a GPT: a protective one has one entry of type 0xee and no
// other (UEFI 2.10 section 5.2.3). Systems without GPTs, and Linux and Windows where there is no entry of type 0xee,
// take other entries for the partitions of the disk.
func protection(r io.ReaderAt) string {
	b := make([]byte, 512)
	if !readFull(r, b, 0) {
		return "its protective MBR cannot be read"
	}
	entries, _, ok := mbrEntries(b)
	protective, others := 0, 0
	for _, e := range entries {
		switch {
		case e.kind == 0xee:
			protective++
		case e.kind != 0:
			others++
		}
	}
	switch {
	case !ok || protective+others == 0:
		return "it has no protective MBR"
	case protective == 0:
		return "the disk also has an MBR with other partitions"
	case others > 0 || protective > 1:
		return "its MBR is a hybrid one, which has partitions of its own"
	}
	return ""
}

// readGPTCopy reads the copy whose header is in sector lba. found is true where there is one, ok where it is whole.
func readGPTCopy(r io.ReaderAt, size, sector, lba int64) (c Content, found, ok bool) {
	h := make([]byte, 512)
	if !readFull(r, h, lba*sector) || string(h[:8]) != "EFI PART" {
		return c, false, false
	}
	le := binary.LittleEndian
	n := int64(le.Uint32(h[12:]))
	if n < 92 || n > int64(len(h)) || int64(le.Uint64(h[24:])) != lba {
		return c, true, false
	}
	sum := le.Uint32(h[16:])
	clear(h[16:20])
	if crc32.ChecksumIEEE(h[:n]) != sum {
		return c, true, false
	}
	array, count, each := int64(le.Uint64(h[72:])), int64(le.Uint32(h[80:])), int64(le.Uint32(h[84:]))
	if array <= 0 || array > size/sector || count <= 0 || count > maxEntries || each < 128 || each > maxEntrySize {
		return c, true, false
	}
	b := make([]byte, count*each)
	if !readFull(r, b, array*sector) || crc32.ChecksumIEEE(b) != le.Uint32(h[88:]) {
		return c, true, false
	}
	c.Slots = int(count)
	for i := range count {
		e := b[i*each : i*each+128]
		first, last := int64(le.Uint64(e[32:])), int64(le.Uint64(e[40:]))
		if bytes.Equal(e[:16], make([]byte, 16)) || first <= 0 || last < first || last >= size/sector {
			continue
		}
		c.Partitions = append(c.Partitions, Partition{
			Number: int(i) + 1,
			Start:  first * sector,
			Size:   (last - first + 1) * sector,
			Name:   Clean(utf16le(e[56:128])),
			Type:   gptType(guidString(e[:16])),
		})
	}
	c.Table, c.GUID = "gpt", guidString(h[56:72])
	if first, last := int64(le.Uint64(h[40:])), int64(le.Uint64(h[48:])); first > 1 && last >= first &&
		last < size/sector {
		c.UsableFrom, c.UsableTo = first*sector, (last+1)*sector
	}
	return c, true, true
}

// guidString writes a GUID as UEFI stores it: its first three fields are little endian.
func guidString(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:16])
}

func utf16le(b []byte) string {
	var u []uint16
	for i := 0; i+1 < len(b); i += 2 {
		v := binary.LittleEndian.Uint16(b[i:])
		if v == 0 {
			break
		}
		u = append(u, v)
	}
	return string(utf16.Decode(u))
}
