package entries

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
)

// Recover completes a Write that changed the table from one to another, both as Save and Saved return them, or takes it
// back, with both exchanged: on return the disk has the table to, durably. It refuses a disk that has neither of them
// and nothing that an interrupted Write or Recover leaves, and then writes nothing. A firmware may have repaired a copy
// before. It may be interrupted too, and called again, also where nothing was interrupted.
func Recover(d Disk, size int64, sectorSize int, from, to []byte) error {
	err := recoverTo(d, size, sectorSize, from, to)
	if err != nil {
		return fmt.Errorf("recovering partition table: %w", err)
	}
	return nil
}

func recoverTo(d Disk, size int64, sectorSize int, from, to []byte) error {
	old, err := load(from, size, sectorSize)
	if err != nil {
		return err
	}
	t, err := load(to, size, sectorSize)
	if err != nil {
		return err
	}
	if old.kind != t.kind || len(old.now) != len(t.now) || old.ID() != t.ID() {
		return errors.New("the two tables are not before and after one change")
	}
	on := make([]place, len(t.now)) // what is on the disk
	for i, p := range t.now {
		if old.now[i].At != p.At || len(old.now[i].Bytes) != len(p.Bytes) {
			return errors.New("the two tables are not before and after one change")
		}
		if on[i], err = t.readPlace(d, p.At/t.sector, int64(len(p.Bytes))/t.sector); err != nil {
			return err
		}
		// A sector is old or new. What a GPT has in several sectors is looked at as a whole.
		if (t.kind == MBR || i == atBoot) && !bytes.Equal(on[i].Bytes, p.Bytes) &&
			!bytes.Equal(on[i].Bytes, old.now[i].Bytes) {
			return fmt.Errorf("the sector at byte %d of the disk has neither of the two tables: another program "+
				"changed it; look at it with fdisk", p.At)
		}
	}
	if t.kind == MBR {
		return t.putAll(d, true)
	}
	return t.recoverGPT(d, old, on)
}

// recoverGPT first writes the copy that is not whole.
func (t *Table) recoverGPT(d Disk, old *Table, on []place) error {
	primary, err := t.judge(old, on, atHeader, atArray)
	if err != nil {
		return fmt.Errorf("the first copy of the GPT: %w", err)
	}
	backup, err := t.judge(old, on, atBackupHeader, atBackupArray)
	switch {
	case err != nil:
		return fmt.Errorf("the backup copy of the GPT: %w", err)
	case !primary && !backup:
		return errors.New("neither copy of the GPT is whole, and an interrupted change leaves one; look at the disk " +
			"with gdisk")
	}
	return t.putAll(d, primary)
}

// judge says whether a copy of a GPT is whole. It fails if that is neither the old nor the new one.
func (t *Table) judge(old *Table, on []place, head, array int) (whole bool, err error) {
	const foreign = "it is neither the old nor the new one: another program changed it; look at the disk with gdisk"
	h, err := parseHeader(on[head].Bytes, on[head].At/t.sector, t.size/t.sector, t.sector)
	if err != nil {
		return false, nil // half written
	}
	b := on[array].Bytes
	if want := t.gpt; h.array*t.sector != on[array].At || h.first != want.first || h.last != want.last ||
		h.count != want.count || h.each != want.each || h.guid != want.guid {
		return false, errors.New(foreign)
	}
	if used := b[:h.count*h.each]; crc32.ChecksumIEEE(used) != le.Uint32(on[head].Bytes[gptArraySum:]) {
		return false, nil
	}
	if !sameCopy(h, b, t.gpt, t.now[array].Bytes) && !sameCopy(h, b, old.gpt, old.now[array].Bytes) {
		return false, errors.New(foreign)
	}
	return true, nil
}

// putAll writes all places. The copy of a GPT that is whole is written last: the primary one, where both are.
func (t *Table) putAll(d Disk, primary bool) error {
	order := t.order()
	if !primary && t.kind == GPT {
		order = []int{atArray, atHeader, atBackupArray, atBackupHeader, atBoot}
	}
	for _, i := range order {
		if err := put(d, t.now[i]); err != nil {
			return err
		}
	}
	return nil
}
