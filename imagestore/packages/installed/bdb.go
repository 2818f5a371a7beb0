package installed

import (
	"encoding/binary"
	"fmt"

	"griddle/imagestore/packages"
)

// Numbers of Berkeley DB's pages and of the items on them (src/dbinc/db_page.h).
const (
	bdbHashMagic = 0x061561
	bdbHeader    = 26 // bytes before the offsets of a page's items

	pageHashUnsorted, pageOverflow, pageHashMeta, pageHash = 2, 7, 8, 13
	itemInline, itemOffPage                                = 1, 3
)

// bdb is a Berkeley DB of access method hash, in the byte order of the machine that wrote it.
type bdb struct {
	b     []byte
	order binary.ByteOrder
	size  int64 // of a page
	last  int64 // number of the last page
	spare int64 // bytes that values may still have: together no more than the file, lest one be named a million times
}

// parseBDB reads rpm's Berkeley DB, a hash from the number of a package to its header; number 0 has the highest
// number instead. Pages are of one size, with a header of 26 bytes:
//
//	LSN u64 | page u32 | previous u32 | next u32 | items u16
//	| free space at, or bytes of an overflow page u16 | level u8 | type u8
//
// Page 0 has its own: LSN u64 | page u32 | magic u32 | version u32 | page size u32 | encryption u8 | type u8 | flags u8
// | pad u8 | free u32 | last page u32. A page of a bucket has u16 offsets of its items after the header, key and value
// in turn, each item up to where the one before it begins: type u8 | bytes, or type u8 | 3 bytes | first page u32 |
// length u32 of a value on overflow pages.
//
// The buckets are not followed: all pages that hold any are read, in their order in the file.
func parseBDB(b []byte) ([]packages.Package, error) {
	d := &bdb{b: b, order: binary.LittleEndian, spare: int64(len(b))}
	if err := d.open(); err != nil {
		return nil, err
	}
	var out []packages.Package
	for n := int64(1); n <= d.last; n++ {
		page := d.page(n)
		if page[25] != pageHash && page[25] != pageHashUnsorted {
			continue
		}
		items := int(d.order.Uint16(page[20:]))
		if items%2 != 0 || bdbHeader+2*items > len(page) {
			return nil, d.damaged(n, "has offsets that are not possible")
		}
		for i := 0; i < items; i += 2 {
			p, ok, err := d.pair(n, page, i)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, p)
			}
			if len(out) > packages.MaxPackages {
				return out, nil // which check refuses
			}
		}
	}
	return out, nil
}

func (d *bdb) damaged(page int64, why string) error {
	return fmt.Errorf("%w: page %d of Packages %s", ErrDamaged, page, why)
}

func (d *bdb) open() error {
	if len(d.b) < 512 {
		return d.damaged(0, "is cut off")
	}
	if d.order.Uint32(d.b[12:]) != bdbHashMagic {
		d.order = binary.BigEndian
	}
	d.size, d.last = int64(d.order.Uint32(d.b[20:])), int64(d.order.Uint32(d.b[32:]))
	switch {
	case d.order.Uint32(d.b[12:]) != bdbHashMagic || d.b[25] != pageHashMeta:
		return d.damaged(0, "is not a Berkeley DB hash")
	case d.b[24] != 0:
		return d.damaged(0, "says that it is encrypted")
	case d.size < 512 || d.size > 64<<10 || d.size&(d.size-1) != 0:
		return d.damaged(0, "gives a page size that is not possible")
	case (d.last+1)*d.size > int64(len(d.b)):
		return d.damaged(d.last, "is cut off")
	}
	return nil
}

func (d *bdb) page(n int64) []byte { return d.b[n*d.size:][:d.size] }

// item is the item i of a page, without what follows it.
func (d *bdb) item(n int64, page []byte, i int) ([]byte, error) {
	at := func(i int) int { return int(d.order.Uint16(page[bdbHeader+2*i:])) }
	from, to := at(i), len(page)
	if i > 0 {
		to = at(i - 1)
	}
	if from < bdbHeader || from >= to || to > len(page) {
		return nil, d.damaged(n, "has an item that is not possible")
	}
	return page[from:to], nil
}

// pair reads a key and its value; false where it is no package.
func (d *bdb) pair(n int64, page []byte, i int) (packages.Package, bool, error) {
	var none packages.Package
	key, err := d.item(n, page, i)
	if err != nil {
		return none, false, err
	}
	if len(key) != 5 || key[0] != itemInline {
		return none, false, d.damaged(n, "has a key that is not a package's number")
	}
	if d.order.Uint32(key[1:]) == 0 {
		return none, false, nil
	}
	value, err := d.item(n, page, i+1)
	if err != nil {
		return none, false, err
	}
	switch {
	case value[0] == itemInline:
		value = value[1:]
	case value[0] == itemOffPage && len(value) >= 12:
		value, err = d.overflow(int64(d.order.Uint32(value[4:])), int64(d.order.Uint32(value[8:])))
	default:
		err = d.damaged(n, "has a value of an unknown kind")
	}
	if err != nil {
		return none, false, err
	}
	return parseHeader(value)
}

// overflow puts together a value of length bytes that begins on page n.
func (d *bdb) overflow(n, length int64) ([]byte, error) {
	if d.spare -= length; d.spare < 0 || length > maxHeader {
		return nil, d.damaged(n, "begins a value that is longer than the file has room for")
	}
	out := make([]byte, 0, length)
	for int64(len(out)) < length {
		if n == 0 || n > d.last {
			return nil, d.damaged(n, "is named as part of a value, and cannot be")
		}
		page := d.page(n)
		used := int64(d.order.Uint16(page[22:]))
		if page[25] != pageOverflow || used == 0 || bdbHeader+used > d.size || int64(len(out))+used > length {
			return nil, d.damaged(n, "is not a page of the value that names it")
		}
		out = append(out, page[bdbHeader:][:used]...)
		n = int64(d.order.Uint32(page[16:]))
	}
	return out, nil
}
