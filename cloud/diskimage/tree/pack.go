package tree

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// PieceSize is how much of a file mkfs.btrfs puts into one extent, bytes.
const PieceSize = 1 << 20

// Packed is a file of which only the pieces that are not zero are unpacked.
type Packed struct {
	Size   int64   // of the whole file
	Pieces []int64 // their numbers in the file, ascending
	Blocks int64   // how many blocks in them are not zero
}

// packer copies the pieces of a file that are not zero to a file of its own, since a tar archive
// wants their number first.
type packer struct {
	spool  *os.File
	buffer []byte
}

// newPacker has a nameless file in dir.
func newPacker(dir string) (*packer, error) {
	f, err := os.CreateTemp(dir, "sparse")
	if err != nil {
		return nil, err
	}
	return &packer{f, make([]byte, PieceSize)}, os.Remove(f.Name())
}

func (p *packer) Close() error { return p.spool.Close() }

// pack reads a file of size bytes, and returns what it kept and how many bytes that is; the spool is
// at its beginning then.
func (p *packer) pack(from io.Reader, size int64) (Packed, int64, error) {
	kept := Packed{Size: size}
	if err := errors.Join(p.spool.Truncate(0), seek(p.spool)); err != nil {
		return kept, 0, err
	}
	length, last := int64(0), (size-1)/PieceSize
	for i := range last + 1 {
		b := p.buffer[:min(PieceSize, size-i*PieceSize)]
		if _, err := io.ReadFull(from, b); err != nil {
			return kept, 0, fmt.Errorf("reading its content: %w", err)
		}
		// A short end that is alone would lie in the inode, where nothing can be before it.
		alone := i == last-1 && len(kept.Pieces) == 0
		if IsZero(b) && !alone {
			continue
		}
		kept.Pieces = append(kept.Pieces, i)
		if _, err := p.spool.Write(b); err != nil {
			return kept, 0, err
		}
		length += int64(len(b))
		for block := range slices.Chunk(b, BlockSize) {
			if !IsZero(block) {
				kept.Blocks++
			}
		}
	}
	return kept, length, seek(p.spool)
}

func seek(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}
