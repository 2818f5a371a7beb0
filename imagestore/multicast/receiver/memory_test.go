package receiver

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/sourcetest"
)

// The most memory that a receiver may take, with everything against it: a full window that nobody reads, and as many
// blocks begun as there may be, of parity alone, by somebody who has the key.
func TestReceiverMemory(t *testing.T) {
	const limit = 128 << 20
	l := multicast.DefaultLayout()
	size := 200 * l.Block()
	block := sourcetest.Random(int(l.Block()))
	list, err := multicast.HashBlocks(bytes.NewReader(block), l)
	if err != nil {
		t.Fatal(err)
	}
	list = bytes.Repeat(list, 200) // of blocks that are all the same
	used := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools let go of
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse)
	}
	before := used()
	s := multicast.Session{ID: 7, Layout: l, Size: size, Encoding: blob.Sum(block), Hashes: blob.Sum(list),
		Key: multicast.Key("0123456789abcdef"), ReceiverKey: multicast.Key("0123456789abcdef")}
	d, err := New(Options{Encoding: s.Encoding, Size: size,
		HTTP: []blob.Reader{sourcetest.Memory(nil)}, Memory: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m, err := newMembership(d, s, list)
	if err != nil {
		t.Fatal(err)
	}
	var seq uint32
	var sealed, scratch []byte
	say := func(block, esi int, payload []byte) {
		seq++
		sealed = m.group.Seal(sealed[:0], datagram.Header{Type: datagram.Data, Seq: seq, Block: uint32(block),
			ESI: uint16(esi), Pos: 200}, payload)
		scratch = m.handle(scratch, sealed, time.Now())
	}
	window := d.buffer.window
	for i := range 200 { // the session goes on, and nobody reads
		for esi := range l.K {
			if i < window-workLimit || esi > 0 {
				say(i, esi, block[esi*l.Symbol:(esi+1)*l.Symbol])
			}
		}
	}
	// These miss a symbol yet; parity in the place of all others is what takes most.
	for i := window - workLimit; i < window; i++ {
		m.collector.drop(i)
		for esi := range l.K - 1 {
			say(i, l.K+esi, block[:l.Symbol])
		}
	}
	if n := len(m.collector.work); n != workLimit {
		t.Fatalf("%d blocks are begun, want %d: the case is not the worst", n, workLimit)
	}
	if left, _ := d.buffer.missing(); left != 200-window+workLimit {
		t.Fatalf("%d blocks are missing, want all but %d", left, window-workLimit)
	}
	got := used() - before
	t.Logf("%d MB are in use", got>>20)
	if got > limit {
		t.Errorf("%d MB are in use, more than %d", got>>20, limit>>20)
	}
	// And it goes on: what was polluted comes right.
	for i := window - workLimit; i < window; i++ {
		m.collector.drop(i)
		for esi := range l.K {
			say(i, esi, block[esi*l.Symbol:(esi+1)*l.Symbol])
		}
	}
	if n, err := io.CopyN(io.Discard, d, int64(window)*l.Block()); err != nil {
		t.Errorf("%d bytes could be read, %v", n, err)
	}
}
