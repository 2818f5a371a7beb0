package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/parity"
	"griddle/imagestore/multicast/sourcetest"
)

// collecting is a collector of data, and what a sender would send of it.
type collecting struct {
	*collector
	data []byte
}

func newCollecting(t testing.TB, l multicast.Layout, size int) *collecting {
	t.Helper()
	data := sourcetest.Random(size)
	h, err := multicast.HashBlocks(bytes.NewReader(data), l)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCollector(multicast.Session{Layout: l, Size: int64(size)}, h)
	if err != nil {
		t.Fatal(err)
	}
	return &collecting{c, data}
}

// sent is symbol esi of block i.
func (c *collecting) sent(t testing.TB, i, esi int) []byte {
	t.Helper()
	at := i * int(c.layout.Block())
	b := c.data[at : at+c.layout.BlockSize(c.size, i)]
	k := c.layout.BlockK(c.size, i)
	if esi < k {
		return b[esi*c.layout.Symbol : min(len(b), (esi+1)*c.layout.Symbol)]
	}
	code, err := parity.New(k, c.layout.R, c.layout.Symbol)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := code.Encode(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p[esi-k]
}

func TestCollectSymbols(t *testing.T) {
	// smallLayout: blocks of 8 symbols of 64 bytes; the last of three has 2, of 64 and 36 bytes.
	const size = 2*512 + 100
	own := []int{0, 1, 2, 3, 4, 5, 6, 7}
	for _, c := range []struct {
		name  string
		block int
		esis  []int
		whole int // the place in esis whose symbol makes the block whole; -1 for none
	}{
		{"own symbols", 0, own, 7},
		{"backwards", 1, []int{7, 6, 5, 4, 3, 2, 1, 0}, 7},
		{"one mended", 0, []int{0, 1, 2, 3, 4, 5, 6, 9}, 7},
		{"parity alone", 1, []int{8, 9, 10, 11, 12, 13, 14, 15}, 7},
		{"repeated", 0, []int{0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 15, 15}, 10},
		{"one short of it", 0, own[:7], -1},
		{"the last block", 2, []int{0, 1}, 1},
		{"the last block, mended", 2, []int{1, 2}, 1},
		{"the last block, of parity", 2, []int{9, 4}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			co := newCollecting(t, smallLayout, size)
			for n, esi := range c.esis {
				whole, used, err := co.symbol(c.block, esi, co.sent(t, c.block, esi))
				if err != nil {
					t.Fatal(err)
				}
				if used != (slices.Index(c.esis, esi) == n) {
					t.Errorf("symbol(%d) used = %v", esi, used)
				}
				if (whole != nil) != (n == c.whole) {
					t.Fatalf("after symbol(%d), number %d: whole = %v", esi, n, whole != nil)
				}
				at := c.block * 512
				if whole != nil && !bytes.Equal(whole, co.data[at:min(at+512, size)]) {
					t.Error("the block has other bytes")
				}
				if n == c.whole {
					return
				}
			}
			if got := co.symbols(c.block); got != len(c.esis) {
				t.Errorf("symbols() = %d, want %d", got, len(c.esis))
			}
		})
	}
}

func TestCollectRefuses(t *testing.T) {
	const size = 2*512 + 100
	for _, c := range []struct {
		name       string
		block, esi int
		payload    []byte
	}{
		{"a block beyond the end", 3, 0, make([]byte, 64)},
		{"a block before the beginning", -1, 0, make([]byte, 64)},
		{"a symbol that there is not", 0, 16, make([]byte, 64)},
		{"a symbol beyond the last block's", 2, 10, make([]byte, 64)},
		{"a short one", 0, 0, make([]byte, 63)},
		{"a long one", 0, 0, make([]byte, 65)},
		{"an empty one", 0, 0, nil},
		{"a last one with zeros", 2, 1, make([]byte, 64)},
		{"short parity", 2, 2, make([]byte, 36)},
	} {
		t.Run(c.name, func(t *testing.T) {
			co := newCollecting(t, smallLayout, size)
			if _, used, err := co.symbol(c.block, c.esi, c.payload); err == nil || used {
				t.Errorf("symbol() = %v, %v; want an error", used, err)
			}
			if len(co.work) != 0 || co.bad != 0 {
				t.Errorf("%d blocks are begun, %d are bad", len(co.work), co.bad)
			}
		})
	}
}

