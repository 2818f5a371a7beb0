package entries

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Offsets in an MBR (UEFI 2.10 table 5.1) and in one of its entries (table 5.2).
const (
	mbrSignature = 440 // u32, of the disk
	mbrEntries   = 446
	mbrSlots     = 4
	mbrEntrySize = 16

	mbrFirstCHS = 1
	mbrKind     = 4
	mbrLastCHS  = 5
	mbrFirst    = 8  // u32, sector
	mbrCount    = 12 // u32, sectors

	mbrActive     = 0x80
	mbrProtective = 0xee
)

// maxLogical is the bound of package content on logical partitions.
const maxLogical = 128

func extended(kind byte) bool { return kind == 0x05 || kind == 0x0f || kind == 0x85 }

// readMBR reads the first sector and the chain of logical partitions. Package content says that it is an MBR.
func (t *Table) readMBR(r io.ReaderAt) error {
	boot, err := t.readPlace(r, 0, 1)
	if err != nil {
		return err
	}
	t.was = []place{boot}
	t.now = t.was
	frame := span{}
	for n := 1; n <= mbrSlots; n++ {
		e := t.slot(n)
		first, count := int64(le.Uint32(e[mbrFirst:])), int64(le.Uint32(e[mbrCount:]))
		switch kind := e[mbrKind]; {
		case (kind == 0) != (count == 0):
			return fmt.Errorf("entry %d of the MBR is neither empty nor a partition; delete it first", n)
		case kind == mbrProtective:
			return errors.New("the MBR has an entry that protects a GPT, and there is no GPT")
		case extended(kind) && frame.number != 0:
			return errors.New("the MBR has two extended partitions, and only one can be")
		case extended(kind):
			frame = span{n, first, first + count}
		}
	}
	if err := t.check(); err != nil {
		return err
	}
	if frame.number == 0 {
		return nil
	}
	if err := t.readLogical(r, frame); err != nil {
		return fmt.Errorf("the logical partitions of the MBR: %w", err)
	}
	return nil
}

// readLogical follows the chain of logical partitions. Each link has the place of its own partition, which counts from
// the link, and that of the next link, which counts from the start of the extended partition.
func (t *Table) readLogical(r io.ReaderAt, frame span) error {
	var seen []span // links and their partitions
	for at := frame.from; at != 0; {
		link, err := t.readPlace(r, at, 1)
		if err != nil {
			return err
		}
		b := link.Bytes
		if b[510] != 0x55 || b[511] != 0xaa {
			if at == frame.from {
				return nil // no logical partition was ever made
			}
			return fmt.Errorf("there is no link of the chain in sector %d", at)
		}
		if len(seen) >= 2*maxLogical {
			return fmt.Errorf("there are more than %d", maxLogical)
		}
		t.was = append(t.was, link)
		next, part, err := parseLink(b, at, frame)
		if err != nil {
			return fmt.Errorf("the link in sector %d: %w", at, err)
		}
		for _, s := range []span{{0, at, at + 1}, part} {
			if slices.ContainsFunc(seen, func(o span) bool { return s.from < o.to && o.from < s.to }) {
				return fmt.Errorf("the link or the partition of sector %d overlaps another one", at)
			}
			seen = append(seen, s)
		}
		at = next
	}
	t.now = t.was
	return nil
}

// parseLink is the next link, 0 if there is none, and the partition of one link.
func parseLink(b []byte, at int64, frame span) (next int64, part span, err error) {
	for n := range mbrSlots {
		e := b[mbrEntries+n*mbrEntrySize:][:mbrEntrySize]
		kind, first, count := e[mbrKind], int64(le.Uint32(e[mbrFirst:])), int64(le.Uint32(e[mbrCount:]))
		from := at + first
		if extended(kind) {
			from = frame.from + first
		}
		switch {
		case kind == 0 && count == 0:
		case kind == 0 || count == 0 || n > 1 || e[0]&^mbrActive != 0:
			return 0, part, fmt.Errorf("its entry %d is neither empty nor a partition", n+1)
		case from <= frame.from || from+count > frame.to:
			return 0, part, fmt.Errorf("its entry %d is not within the extended partition", n+1)
		case extended(kind) && next == 0:
			next = from
		case !extended(kind) && part.to == 0:
			part = span{0, from, from + count}
		default:
			return 0, part, errors.New("it has two entries of one sort")
		}
	}
	return next, part, nil
}
