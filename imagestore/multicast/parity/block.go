package parity

import "fmt"

// Block collects the symbols of one block. It belongs to one goroutine.
type Block struct {
	code   *Code
	size   int      // bytes of the block, without the zeros after them
	source []byte   // k symbols; those that came are filled
	shards [][]byte // k+r; nil where nothing came
	have   int
	own    int // source symbols among them
}

// Block starts to collect a block of size bytes, which must be k symbols, the last of them shorter or not. Its memory
// is k symbols, and at most k more for parity.
func (c *Code) Block(size int) (*Block, error) {
	if size < 1 || size > c.k*c.symbol || size <= (c.k-1)*c.symbol {
		return nil, fmt.Errorf("collecting a block of %d bytes: %w: %d symbols of %d bytes", size,
			ErrSize, c.k, c.symbol)
	}
	return &Block{code: c, size: size, source: make([]byte, c.k*c.symbol), shards: make([][]byte, c.k+c.r)}, nil
}

// Add takes the symbol esi, and says whether it was of use. It is not if it came before, or if the block is whole.
// Errors wrap ErrSize.
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

// Have is how many symbols came.
func (b *Block) Have() int { return b.have }

// Missing is how many more symbols are needed; any will do.
func (b *Block) Missing() int { return b.code.k - b.have }

// Bytes returns the block when nothing is missing. It computes the symbols that were lost. The result is the block's
// own memory. Compare its digest: a wrong symbol makes wrong bytes, and no error.
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
