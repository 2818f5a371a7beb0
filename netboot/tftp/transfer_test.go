package tftp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// receiver is a client without sockets (RFC 1350, RFC 7440 section 4): it takes blocks in order, and acknowledges the
// last good one at the end of a window, of the file, or at a gap.
type receiver struct {
	got    []byte
	block  int
	window int
	next   uint16
	inside int
	done   bool
}

// take returns the number to acknowledge.
func (r *receiver) take(p []byte) (ack uint16, answer bool) {
	switch {
	case p[1] == opOAck:
		return 0, r.next == 1 && len(r.got) == 0
	case r.done || binary.BigEndian.Uint16(p[2:]) != r.next:
		r.inside = 0
		return r.next - 1, true
	}
	r.got = append(r.got, p[4:]...)
	r.next++
	r.inside++
	r.done = len(p)-4 < r.block
	if r.inside == r.window || r.done {
		r.inside = 0
		return r.next - 1, true
	}
	return 0, false
}

// Every size arrives whole with every window, over a wire that loses and repeats packets in both directions.
func TestTransferOverLossyWire(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, window := range []int{0, 1, 4, 64, 1000} {
		for _, size := range []int{0, 1, 599, 600, 601, 600 * 70} {
			want := content(size)
			tr := newTransfer(bytes.NewReader(want), request{block: 600, window: window, size: true}, 1468)
			r := &receiver{block: 600, window: max(1, min(window, maxWindow)), next: 1}
			for rounds := 0; !tr.done(); rounds++ {
				if rounds > 100_000 {
					t.Fatalf("window %d, %d bytes: no end at block %d", window, size, tr.acked)
				}
				var acks []uint16
				if err := tr.packets(func(p []byte) error {
					for range random.IntN(3) { // lost, delivered or repeated
						if n, answer := r.take(p); answer {
							acks = append(acks, n)
						}
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				for _, n := range acks {
					for range random.IntN(3) {
						tr.acknowledge(n)
					}
				}
			}
			if !bytes.Equal(r.got, want) {
				t.Errorf("window %d: %d bytes arrived, want %d", window, len(r.got), size)
			}
		}
	}
}

// A file of more than 65,535 blocks wraps to block 0.
func TestTransferWraps(t *testing.T) {
	want := content(70_000 * 8)
	tr := newTransfer(bytes.NewReader(want), request{block: 8, window: 64}, 1468)
	r := &receiver{block: 8, window: 64, next: 1}
	for !tr.done() {
		var ack []uint16
		tr.packets(func(p []byte) error {
			if n, answer := r.take(p); answer {
				ack = append(ack, n)
			}
			return nil
		})
		for _, n := range ack {
			tr.acknowledge(n)
		}
	}
	if !bytes.Equal(r.got, want) {
		t.Error("the content differs")
	}
}

// A repeated acknowledgement sends nothing again (the sorcerer's apprentice), one from outside the window changes
// nothing.
func TestAcknowledge(t *testing.T) {
	tr := newTransfer(bytes.NewReader(content(5000)), request{}, 1468)
	for _, c := range []struct {
		number uint16
		send   bool
		acked  int64
	}{{0, false, 0}, {2, false, 0}, {1, true, 1}, {1, false, 1}, {0, false, 1}, {0xffff, false, 1}, {2, true, 2}} {
		if send := tr.acknowledge(c.number); send != c.send || tr.acked != c.acked {
			t.Errorf("acknowledge(%d) = %v with block %d, want %v with %d", c.number, send, tr.acked, c.send, c.acked)
		}
	}
	windowed := newTransfer(bytes.NewReader(content(50_000)), request{window: 4}, 1468)
	for _, c := range []struct {
		number uint16
		send   bool
		acked  int64
	}{{0xffff, false, -1}, {1, false, -1}, {0, true, 0}, {2, true, 2}, {2, true, 2}, {2, false, 2},
		{7, false, 2}, {6, true, 6}} {
		if send := windowed.acknowledge(c.number); send != c.send || windowed.acked != c.acked {
			t.Errorf("window 4: acknowledge(%d) = %v with block %d, want %v with %d", c.number, send,
				windowed.acked, c.send, c.acked)
		}
	}
}
