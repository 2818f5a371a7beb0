package multicast

import (
	"fmt"

	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/parity"
)

// Layout is how an encoding is cut into blocks, and blocks into symbols.
type Layout struct {
	Code   string `json:"code"`   // parity.Name
	K      int    `json:"k"`      // source symbols of a block
	R      int    `json:"r"`      // parity symbols of a block at most
	Symbol int    `json:"symbol"` // bytes, a multiple of parity.Align
}

// DefaultLayout is for links whose frames hold 1500 bytes: blocks of 1.4 MB, packets of 1472 bytes.
func DefaultLayout() Layout { return Layout{parity.Name, 1024, 1024, 1408} }

// Block is the size of a block, in bytes.
func (l Layout) Block() int64 { return int64(l.K) * int64(l.Symbol) }

// Blocks is how many blocks an encoding of size bytes has.
func (l Layout) Blocks(size int64) int { return int((size + l.Block() - 1) / l.Block()) }

// BlockSize is the size of block i of an encoding of size bytes, in bytes; the last block may be shorter.
func (l Layout) BlockSize(size int64, i int) int {
	return int(min(l.Block(), size-int64(i)*l.Block()))
}

// BlockK is how many own symbols block i of an encoding of size bytes has: K, or fewer in the last block.
func (l Layout) BlockK(size int64, i int) int {
	return (l.BlockSize(size, i) + l.Symbol - 1) / l.Symbol
}

// Validate refuses a layout of another code, and one that takes more memory than a receiver has. Errors wrap
// ErrSession.
func (l Layout) Validate() error {
	switch {
	case l.Code != parity.Name:
		return fmt.Errorf("%w: its code is %.40q, and this program knows %s", ErrSession, l.Code, parity.Name)
	case l.K < 1 || l.R < 1 || l.K+l.R > 65535 || l.Symbol < parity.Align || l.Symbol%parity.Align != 0 ||
		l.Symbol > datagram.MaxPayload || l.Block() > 8<<20 || int64(l.R)*int64(l.Symbol) > 16<<20:
		return fmt.Errorf("%w: blocks of %d and %d symbols of %d bytes are not possible",
			ErrSession, l.K, l.R, l.Symbol)
	}
	return nil
}
