package sender

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"griddle/imagestore/multicast/parity"
)

// maxEncoded is how many blocks' parity is kept: most losses are of the latest few blocks.
const maxEncoded = 8

// encoded is a block's parity.
type encoded struct {
	block   uint32
	symbols [][]byte
	memory  []byte
}

// read fills b from the encoding.
func (s *Sender) read(b []byte, at int64) error {
	n, err := s.o.Source.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading the encoding at %d: %w", at, err)
}

// encoded is the parity of a block. It is computed when it is needed, and kept for a while.
func (s *Sender) encoded(block uint32) ([][]byte, error) {
	l := s.o.Layout
	if i := slices.IndexFunc(s.parities, func(e encoded) bool { return e.block == block }); i >= 0 {
		e := s.parities[i]
		s.parities = append(slices.Delete(s.parities, i, i+1), e)
		return e.symbols, nil
	}
	k := l.BlockK(s.o.Size, int(block))
	code := s.codes[k]
	if code == nil {
		var err error
		if code, err = parity.New(k, l.R, l.Symbol); err != nil {
			return nil, err
		}
		s.codes[k] = code // at most two: the last block has its own
	}
	source := s.buf[:l.BlockSize(s.o.Size, int(block))]
	if err := s.read(source, int64(block)*l.Block()); err != nil {
		return nil, err
	}
	e := encoded{block: block}
	if len(s.parities) == maxEncoded {
		e.memory = s.parities[0].memory
		s.parities = slices.Delete(s.parities, 0, 1)
	}
	var err error
	if e.symbols, e.memory, err = code.Encode(source, e.memory); err != nil {
		return nil, err
	}
	s.parities = append(s.parities, e)
	return e.symbols, nil
}
