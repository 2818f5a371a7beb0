package diskimage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// pieceSize is how much of a file mkfs.btrfs puts into one extent, bytes.
const pieceSize = 1 << 20

// packed is a file of which only the pieces that are not zero are unpacked.
type packed struct {
	size   int64   // of the whole file
	pieces []int64 // their numbers in the file, ascending
	blocks int64   // how many blocks in them are not zero
}

// packer copies the pieces of a file that are not zero to a file of its own, since a tar archive wants their number first.
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
	return &packer{f, make([]byte, pieceSize)}, os.Remove(f.Name())
}

func (p *packer) Close() error { return p.spool.Close() }

// pack reads a file of size bytes, and returns what it kept and how many bytes that is; the spool is at its beginning then.
func (p *packer) pack(from io.Reader, size int64) (packed, int64, error) {
	kept := packed{size: size}
	if err := errors.Join(p.spool.Truncate(0), seek(p.spool)); err != nil {
		return kept, 0, err
	}
	length, last := int64(0), (size-1)/pieceSize
	for i := range last + 1 {
		b := p.buffer[:min(pieceSize, size-i*pieceSize)]
		if _, err := io.ReadFull(from, b); err != nil {
			return kept, 0, fmt.Errorf("reading its content: %w", err)
		}
		// A short end that is alone would lie in the inode, where nothing can be before it.
		alone := i == last-1 && len(kept.pieces) == 0
		if isZero(b) && !alone {
			continue
		}
		kept.pieces = append(kept.pieces, i)
		if _, err := p.spool.Write(b); err != nil {
			return kept, 0, err
		}
		length += int64(len(b))
		for block := range slices.Chunk(b, blockSize) {
			if !isZero(block) {
				kept.blocks++
			}
		}
	}
	return kept, length, seek(p.spool)
}

func seek(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}
