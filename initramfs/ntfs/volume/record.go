package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// The numbers of the records that Read reads.
const (
	recordMFT    = 0
	recordMirror = 1
	recordLog    = 2
	recordVolume = 3
	recordRoot   = 5
	recordBitmap = 6
)

// Kinds of attributes.
const (
	attrVolumeInformation = 0x70
	attrData              = 0x80
	attrIndexRoot         = 0x90
	attrIndexAllocation   = 0xa0
	attrBitmap            = 0xb0
	attrEnd               = 0xffffffff
)

// record reads one of the first 16 records of $MFT, which are always in its first part, and undoes the fixups.
func (b Boot) record(r io.ReaderAt, n int64) ([]byte, error) {
	p := make([]byte, b.RecordSize)
	at := b.MFT*int64(b.ClusterSize) + n*int64(b.RecordSize)
	if err := full(r, p, at); err != nil {
		return nil, fmt.Errorf("reading record %d of $MFT at byte %d: %w", n, at, err)
	}
	if err := fix(p, "FILE"); err != nil {
		return nil, fmt.Errorf("reading record %d of $MFT: %w", n, err)
	}
	return p, nil
}

// stride is how many bytes each fixup protects, whatever the size of sectors is.
const stride = 512

// fix puts back the last two bytes of each stride, which the fixups at the beginning replace on the disk. A write that
// was cut in the middle has different ones.
func fix(p []byte, magic string) error {
	if string(p[:4]) != magic {
		return fmt.Errorf("it begins with %q, not with %q", p[:4], magic)
	}
	at, n := int(binary.LittleEndian.Uint16(p[4:])), int(binary.LittleEndian.Uint16(p[6:]))
	if n != len(p)/stride+1 || at < 8 || at+2*n > stride-2 {
		return fmt.Errorf("it has %d fixups at byte %d", n, at)
	}
	for i := 1; i < n; i++ {
		end := p[i*stride-2 : i*stride]
		if end[0] != p[at] || end[1] != p[at+1] {
			return errors.New("it was written only in part")
		}
		copy(end, p[at+2*i:])
	}
	return nil
}

// attribute is one attribute of a record.
type attribute struct {
	kind     uint32
	resident bool
	named    string // raw UTF-16
	value    []byte // of a resident one
	pairs    []byte // the list of runs of another one, and its sizes
	first    int64  // the first of its clusters that this list has
	size     int64
}

// attributes lists those of a record, and ends at the first that is not inside it.
func attributes(rec []byte) iter.Seq[attribute] {
	le := binary.LittleEndian
	return func(yield func(attribute) bool) {
		used := min(int64(le.Uint32(rec[24:])), int64(len(rec)))
		for at := int64(le.Uint16(rec[20:])); at >= 0x28 && at+24 <= used; {
			kind, length := le.Uint32(rec[at:]), int64(le.Uint32(rec[at+4:]))
			if kind == attrEnd || length < 24 || length%8 != 0 || at+length > used {
				return
			}
			if a, ok := parseAttribute(kind, rec[at:at+length]); !ok || !yield(a) {
				return
			}
			at += length
		}
	}
}

func parseAttribute(kind uint32, p []byte) (attribute, bool) {
	le := binary.LittleEndian
	a := attribute{kind: kind, resident: p[8] == 0}
	if n, at := 2*int(p[9]), int(le.Uint16(p[10:])); n > 0 {
		if at+n > len(p) {
			return a, false
		}
		a.named = string(p[at : at+n])
	}
	if a.resident {
		n, at := int64(le.Uint32(p[16:])), int64(le.Uint16(p[20:]))
		if at+n > int64(len(p)) {
			return a, false
		}
		a.value, a.size = p[at:at+n], n
		return a, true
	}
	if len(p) < 64 {
		return a, false
	}
	at := int(le.Uint16(p[32:]))
	a.first, a.size = int64(le.Uint64(p[16:])), int64(le.Uint64(p[48:]))
	if at < 64 || at > len(p) || a.first < 0 || a.size < 0 {
		return a, false
	}
	a.pairs = p[at:]
	return a, true
}

// content reads an attribute, at most limit bytes of it. What is not in this record is left out.
func (b Boot) content(r io.ReaderAt, a attribute, limit int64) ([]byte, error) {
	if a.resident {
		return a.value, nil
	}
	want := min(a.size, limit)
	runs, err := parseRuns(a.pairs, b.Clusters())
	if err != nil || a.first != 0 {
		return nil, err
	}
	var out []byte
	for _, run := range runs {
		n := min(run.Length*int64(b.ClusterSize), want-int64(len(out)))
		if n <= 0 {
			break
		}
		p := make([]byte, n)
		if run.LCN >= 0 {
			if err := full(r, p, run.LCN*int64(b.ClusterSize)); err != nil {
				return nil, fmt.Errorf("reading at cluster %d: %w", run.LCN, err)
			}
		}
		out = append(out, p...)
	}
	return out, nil
}
