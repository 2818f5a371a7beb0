// Package parity makes and uses the symbols that repair losses: a block of k source symbols gets up to r parity
// symbols, and any k of the k+r symbols give the block back.
//
// New makes a Code, which serves both sides: Encode computes a block's parity, and Block collects symbols in any
// order until it has k of them.
//
// The code is klauspost/reedsolomon's Leopard over GF(2^16). It is not a standard: the vectors in testdata pin it,
// and both sides must use the same Name. A shorter last block is a code of its own with a smaller k and the same r;
// the zeros after a short last symbol are part of the code, but are not sent.
//
// Sources: Lin, Al-Naffouri, Han, Chung: Novel Polynomial Basis With Fast Fourier Transform and Its Application to
// Reed-Solomon Erasure Codes (2016); github.com/catid/leopard.
package parity

import (
	"errors"
	"fmt"

	"github.com/klauspost/reedsolomon"
)

// Name is the code and its version on the wire.
const Name = "leopard-gf16/1"

// Align divides the length of a symbol, in bytes.
const Align = 64

// ErrSize is wrapped by errors about sizes that the code cannot have, or a symbol of the wrong size.
var ErrSize = errors.New("sizes do not fit the code")

// Code makes and uses parity for blocks of one k, r and symbol size. Its methods may be called from any number of
// goroutines.
type Code struct {
	k, r, symbol int
	enc          reedsolomon.Encoder
}

// New makes the code for blocks of k source symbols and r parity symbols, of symbol bytes each.
func New(k, r, symbol int) (*Code, error) {
	if k < 1 || r < 1 || k+r > 65536 || symbol < Align || symbol%Align != 0 {
		return nil, fmt.Errorf("making a code of %d and %d symbols of %d bytes: %w", k, r, symbol, ErrSize)
	}
	enc, err := reedsolomon.New(k, r, reedsolomon.WithLeopardGF16(true), reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("making a code of %d and %d symbols: %w", k, r, err)
	}
	return &Code{k, r, symbol, enc}, nil
}

// K is the number of source symbols.
func (c *Code) K() int { return c.k }

// R is the number of parity symbols.
func (c *Code) R() int { return c.r }

// Encode returns the r parity symbols of source, which is at most k symbols long; zeros follow a shorter one. The
// symbols share an array of r*symbol bytes, which is returned too: parity is that array of an earlier call, or nil.
func (c *Code) Encode(source, parity []byte) ([][]byte, []byte, error) {
	if len(source) > c.k*c.symbol {
		return nil, nil, fmt.Errorf("encoding %d bytes: %w: the block has %d", len(source), ErrSize, c.k*c.symbol)
	}
	if cap(parity) < c.r*c.symbol {
		parity = make([]byte, c.r*c.symbol)
	}
	parity = parity[:c.r*c.symbol]
	shards := make([][]byte, c.k+c.r)
	var zero []byte
	for i := range c.k {
		at := i * c.symbol
		switch {
		case at+c.symbol <= len(source):
			shards[i] = source[at : at+c.symbol : at+c.symbol]
		case at < len(source):
			shards[i] = make([]byte, c.symbol)
			copy(shards[i], source[at:])
		default:
			if zero == nil {
				zero = make([]byte, c.symbol)
			}
			shards[i] = zero
		}
	}
	for i := range c.r {
		shards[c.k+i] = parity[i*c.symbol : (i+1)*c.symbol : (i+1)*c.symbol]
	}
	if err := c.enc.Encode(shards); err != nil {
		return nil, nil, fmt.Errorf("encoding a block: %w", err)
	}
	return shards[c.k:], parity, nil
}
