package entries

import (
	"crypto/rand"
	"fmt"

	"github.com/google/uuid"
)

// New makes an empty table of kind GPT or MBR for a disk of size bytes with sectors of 512 or 4096 bytes, on which
// everything is given up. It has a random GUID or disk signature, and no boot code.
func New(kind string, size int64, sectorSize int) (*Table, error) {
	t, err := empty(size, sectorSize)
	if err != nil {
		return nil, fmt.Errorf("making a partition table: %w", err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("making a partition table: %w", err)
	}
	t.kind, t.fresh = kind, true
	boot := make([]byte, t.sector)
	boot[510], boot[511] = 0x55, 0xaa
	switch kind {
	case GPT:
		protect(boot, t.size/t.sector)
		t.newGPT(id, boot)
	case MBR:
		rand.Read(boot[mbrSignature : mbrSignature+4]) // it never fails
		boot[mbrSignature] |= 1                        // 0 means that there is none
		t.now = []place{{0, boot}}
	default:
		return nil, fmt.Errorf("making a partition table: %q is not a kind of table that can be made, only gpt and mbr",
			kind)
	}
	return t, nil
}

// protect writes the entry of a protective MBR (UEFI 2.10 table 5.4).
func protect(boot []byte, sectors int64) {
	e := boot[mbrEntries:]
	copy(e[mbrFirstCHS:], []byte{0x00, 0x02, 0x00}) // sector 1
	e[mbrKind] = mbrProtective
	last := usual.chs(sectors - 1)
	if sectors > usual.reach() {
		last = [3]byte{0xff, 0xff, 0xff}
	}
	copy(e[mbrLastCHS:], last[:])
	le.PutUint32(e[mbrFirst:], 1)
	le.PutUint32(e[mbrCount:], uint32(min(sectors-1, 1<<32-1)))
}

// newGPT makes a GPT of 128 entries.
func (t *Table) newGPT(id uuid.UUID, boot []byte) {
	last, size := t.size/t.sector-1, 128*128/t.sector
	t.gpt = header{length: gptMinLength, other: last, first: 2 + size, last: last - size - 1, array: 2, arraySize: size,
		count: 128, each: 128, guid: swapped(id)}
	head := func(mine, other, array int64) place {
		b := make([]byte, t.sector)
		copy(b, gptMagic)
		copy(b[gptGUID:], t.gpt.guid[:])
		le.PutUint32(b[gptRevision:], 0x00010000)
		le.PutUint32(b[gptLength:], gptMinLength)
		le.PutUint64(b[gptMine:], uint64(mine))
		le.PutUint64(b[gptOther:], uint64(other))
		le.PutUint64(b[gptFirst:], uint64(t.gpt.first))
		le.PutUint64(b[gptLast:], uint64(t.gpt.last))
		le.PutUint64(b[gptArray:], uint64(array))
		le.PutUint32(b[gptCount:], uint32(t.gpt.count))
		le.PutUint32(b[gptEach:], uint32(t.gpt.each))
		return place{mine * t.sector, b}
	}
	array := func(at int64) place { return place{at * t.sector, make([]byte, size*t.sector)} }
	t.now = []place{{0, boot}, head(1, last, 2), array(2), array(last - size), head(last, 1, last-size)}
	t.seal()
}
