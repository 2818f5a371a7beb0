package archive

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"griddle/imagestore/sendstream"
)

// holeSize is the shortest run of zeros that becomes a hole, and what it is aligned to.
const holeSize = 64 << 10

// An extent is a piece of a file that is stored.
type extent struct{ offset, length int64 }

// The places of GNU's header for sparse files (the GNU tar manual, "Basic Tar Format", struct oldgnu_header and struct
// sparse_header). Each entry is two numbers of 12 bytes.
const (
	typeAt         = 156
	sizeAt         = 124
	sparseAt       = 386
	sparseEntries  = 4
	sparseMoreAt   = 482
	extendedMoreAt = 504
	extendedMost   = 21
	number         = 12
)

// sparseMap finds the map of a sparse file in what archive/tar has read as its headers, and checked. It is nil where
// the file is not sparse.
func sparseMap(h *tar.Header, record []byte) ([]extent, error) {
	major, minor := h.PAXRecords["GNU.sparse.major"], h.PAXRecords["GNU.sparse.minor"]
	version := major + "." + minor
	switch {
	case h.Typeflag == tar.TypeGNUSparse:
		return oldMap(mainHeader(record))
	case version == "1.0":
		main := mainHeader(record)
		return textMap(strings.Split(string(main[min(len(main), blockSize):]), "\n"), true)
	case version == "0.0" || version == "0.1" || version == "." && h.PAXRecords["GNU.sparse.map"] != "":
		return textMap(strings.Split(h.PAXRecords["GNU.sparse.map"], ","), false)
	case version != ".":
		return nil, fmt.Errorf("%w: sparse files of version %s are not supported", ErrMalformed, version)
	}
	return nil, nil
}

// mainHeader gives the entry's own header, and what was read behind it: before it are those that lengthen its names.
func mainHeader(record []byte) []byte {
	for len(record) >= blockSize {
		switch record[typeAt] {
		case tar.TypeXHeader, tar.TypeGNULongName, tar.TypeGNULongLink:
			size, err := parseNumber(record[sizeAt : sizeAt+number])
			skip := blockSize + (size+blockSize-1)/blockSize*blockSize
			if err != nil || size > maxHeaders || skip > int64(len(record)) {
				return nil
			}
			record = record[skip:]
		default:
			return record
		}
	}
	return nil
}

func oldMap(b []byte) ([]extent, error) {
	extents := []extent{}
	entries, more := sparseEntries, sparseMoreAt
	at := sparseAt
	for len(b) >= blockSize {
		for range entries {
			if b[at] == 0 {
				break
			}
			offset, err1 := parseNumber(b[at : at+number])
			length, err2 := parseNumber(b[at+number : at+2*number])
			if err1 != nil || err2 != nil {
				return nil, fmt.Errorf("%w: its map of holes", ErrMalformed)
			}
			extents = append(extents, extent{offset, length})
			at += 2 * number
		}
		if b[more] == 0 {
			return extents, nil
		}
		b, at, entries, more = b[blockSize:], 0, extendedMost, extendedMoreAt
	}
	return nil, fmt.Errorf("%w: its map of holes is cut off", ErrMalformed)
}

// textMap reads offsets and lengths in turn, behind their number where they are counted.
func textMap(fields []string, counted bool) ([]extent, error) {
	if counted {
		n, err := strconv.ParseInt(fields[0], 10, 32)
		if fields = fields[1:]; err != nil || n < 0 || 2*n > int64(len(fields)) {
			return nil, fmt.Errorf("%w: its map of holes is cut off", ErrMalformed)
		}
		fields = fields[:2*n]
	} else if len(fields) == 1 && fields[0] == "" {
		fields = nil
	}
	extents := []extent{}
	for i := 0; i+1 < len(fields); i += 2 {
		offset, err1 := strconv.ParseInt(fields[i], 10, 64)
		length, err2 := strconv.ParseInt(fields[i+1], 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%w: its map of holes", ErrMalformed)
		}
		extents = append(extents, extent{offset, length})
	}
	return extents, nil
}

// parseNumber reads octal digits, or big-endian binary behind a set bit (GNU).
func parseNumber(b []byte) (int64, error) {
	if b[0]&0x80 != 0 {
		n := int64(b[0] & 0x7f)
		for i, c := range b[1:] {
			if n >= 1<<55 || b[0] != 0x80 && i == 0 {
				return 0, strconv.ErrRange
			}
			n = n<<8 | int64(c)
		}
		return n, nil
	}
	digits := strings.Trim(string(b), " \x00")
	if digits == "" {
		return 0, nil
	}
	return strconv.ParseInt(digits, 8, 64)
}

// content writes what a file holds.
func (t *Tree) content(in *input, h *header, path string) error {
	if t.logical += h.Size; h.Size > maxApparent || t.logical > maxApparent {
		return fmt.Errorf("%w: files of more than %d bytes, holes included", ErrLimit, int64(maxApparent))
	}
	extents := h.sparse
	if extents == nil {
		extents = []extent{{0, h.Size}}
	}
	var at, end int64 // where the next extent may begin, and where what was written ends
	for _, e := range extents {
		if e.offset < at || e.length < 0 || e.length > h.Size || e.offset > h.Size-e.length {
			return fmt.Errorf("%w: its map of holes", ErrMalformed)
		}
		at = e.offset + e.length
		for e.length > 0 {
			n := min(e.length, int64(len(t.buf))-e.offset%holeSize) // each piece ends at a multiple of holeSize
			if _, err := io.ReadFull(in, t.buf[:n]); err != nil {
				return cutOff(err)
			}
			wrote, err := t.write(path, e.offset, t.buf[:n])
			if err != nil {
				return err
			}
			end = max(end, wrote)
			e.offset, e.length = e.offset+n, e.length-n
		}
	}
	if err := in.pad(h.stored()); err != nil {
		return err
	}
	if end < h.Size {
		return t.out.Write(&sendstream.Command{Op: sendstream.OpTruncate, Path: path, Size: uint64(h.Size)})
	}
	return nil
}

// write writes data but for the zeros that fill whole pieces of holeSize, and gives the end of what it wrote.
func (t *Tree) write(path string, offset int64, data []byte) (end int64, err error) {
	start := 0
	flush := func(to int) error {
		if start == to {
			return nil
		}
		end = offset + int64(to)
		return t.out.Write(&sendstream.Command{Op: sendstream.OpWrite, Path: path,
			FileOffset: uint64(offset) + uint64(start), Data: data[start:to]})
	}
	for at := 0; at < len(data); {
		n := min(len(data)-at, holeSize-int((offset+int64(at))%holeSize))
		if n == holeSize && bytes.Equal(data[at:at+n], t.zeros) {
			if err := flush(at); err != nil {
				return 0, err
			}
			start = at + n
		}
		at += n
	}
	return end, flush(len(data))
}
