package content

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Inspect reads the content of a disk of size bytes: its partition table, and the signatures of the whole disk and of
// each partition. It fails only if the disk cannot be read at all; unknown content is not an error. If a part cannot be
// read and nothing is recognised in the rest, the signature is Unreadable.
//
// It reads at fixed places. If it recognises nothing, the disk may still have content: call Sample.
func Inspect(dev io.ReaderAt, size int64, sectorSize int) (Content, error) {
	if n, err := dev.ReadAt(make([]byte, 512), 0); n < 512 && err != nil && !errors.Is(err, io.EOF) {
		return Content{}, fmt.Errorf("reading boot sector: %w", err)
	}
	r := &failRecorder{ReaderAt: dev}
	c := ReadTable(r, size, sectorSize)
	c.Begun = readBegun(r, size)
	c.Signature = Identify(r, size)
	if c.Signature.Type == "ldm" && c.Table == "mbr" && !slices.ContainsFunc(c.Partitions, isDynamic) {
		c.Signature = Signature{} // left of a dynamic disk that another system partitioned since
	}
	for i := range c.Partitions {
		p := &c.Partitions[i]
		if p.Type == "extended" || p.Type == "GPT protective" || p.Size <= 0 || p.Start < 0 || p.Start+p.Size > size {
			continue
		}
		part := io.NewSectionReader(r, p.Start, p.Size)
		p.Signature = Identify(part, p.Size)
		// Another filesystem may have left the mark of an earlier pool where it was.
		p.Mark = markOf(part, p.Signature.Type)
		p.UUID = uuidOf(part, p.Signature.Type)
	}
	if r.failed && !c.Recognised() {
		c.Signature.Type = Unreadable
	}
	return c, nil
}

// ReadTable reads the partition table of a disk as Inspect does, and nothing else: no signature and no mark.
func ReadTable(r io.ReaderAt, size int64, sectorSize int) Content {
	c, found := readGPT(r, size, sectorSize)
	if !found {
		c, found = readMBR(r, size, sectorSize)
	}
	if !found {
		c = readTables(r, size)
	}
	return c
}

func isDynamic(p Partition) bool { return p.Type == dynamic }

// Unreadable is the signature of a disk with bad sectors where a table or a signature may be.
const Unreadable = "unreadable sectors"

// failRecorder remembers whether reading failed.
type failRecorder struct {
	io.ReaderAt
	failed bool
}

func (w *failRecorder) ReadAt(b []byte, off int64) (int, error) {
	n, err := w.ReaderAt.ReadAt(b, off)
	if n < len(b) && err != nil && !errors.Is(err, io.EOF) {
		w.failed = true
	}
	return n, err
}

// readFull says whether all of b could be read at off.
func readFull(r io.ReaderAt, b []byte, off int64) bool {
	if off < 0 {
		return false
	}
	n, _ := r.ReadAt(b, off)
	return n == len(b)
}

// Clean makes a string from hardware or a disk fit to be compared and sent: valid, without control characters,
// trimmed.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(s)
}