// A wrong symbol spoils its block, whose symbols are all forgotten; the next try is right.
func TestCollectPolluted(t *testing.T) {
	co := newCollecting(t, smallLayout, 3*512)
	for esi := range 8 {
		b := bytes.Clone(co.sent(t, 1, esi))
		b[5] ^= byte(esi / 7)
		whole, _, err := co.symbol(1, esi, b)
		if whole != nil || errors.Is(err, errPolluted) != (esi == 7) {
			t.Fatalf("after symbol(%d): %v", esi, err)
		}
	}
	if co.bad != 1 || co.symbols(1) != 0 {
		t.Errorf("%d blocks are bad, %d symbols are kept", co.bad, co.symbols(1))
	}
	for esi := range 8 {
		whole, _, err := co.symbol(1, esi, co.sent(t, 1, esi))
		if err != nil || (whole != nil) != (esi == 7) {
			t.Fatalf("after symbol(%d), again: %v", esi, err)
		}
	}
}

// Whatever comes in whatever order, what is given out is right.
func TestCollectAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	for range 30 {
		co := newCollecting(t, smallLayout, 4*512+200)
		missing := co.blocks()
		for _, n := range rnd.Perm(co.blocks() * 16) {
			i, esi := n/16, n%16
			if esi >= co.layout.BlockK(co.size, i)+co.layout.R {
				continue
			}
			whole, _, err := co.symbol(i, esi, co.sent(t, i, esi))
			if err != nil {
				t.Fatal(err)
			}
			if whole != nil {
				missing--
				if !co.hashes.Match(i, whole) {
					t.Fatalf("block %d has other bytes", i)
				}
			}
		}
		if missing > 0 {
			t.Fatalf("%d blocks are not whole", missing)
		}
	}
}

