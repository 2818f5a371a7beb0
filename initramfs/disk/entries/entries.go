// Package entries edits the partition table of a disk that others use too: it adds entries, and changes the size, type
// and name of some, and keeps every other byte of the table.
//
// Start with Read, or with New on a disk on which everything is given up. SetSize, Add and SetType change the Table in
// memory and check what they are asked; Table.Write makes it the table of the disk. The kernel does not notice: call
// table.Announce. A program that has several edits to do can try them all on one Table before it writes the first one.
//
// A GPT has its bytes at five places, an MBR in the first sector, and one sector for each logical partition:
//
//	sector 0         1          2                                                                last one
//	+---------------+----------+-----------------+-- … --------------------------+--------------+----------+
//	| protective    | header   | array: 128      | partitions, from the first to  | array        | header   |
//	| MBR           |          | entries, or     | the last usable sector of the  |              |          |
//	| (boot code)   |          | another number  | header                         |              |          |
//	+---------------+----------+-----------------+-- … --------------------------+--------------+----------+
//	                 \__ primary copy, read first __/                              \______ backup copy ______/
//
// Kept are, bit for bit: all entries that are not edited, with attributes, unique GUIDs and what is behind the first
// 128 bytes of larger ones; the attributes, the GUID and, where it stays the same, the name of an edited one;
// everything in the headers but their checksums; arrays of any size and at any place; the first sector of a GPT; boot
// code and signature of an MBR; and what is behind the array in its last sector.
//
// Read refuses a table in which something is wrong or unknown, and all that can be refused is refused before the first
// write. Among it is a hybrid MBR, whose entries would have to be changed together with those of the GPT. Logical
// partitions of an MBR and the extended one around them are read and checked, but never changed.
//
// Write is durable on return. It writes the backup copy first, and syncs each write before the next one begins, so at
// any time one whole copy is on the disk. After a power cut or a failed write, Recover gives the disk one of the two
// tables. An MBR is one sector, which a disk writes whole or not at all.
//
// A Table is for one goroutine.
//
// Sources: UEFI 2.10 section 5.2 (MBR) and 5.3 (GPT; 5.3.2 has the order of the copies); the kernel's
// block/partitions/msdos.c (logical partitions). No library that we found keeps the bytes: go-diskfs writes headers of
// 92 bytes and entries of 128, and the arrays at their usual places.
package entries

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"griddle/initramfs/disk/content"
)

// The kinds of tables.
const (
	GPT = "gpt"
	MBR = "mbr"
)

// Entry is one entry of a table.
type Entry struct {
	Number int
	Start  int64  // bytes, whole sectors
	Size   int64  // bytes, whole sectors
	Type   string // as content.Partition.Type
	Name   string // in a GPT: at most 36 UTF-16 code units; read without control characters and outer spaces
	// UUID is the GUID of the partition in a GPT, in lower case. Add takes "" for a random one.
	UUID   string
	Active bool // in an MBR: the partition that a BIOS starts
}

// Table is a partition table in memory. Read and New make one.
type Table struct {
	kind   string
	size   int64 // bytes of the disk, whole sectors
	sector int64
	fresh  bool // of New: whatever is on the disk is given up
	// The bytes at all places of the table: on the disk, and after Write. Both have the same places.
	was, now []place
	gpt      header // of a GPT: the primary header; only what no edit changes
}

// Indexes of Table.was and Table.now. An MBR has one link of the chain of logical partitions after another behind its
// boot sector.
const (
	atBoot = iota
	atHeader
	atArray
	atBackupArray
	atBackupHeader
)

// minSize is the size of the smallest disk that gets a table: its first and its last MiB are left to tables.
const minSize = 4 << 20

// Read reads the table of a disk of size bytes with sectors of 512 or 4096 bytes. It refuses one that is damaged, not
// wholly understood, or neither a GPT nor an MBR.
func Read(r io.ReaderAt, size int64, sectorSize int) (*Table, error) {
	t, err := read(r, size, sectorSize)
	if err != nil {
		return nil, fmt.Errorf("reading partition table: %w", err)
	}
	return t, nil
}

