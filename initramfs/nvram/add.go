package nvram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Loader is a program on an EFI system partition.
type Loader struct {
	Title string `json:"title"` // in the menu of the firmware: "Griddle"
	File  string `json:"file"`  // from the top of the partition: "EFI/griddle/grubx64.efi"

	Partition  int    `json:"partition"`           // its number
	Start      int64  `json:"start"`               // bytes from the start of the disk
	Size       int64  `json:"size"`                // bytes
	SectorSize int    `json:"sectorSize"`          // of the disk, in bytes
	GUID       string `json:"guid,omitempty"`      // of the partition, in a GPT; "" in an MBR
	Signature  uint32 `json:"signature,omitempty"` // of the disk, in an MBR (bytes 440 to 443); 0 in a GPT
}

// Formats of tables, and of what identifies a partition (UEFI 2.10 section 10.3.5.1).
const formatMBR, formatGPT = 1, 2

// option is the entry for a program. Its path begins with the partition, which the firmware looks for on all disks.
func (l Loader) option() (Option, error) {
	disk := binary.LittleEndian.AppendUint32(nil, uint32(l.Partition))
	var id [16]byte
	format := byte(formatGPT)
	switch {
	case l.Title == "" || len(l.Title) > 64 || l.File == "" || len(l.File) > 255:
		return Option{}, errors.New("it needs a title of at most 64 bytes and a file of at most 255")
	case l.Partition <= 0 || l.SectorSize <= 0 || l.Start <= 0 || l.Size <= 0 ||
		l.Start%int64(l.SectorSize) != 0 || l.Size%int64(l.SectorSize) != 0:
		return Option{}, fmt.Errorf("partition %d from byte %d on, of %d bytes, with sectors of %d, is not possible",
			l.Partition, l.Start, l.Size, l.SectorSize)
	case l.GUID != "" && l.Signature == 0:
		g, err := uuid.Parse(l.GUID)
		if err != nil {
			return Option{}, fmt.Errorf("%q is not the GUID of a partition: %w", l.GUID, err)
		}
		// UEFI 2.10 appendix A: the first three parts have their bytes the other way round.
		id = g
		slices.Reverse(id[:4])
		slices.Reverse(id[4:6])
		slices.Reverse(id[6:8])
	case l.GUID == "" && l.Signature != 0:
		format = formatMBR
		binary.LittleEndian.PutUint32(id[:], l.Signature)
	default:
		return Option{}, errors.New("it needs the GUID of the partition, or the signature of the disk")
	}
	disk = binary.LittleEndian.AppendUint64(disk, uint64(l.Start/int64(l.SectorSize)))
	disk = binary.LittleEndian.AppendUint64(disk, uint64(l.Size/int64(l.SectorSize)))
	disk = append(append(disk, id[:]...), format, format) // the type of a signature has the same numbers
	return Option{Active: true, Description: l.Title, Path: slices.Concat(
		node{typeMedia, mediaDisk, disk}.encode(),
		node{typeMedia, mediaFile, text(firmwarePath(l.File))}.encode(),
		node{typeEnd, endOfAll, nil}.encode())}, nil
}

// firmwarePath is a path as firmware writes it.
func firmwarePath(file string) string {
	return `\` + strings.ReplaceAll(strings.Trim(file, "/"), "/", `\`)
}

// is says whether an entry starts the program of the option o from the same partition.
func (e Entry) is(o Option) bool {
	partition, file := starts(e.Data)
	want, name := starts(o.bytes())
	return partition != nil && bytes.Equal(partition, want) && strings.EqualFold(file, name)
}

// Add has the firmware start a program, by an entry of its own, and returns the entry's number. An entry that starts it
// already is used again, and keeps its place in the order; a new one comes before all that start from a disk, and
// behind the network, what people plug in and the setup of the firmware, as far as these come first. The order of all
// others stays.
//
// The firmware has written it when Add returns. A power cut leaves the old order or the new one.
func (v *Vars) Add(l Loader) (uint16, error) {
	fail := func(err error) (uint16, error) {
		return 0, fmt.Errorf("adding %s to the boot entries of the firmware: %w", l.Title, err)
	}
	o, err := l.option()
	if err != nil {
		return fail(err)
	}
	s, err := v.State()
	if err != nil {
		return fail(err)
	}
	at := slices.IndexFunc(s.Entries, func(e Entry) bool { return e.is(o) })
	e := Entry{Attributes: attributes, Data: o.bytes()}
	if at >= 0 {
		e.Number = s.Entries[at].Number
	} else if e.Number, err = s.unused(); err != nil {
		return fail(err)
	}
	if err := v.setEntry(e); err != nil {
		return fail(err)
	}
	order := s.Order
	if !slices.Contains(order, e.Number) {
		order = slices.Insert(slices.Clone(order), s.place(), e.Number)
	}
	if err := v.setOrder(s.Order, order); err != nil {
		return fail(err)
	}
	return e.Number, nil
}

// unused is the lowest number that is neither an entry's nor in the order: that may name one that is gone for now, such
// as of a disk that is not plugged in.
func (s State) unused() (uint16, error) {
	for n := range 1 << 16 {
		n := uint16(n)
		if !slices.Contains(s.Order, n) && !slices.Contains(s.Next, n) && !s.has(n) {
			return n, nil
		}
	}
	return 0, errors.New("all numbers of entries are used; delete some in the setup of the firmware")
}

// entry is the one with a number, or nil.
func (s State) entry(n uint16) *Entry {
	for i, e := range s.Entries {
		if e.Number == n {
			return &s.Entries[i]
		}
	}
	return nil
}

// has says whether the firmware has an entry with a number.
func (s State) has(n uint16) bool { return s.entry(n) != nil || slices.Contains(s.Unread, n) }

// place is where in the order a new entry for a disk comes.
func (s State) place() int {
	for i, n := range s.Order {
		if e := s.entry(n); e != nil && !first(e.Data) {
			return i
		}
	}
	return len(s.Order)
}