func TestCollectMissing(t *testing.T) {
	every := func(int) bool { return true }
	for _, c := range []struct {
		name      string
		have      map[int]int // block: symbols
		from, pos int
		want      func(int) bool
		out       string // {first blocks symbols} each; all is 65535
	}{
		{"nothing is closed", nil, 0, 0, every, "[]"},
		{"nothing came", nil, 0, 20, every, "[{0 20 65535}]"},
		{"some of one", map[int]int{3: 6}, 0, 5, every, "[{0 3 65535} {3 1 2} {4 1 65535}]"},
		{"the same of two", map[int]int{3: 6, 4: 6}, 3, 5, every, "[{3 2 2}]"},
		{"not what is not closed", map[int]int{3: 6, 4: 6}, 3, 4, every, "[{3 1 2}]"},
		{"the last one has two", map[int]int{20: 1}, 20, 21, every, "[{20 1 1}]"},
		{"beyond the end", nil, 20, 1 << 30, every, "[{20 1 65535}]"},
		{"from the end", nil, 21, 1 << 30, every, "[]"},
		{"what is wanted", nil, 0, 20, func(i int) bool { return i%8 < 2 }, "[{0 2 65535} {8 2 65535} {16 2 65535}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			co := newCollecting(t, smallLayout, 20*512+100)
			for i, n := range c.have {
				for esi := range n {
					if _, _, err := co.symbol(i, esi, co.sent(t, i, esi)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := fmt.Sprint(co.missing(nil, c.from, c.pos, c.want)); got != c.out {
				t.Errorf("missing() = %v, want %v", got, c.out)
			}
		})
	}
}

// However much is missing, the list goes into a frame and the first come first.
func TestCollectMissingMuch(t *testing.T) {
	co := newCollecting(t, smallLayout, 2000*512)
	got := co.missing(nil, 0, 2000, func(i int) bool { return i%2 == 0 })
	if len(got) != datagram.MaxMissing || got[0].First != 0 || got[len(got)-1].First != uint32(2*len(got)-2) {
		t.Errorf("missing() has %d entries up to %v", len(got), got[len(got)-1])
	}
	if _, err := datagram.ParseMissing(nil, datagram.AppendMissing(nil, got)); err != nil {
		t.Error(err)
	}
}

// What is begun at once is bounded, in blocks and in bytes, and the earliest stay: the reader wants them first.
func TestCollectBounded(t *testing.T) {
	for _, c := range []struct {
		layout multicast.Layout
		want   int
	}{
		{smallLayout, workLimit},
		{multicast.DefaultLayout(), workLimit},
		{multicast.Layout{Code: parity.Name, K: 1024, R: 1024, Symbol: 8192}, 2}, // of 8 MB
	} {
		t.Run(fmt.Sprint(c.layout.Block()), func(t *testing.T) {
			h := make(multicast.Hashes, 32*30)
			co, err := newCollector(multicast.Session{Layout: c.layout, Size: 30 * c.layout.Block()}, h)
			if err != nil {
				t.Fatal(err)
			}
			symbol := make([]byte, c.layout.Symbol)
			for _, i := range []int{20, 25, 3, 9, 29, 1, 2, 4, 5, 6, 7, 8, 22, 0} {
				if _, _, err := co.symbol(i, 0, symbol); err != nil {
					t.Fatal(err)
				}
				// What is no symbol takes nobody's place.
				if _, _, err := co.symbol(0, 0, symbol[1:]); err == nil {
					t.Fatal("a short symbol was taken")
				}
			}
			if len(co.work) != c.want {
				t.Errorf("%d blocks are begun, want %d", len(co.work), c.want)
			}
			for i := range c.want {
				if co.symbols(i) != 1 {
					t.Errorf("block %d was given up", i)
				}
			}
		})
	}
}

// A layout is refused, or can be worked with to the last block, whatever a control plane thought of.
func TestCollectLayouts(t *testing.T) {
	for _, c := range []struct {
		k, r, symbol int
		refused      bool
	}{
		{1, 1, 64, false}, {1, 1024, 64, false}, {2, 1, 64, false}, {1024, 1, 64, false}, {3, 5, 8896, false},
		{30000, 30000, 64, false}, {32768, 32767, 64, false}, {65534, 1, 64, false},
		// the code cannot
		{1, 65534, 64, true}, {20000, 40000, 64, true}, {65000, 535, 64, true}, {32769, 32766, 64, true},
		{1024, 1024, 8896, true}, {0, 1, 64, true}, {1, 0, 64, true}, {8, 8, 63, true}, {8, 8, 65472, true},
		{65535, 1, 64, true}, {-1, 8, 64, true},
	} {
		t.Run(fmt.Sprintf("%d+%d of %d", c.k, c.r, c.symbol), func(t *testing.T) {
			l := multicast.Layout{Code: parity.Name, K: c.k, R: c.r, Symbol: c.symbol}
			err := l.Validate()
			if err == nil {
				_, err = newCollector(multicast.Session{Layout: l, Size: l.Block() + 1}, nil)
			}
			if (err != nil) != c.refused {
				t.Fatalf("refused = %v, want %v", err, c.refused)
			}
			if c.refused {
				return
			}
			co := newCollecting(t, l, int(l.Block())+1)
			code, err := parity.New(l.K, l.R, l.Symbol)
			if err != nil {
				t.Fatal(err)
			}
			p, _, err := code.Encode(co.data[:l.Block()], nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range l.K {
				b, esi := co.sent(t, 0, i), i
				if i < min(l.K, l.R, 3) {
					b, esi = p[i], l.K+i
				}
				whole, _, err := co.symbol(0, esi, b)
				if err != nil || (whole != nil) != (i == l.K-1) {
					t.Fatalf("symbol %d of %d: %v", i, l.K, err)
				}
			}
			if whole, _, err := co.symbol(1, 0, co.data[l.Block():]); err != nil || len(whole) != 1 {
				t.Errorf("the last block: %d bytes, %v", len(whole), err)
			}
		})
	}
}