func read(r io.ReaderAt, size int64, sectorSize int) (*Table, error) {
	t, err := empty(size, sectorSize)
	if err != nil {
		return nil, err
	}
	c := content.ReadTable(r, size, sectorSize)
	switch t.kind = c.Table; {
	case c.Damaged != "":
		return nil, fmt.Errorf("the %s of the disk is damaged: %s; repair it first, for example with gdisk", c.Table,
			c.Damaged)
	case c.Table == GPT:
		err = t.readGPT(r)
	case c.Table == MBR:
		err = t.readMBR(r)
	case c.Table == "":
		return nil, errors.New("the disk has no partition table that is known")
	default:
		return nil, fmt.Errorf("the disk has a table of kind %s, and only gpt and mbr can be changed", c.Table)
	}
	if err != nil {
		return nil, err
	}
	t.now = cloned(t.was)
	return t, nil
}

// empty is a table without a byte.
func empty(size int64, sectorSize int) (*Table, error) {
	if sectorSize != 512 && sectorSize != 4096 {
		return nil, fmt.Errorf("the disk has sectors of %d bytes; only 512 and 4096 are supported", sectorSize)
	}
	if size < minSize || size > 1<<60 {
		return nil, fmt.Errorf("the disk has %d bytes; only 4 MiB to 1 EiB are supported", size)
	}
	sector := int64(sectorSize)
	return &Table{size: size / sector * sector, sector: sector}, nil
}

// Kind is GPT or MBR.
func (t *Table) Kind() string { return t.kind }

// ID is the GUID of a GPT in lower case, or the disk signature of an MBR as 8 hex digits; "" if an MBR has none.
func (t *Table) ID() string { return t.content().GUID }

// content is what package content reads of the table with all edits so far.
func (t *Table) content() content.Content {
	return content.ReadTable(image(t.now), t.size, int(t.sector))
}

// Entries lists the entries as content.ReadTable does, with all edits so far: the primary ones by number, then the
// logical ones of an MBR.
func (t *Table) Entries() []Entry {
	var out []Entry
	for _, p := range t.content().Partitions {
		e := Entry{Number: p.Number, Start: p.Start, Size: p.Size, Type: p.Type, Name: p.Name}
		switch {
		case t.kind == GPT:
			e.UUID = guidText(t.slot(p.Number)[entryUUID:])
		case p.Number <= mbrSlots:
			e.Active = t.slot(p.Number)[0] == mbrActive
		}
		out = append(out, e)
	}
	return out
}

// slots is how many entries the table can have.
func (t *Table) slots() int {
	if t.kind == MBR {
		return mbrSlots
	}
	return int(t.gpt.count)
}

// slot is the bytes of an entry in the primary copy.
func (t *Table) slot(number int) []byte {
	if t.kind == MBR {
		at := mbrEntries + (number-1)*mbrEntrySize
		return t.now[atBoot].Bytes[at : at+mbrEntrySize]
	}
	at := int64(number-1) * t.gpt.each
	return t.now[atArray].Bytes[at : at+t.gpt.each]
}

// span is the sectors of a partition: from its first one to behind its last one.
type span struct {
	number   int
	from, to int64
}

// spans lists the entries of the table that are in use, without logical ones.
func (t *Table) spans() (out []span) {
	for n := 1; n <= t.slots(); n++ {
		e := t.slot(n)
		switch {
		case t.kind == GPT && !zero(e[:16]):
			out = append(out, span{n, int64(le.Uint64(e[entryFirst:])), int64(le.Uint64(e[entryLast:])) + 1})
		case t.kind == MBR && e[mbrKind] != 0:
			first := int64(le.Uint32(e[mbrFirst:]))
			out = append(out, span{n, first, first + int64(le.Uint32(e[mbrCount:]))})
		}
	}
	return out
}

// usable is where partitions can be, in sectors.
func (t *Table) usable() (from, to int64) {
	if t.kind == MBR {
		return 1, min(t.size/t.sector, 1<<32)
	}
	return t.gpt.first, t.gpt.last + 1
}

// check finds partitions that are not where partitions can be, or overlap.
func (t *Table) check() error {
	from, to := t.usable()
	spans := t.spans()
	for i, p := range spans {
		if p.from < from || p.to > to || p.from >= p.to {
			return fmt.Errorf("partition %d is from sector %d to %d, and partitions can be from %d to %d", p.number,
				p.from, p.to-1, from, to-1)
		}
		if at := slices.IndexFunc(spans[:i], func(q span) bool { return p.from < q.to && q.from < p.to }); at >= 0 {
			return fmt.Errorf("partitions %d and %d overlap", spans[at].number, p.number)
		}
	}
	return nil
}
