package entries

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Disk is what a table is written to.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error // what was written is durable when it returns
}

// Write makes the table the one of the disk. It is durable on return. A table that was read is written only where it
// differs from what is on the disk, and not at all if that is not what was read. At any time the disk has the old table
// or the new one, in at least one whole copy; after an error or a power cut, Recover decides between them.
//
// A table of New is written over whatever is there, and the rest of the first and the last 2 MiB of the disk is filled
// with zeros, so that nothing of a former table, filesystem or RAID of the whole disk is recognised. Until Write
// returns, the disk may have the old table, the new one, or what is damaged, but it never looks blank. Make it again
// after an interruption.
func (t *Table) Write(d Disk) error {
	if err := t.write(d); err != nil {
		return fmt.Errorf("writing partition table: %w", err)
	}
	t.was, t.fresh = cloned(t.now), false
	return nil
}

func (t *Table) write(d Disk) error {
	if t.fresh {
		return t.writeNew(d)
	}
	for i, p := range t.was {
		now, err := t.readPlace(d, p.At/t.sector, int64(len(p.Bytes))/t.sector)
		if err != nil {
			return err
		}
		if !bytes.Equal(now.Bytes, t.was[i].Bytes) {
			return fmt.Errorf("another program has changed it since it was read, at byte %d of the disk; nothing was "+
				"written; read it again", p.At)
		}
	}
	for _, i := range t.order() {
		if bytes.Equal(t.was[i].Bytes, t.now[i].Bytes) {
			continue
		}
		if err := put(d, t.now[i]); err != nil {
			return err
		}
	}
	return nil
}

// order is the order in which places are written: of a GPT the backup copy first (UEFI 2.10 section 5.3.2), each array
// before its header; the first sector last.
func (t *Table) order() []int {
	if t.kind == GPT {
		return []int{atBackupArray, atBackupHeader, atArray, atHeader, atBoot}
	}
	var links []int
	for i := 1; i < len(t.now); i++ {
		links = append(links, i)
	}
	return append(links, atBoot)
}

// put writes one place. It is durable on return.
func put(d Disk, p place) error {
	n, err := d.WriteAt(p.Bytes, p.At)
	if err == nil && n < len(p.Bytes) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = d.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing %d bytes at byte %d of the disk: %w", len(p.Bytes), p.At, err)
	}
	return nil
}

// writeNew writes a table of New. A GPT counts from its copies on, and its protective MBR comes last, because alone it
// would look like a table of something else. An MBR counts when no GPT is left.
func (t *Table) writeNew(d Disk) error {
	if t.kind == MBR {
		return errors.Join(put(d, t.now[atBoot]), t.wipe(d))
	}
	for _, i := range []int{atBackupArray, atBackupHeader, atArray, atHeader} {
		if err := put(d, t.now[i]); err != nil {
			return err
		}
	}
	if err := t.wipe(d); err != nil {
		return err
	}
	return put(d, t.now[atBoot])
}

// wipe fills the last and the first 2 MiB of the disk with zeros, but not the places of the table. All signatures of a
// whole disk that package content knows are there.
func (t *Table) wipe(d Disk) error {
	const reach = 2 << 20
	places := slices.SortedFunc(slices.Values(t.now), func(a, b place) int { return int(a.At - b.At) })
	for _, area := range [][2]int64{{t.size - reach, t.size}, {0, reach}} {
		at := area[0]
		for _, p := range append(slices.Clone(places), place{At: area[1]}) {
			if p.At >= area[0] && p.At <= area[1] {
				if p.At > at {
					if err := put(d, place{at, make([]byte, p.At-at)}); err != nil {
						return err
					}
				}
				at = p.end()
			}
		}
	}
	return nil
}
