package entries

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"

	"github.com/google/uuid"

	"griddle/initramfs/disk/content"
)

// SetSize gives a partition another size in bytes, whole sectors; it begins where it did. It fails, and changes
// nothing, for a logical or an extended partition, and where the partition would overlap another one.
func (t *Table) SetSize(number int, size int64) error {
	err := t.edit(number, func(e []byte) error {
		sectors, err := t.sectors(size)
		if err != nil {
			return err
		}
		switch {
		case t.kind == GPT:
			le.PutUint64(e[entryLast:], le.Uint64(e[entryFirst:])+uint64(sectors)-1)
		case int64(le.Uint32(e[mbrCount:])) != sectors: // else its address may be one of another geometry
			return t.putMBR(e, t.geometry(), int64(le.Uint32(e[mbrFirst:])), sectors)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("setting the size of partition %d to %d bytes: %w", number, size, err)
	}
	return nil
}

// SetType gives a partition another type and, in a GPT, another name; see Entry for both. With another type it loses
// the attributes that only the former type explains (bits 48 to 63, UEFI 2.10 table 5.8), and the one that hides it
// from firmware (bit 1). It fails, and changes nothing, for a logical or an extended partition.
func (t *Table) SetType(number int, kind, name string) error {
	had := t.name(number)
	err := t.edit(number, func(e []byte) error {
		if t.kind == MBR {
			return t.putMBRType(e, kind, name)
		}
		var former [16]byte
		copy(former[:], e)
		if err := putGPTType(e, kind); err != nil {
			return err
		}
		if [16]byte(e) != former {
			const lost = 0xffff<<48 | 1<<1
			le.PutUint64(e[entryAttributes:], le.Uint64(e[entryAttributes:])&^lost)
		}
		if name == had {
			return nil // the bytes may have more than was read
		}
		return putName(e, name)
	})
	if err != nil {
		return fmt.Errorf("setting the type of partition %d: %w", number, err)
	}
	return nil
}

// Add adds an entry. It fails, and changes nothing, if the number is not free, if the partition would overlap another
// one, or if it is not where the table lets partitions be.
func (t *Table) Add(e Entry) error {
	if err := t.add(e); err != nil {
		return fmt.Errorf("adding partition %d: %w", e.Number, err)
	}
	return nil
}

func (t *Table) add(e Entry) error {
	if e.Number < 1 || e.Number > t.slots() {
		return fmt.Errorf("the table has entries 1 to %d", t.slots())
	}
	if slices.ContainsFunc(t.spans(), func(s span) bool { return s.number == e.Number }) {
		return errors.New("the entry is in use")
	}
	sectors, err := t.sectors(e.Size)
	if err != nil {
		return err
	}
	if e.Start < 0 || e.Start%t.sector != 0 {
		return fmt.Errorf("it begins at byte %d, and sectors have %d bytes", e.Start, t.sector)
	}
	return t.change(e.Number, func(b []byte) error {
		clear(b)
		if t.kind == MBR {
			return t.addMBR(b, e, sectors)
		}
		return t.addGPT(b, e, sectors)
	})
}

func (t *Table) addGPT(b []byte, e Entry, sectors int64) error {
	if e.Active {
		return errors.New("the entries of a GPT have no active flag")
	}
	if err := putGPTType(b, e.Type); err != nil {
		return err
	}
	id, err := uuid.NewRandom()
	if e.UUID != "" {
		id, err = uuid.Parse(e.UUID)
	}
	if err != nil || id == uuid.Nil {
		return fmt.Errorf("%q is not the GUID of a partition", e.UUID)
	}
	if slices.ContainsFunc(t.Entries(), func(o Entry) bool { return o.UUID == id.String() }) {
		return fmt.Errorf("another partition has the GUID %s", id)
	}
	raw := swapped(id)
	copy(b[entryUUID:], raw[:])
	le.PutUint64(b[entryFirst:], uint64(e.Start/t.sector))
	le.PutUint64(b[entryLast:], uint64(e.Start/t.sector+sectors-1))
	return putName(b, e.Name)
}

func (t *Table) addMBR(b []byte, e Entry, sectors int64) error {
	if e.UUID != "" {
		return errors.New("the entries of an MBR have no GUID")
	}
	if e.Active {
		for n := 1; n <= mbrSlots; n++ {
			if t.slot(n)[0] == mbrActive {
				return fmt.Errorf("partition %d is the active one, and only one can be", n)
			}
		}
		b[0] = mbrActive
	}
	g := t.geometry()
	if err := t.putMBRType(b, e.Type, e.Name); err != nil {
		return err
	}
	first := g.chs(e.Start / t.sector)
	copy(b[mbrFirstCHS:], first[:])
	return t.putMBR(b, g, e.Start/t.sector, sectors)
}

// sectors is a size in sectors.
func (t *Table) sectors(size int64) (int64, error) {
	if size <= 0 || size%t.sector != 0 {
		return 0, fmt.Errorf("a size of %d bytes is not a number of sectors, which have %d bytes", size, t.sector)
	}
	return size / t.sector, nil
}

// edit changes an entry that is in use.
func (t *Table) edit(number int, f func(e []byte) error) error {
	if t.kind == MBR && number > mbrSlots {
		return errors.New("it is a logical partition, and these are not changed")
	}
	if !slices.ContainsFunc(t.spans(), func(s span) bool { return s.number == number }) {
		return errors.New("there is no such partition")
	}
	if t.kind == MBR && extended(t.slot(number)[mbrKind]) {
		return errors.New("it is the extended partition, which is not changed")
	}
	return t.change(number, f)
}

// change gives an entry what f makes of its bytes, in both copies of a GPT, if the table is right afterwards.
func (t *Table) change(number int, f func(e []byte) error) error {
	before := cloned(t.now)
	err := f(t.slot(number))
	if err == nil {
		err = t.check()
	}
	if err != nil {
		t.now = before
		return err
	}
	if t.kind == GPT {
		copy(t.now[atBackupArray].Bytes[int64(number-1)*t.gpt.each:], t.slot(number))
		t.seal()
	}
	return nil
}

// putMBR writes where an entry of an MBR is. The address of its first sector stays.
func (t *Table) putMBR(e []byte, g geometry, first, sectors int64) error {
	if _, to := t.usable(); first > to || sectors > to-first {
		return fmt.Errorf("it would end behind sector %d, the last one that an MBR of this disk reaches", to-1)
	}
	le.PutUint32(e[mbrFirst:], uint32(first))
	le.PutUint32(e[mbrCount:], uint32(sectors))
	last := g.chs(first + sectors - 1)
	copy(e[mbrLastCHS:], last[:])
	return nil
}

func (t *Table) putMBRType(e []byte, kind, name string) error {
	code, err := content.MBRType(kind)
	if err != nil {
		return err
	}
	if extended(code) || code == mbrProtective {
		return fmt.Errorf("partitions of type %s are not made", kind)
	}
	if name != "" {
		return errors.New("the partitions of an MBR have no names")
	}
	e[mbrKind] = code
	return nil
}

func putGPTType(e []byte, kind string) error {
	text, err := content.GPTType(kind)
	if err != nil {
		return err
	}
	raw := swapped(uuid.MustParse(text))
	copy(e, raw[:])
	return nil
}

// putName writes a name, which ends with its first zero, or with its place.
func putName(e []byte, name string) error {
	units := utf16.Encode([]rune(name))
	if len(units) > (entryNameEnd-entryName)/2 || content.Clean(name) != name {
		return fmt.Errorf("%q cannot be the name of a partition: at most 36 characters, none of them a control "+
			"character, and no space at an end", name)
	}
	clear(e[entryName:entryNameEnd])
	for i, u := range units {
		le.PutUint16(e[entryName+2*i:], u)
	}
	return nil
}

// name is the name of a partition as it is read.
func (t *Table) name(number int) string {
	for _, e := range t.Entries() {
		if e.Number == number {
			return e.Name
		}
	}
	return ""
}
