package entries

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Offsets in the header of a GPT (UEFI 2.10 table 5.5), and in an entry (table 5.6).
const (
	gptMagic     = "EFI PART"
	gptRevision  = 8  // u32
	gptLength    = 12 // u32, of the header, bytes
	gptSum       = 16 // u32, CRC-32 of the header while this is 0
	gptMine      = 24 // u64, sector of this header
	gptOther     = 32 // u64, sector of the other one
	gptFirst     = 40 // u64, first usable sector
	gptLast      = 48 // u64, last usable sector
	gptGUID      = 56
	gptArray     = 72 // u64, first sector of the array
	gptCount     = 80 // u32, entries
	gptEach      = 84 // u32, bytes of an entry
	gptArraySum  = 88 // u32, CRC-32 of the array
	gptMinLength = 92

	entryUUID       = 16
	entryFirst      = 32 // u64
	entryLast       = 40 // u64
	entryAttributes = 48 // u64
	entryName       = 56 // UTF-16
	entryNameEnd    = 128
)

// The bounds of package content, which must read what is written here.
const (
	maxEntries   = 256
	maxEntrySize = 1024
)

// header is the header of a GPT.
type header struct {
	length      int64
	other       int64 // sectors, from here on
	first, last int64
	array       int64
	arraySize   int64
	count, each int64
	guid        [16]byte
}

// parseHeader parses the header in sector mine of a disk of so many sectors. It does not check the array.
func parseHeader(b []byte, mine, sectors, sector int64) (h header, err error) {
	if string(b[:len(gptMagic)]) != gptMagic {
		return h, errors.New("it has no signature")
	}
	if r := le.Uint32(b[gptRevision:]); r != 0x00010000 {
		return h, fmt.Errorf("it is of revision %08x, and only 00010000 is known", r)
	}
	h.length = int64(le.Uint32(b[gptLength:]))
	if h.length < gptMinLength || h.length > sector || headerSum(b, h.length) != le.Uint32(b[gptSum:]) {
		return h, errors.New("its checksum is wrong")
	}
	for _, f := range []struct {
		to *int64
		at int
	}{{&h.other, gptOther}, {&h.first, gptFirst}, {&h.last, gptLast}, {&h.array, gptArray}} {
		n := le.Uint64(b[f.at:])
		if n >= uint64(sectors) {
			return h, fmt.Errorf("it names sector %d, and the disk has %d", n, sectors)
		}
		*f.to = int64(n)
	}
	if n := le.Uint64(b[gptMine:]); n != uint64(mine) {
		return h, fmt.Errorf("it is in sector %d, and says that it is in sector %d", mine, n)
	}
	h.count, h.each = int64(le.Uint32(b[gptCount:])), int64(le.Uint32(b[gptEach:]))
	if h.count < 1 || h.count > maxEntries || h.each < 128 || h.each > maxEntrySize || h.each&(h.each-1) != 0 {
		return h, fmt.Errorf("it has %d entries of %d bytes; only 1 to %d of 128, 256, 512 or %d are supported",
			h.count, h.each, maxEntries, maxEntrySize)
	}
	h.arraySize = (h.count*h.each + sector - 1) / sector
	h.guid = [16]byte(b[gptGUID:])
	return h, nil
}

// headerSum is the checksum that a header of length bytes should have.
func headerSum(b []byte, length int64) uint32 {
	c := bytes.Clone(b[:length])
	clear(c[gptSum : gptSum+4])
	return crc32.ChecksumIEEE(c)
}

// readCopy reads the copy whose header is in sector mine.
func (t *Table) readCopy(r io.ReaderAt, mine int64) (h header, head, array place, err error) {
	if head, err = t.readPlace(r, mine, 1); err != nil {
		return h, head, array, err
	}
	if h, err = parseHeader(head.Bytes, mine, t.size/t.sector, t.sector); err != nil {
		return h, head, array, err
	}
	if h.array+h.arraySize > t.size/t.sector {
		return h, head, array, errors.New("its array is not within the disk")
	}
	if array, err = t.readPlace(r, h.array, h.arraySize); err != nil {
		return h, head, array, err
	}
	if crc32.ChecksumIEEE(array.Bytes[:h.count*h.each]) != le.Uint32(head.Bytes[gptArraySum:]) {
		return h, head, array, errors.New("the checksum of its array is wrong")
	}
	return h, head, array, nil
}

// readGPT reads both copies. Package content says that it is a GPT with a protective MBR.
func (t *Table) readGPT(r io.ReaderAt) error {
	last := t.size/t.sector - 1
	boot, err := t.readPlace(r, 0, 1)
	if err != nil {
		return err
	}
	p, head, array, err := t.readCopy(r, 1)
	if err != nil {
		return fmt.Errorf("the first copy of the GPT: %w", err)
	}
	b, backupHead, backupArray, err := t.readCopy(r, last)
	switch {
	case err != nil:
		return fmt.Errorf("the backup copy of the GPT: %w", err)
	case p.other != last || b.other != 1:
		return errors.New("the two copies of the GPT do not name each other; `sgdisk -e` puts the backup at the end")
	case !sameCopy(p, array.Bytes, b, backupArray.Bytes):
		return errors.New("the two copies of the GPT differ: a change of it was interrupted")
	case p.first > p.last || p.array < 2 || p.array+p.arraySize > p.first || b.array <= b.last ||
		b.array+b.arraySize > last:
		return errors.New("the arrays of the GPT are within the space for partitions")
	}
	t.gpt, t.was = p, []place{boot, head, array, backupArray, backupHead}
	t.now = t.was
	return t.check()
}

// sameCopy says whether two copies of a GPT mean the same. What is reserved in the headers may differ.
func sameCopy(p header, array []byte, b header, backup []byte) bool {
	used := p.count * p.each
	return p.first == b.first && p.last == b.last && p.count == b.count && p.each == b.each && p.guid == b.guid &&
		bytes.Equal(array[:used], backup[:used])
}

// seal gives both headers the checksums of what they and their arrays have.
func (t *Table) seal() {
	if t.kind != GPT {
		return
	}
	for _, c := range [][2]int{{atHeader, atArray}, {atBackupHeader, atBackupArray}} {
		head, array := t.now[c[0]].Bytes, t.now[c[1]].Bytes
		le.PutUint32(head[gptArraySum:], crc32.ChecksumIEEE(array[:t.gpt.count*t.gpt.each]))
		le.PutUint32(head[gptSum:], headerSum(head, int64(le.Uint32(head[gptLength:]))))
	}
}
