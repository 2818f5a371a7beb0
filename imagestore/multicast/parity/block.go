package parity

import "fmt"

// Block collects the symbols of one block. It belongs to one goroutine.
type Block struct {
	code   *Code
	size   int      // bytes of the block, without the zeros after them
	source []byte   // k symbols, of which those that came are filled
	shards [][]byte // k+r; nil where nothing came
	have   int
	own    int // source symbols among them
}

// Block starts to collect a block of size bytes, at most k symbols. Its memory is k symbols, and what parity comes, at most k.
func (c *Code) Block(size int) (*Block, error) {
	if size < 1 || size > c.k*c.symbol || size <= (c.k-1)*c.symbol {
		return nil, fmt.Errorf("collecting a block of %d bytes: %w: %d symbols of %d bytes", size, ErrSize, c.k, c.symbol)
	}
	return &Block{code: c, size: size, source: make([]byte, c.k*c.symbol), shards: make([][]byte, c.k+c.r)}, nil
}

// Add takes the symbol esi, and says whether it was of use: one that is there already, or comes when the block is whole, is not.
func (b *Block) Add(esi int, payload []byte) (bool, error) {
	c := b.code
	if esi < 0 || esi >= c.k+c.r {
		return false, fmt.Errorf("taking symbol %d: %w: there are %d", esi, ErrSize, c.k+c.r)
	}
	want := c.symbol
	if esi < c.k {
		want = min(c.symbol, b.size-esi*c.symbol)
	}
	if len(payload) != want {
		return false, fmt.Errorf("taking symbol %d: %w: it has %d bytes, not %d", esi, ErrSize, len(payload), want)
	}
	if b.shards[esi] != nil || b.have >= c.k {
		return false, nil
	}
	if esi < c.k {
		b.shards[esi] = b.source[esi*c.symbol : (esi+1)*c.symbol : (esi+1)*c.symbol]
		b.own++
	} else {
		b.shards[esi] = make([]byte, c.symbol)
	}
	copy(b.shards[esi], payload)
	b.have++
	return true, nil
}

// Have is how many symbols there are.
func (b *Block) Have() int { return b.have }

// Missing is how many more symbols are needed, whichever they are.
func (b *Block) Missing() int { return b.code.k - b.have }

// Bytes returns the block, its size bytes long, once nothing is missing; it is the block's own memory. Where source symbols were
// lost this is when they are computed. That the bytes are right is not known yet: whoever knows the block's digest compares.
func (b *Block) Bytes() ([]byte, error) {
	c := b.code
	if b.have < c.k {
		return nil, fmt.Errorf("putting a block together: %d of %d symbols are missing", b.Missing(), c.k)
	}
	if b.own < c.k {
		for i := range c.k {
			if b.shards[i] == nil {
				b.shards[i] = b.source[i*c.symbol : i*c.symbol : (i+1)*c.symbol] // room to compute into
			}
		}
		if err := c.enc.ReconstructData(b.shards); err != nil {
			return nil, fmt.Errorf("putting a block together: %w", err)
		}
		b.own = c.k
		clear(b.shards[c.k:])
	}
	return b.source[:b.size], nil
}
