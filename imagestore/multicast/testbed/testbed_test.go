package testbed

import (
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sendThrough sends n numbered datagrams to a host and returns what came, in the order in which it came.
// round tells it from what an earlier call left on the wire.
func sendThrough(t *testing.T, b *Bed, to *Host, round byte, n int) []byte {
	t.Helper()
	var in, out net.PacketConn
	open := func(c *net.PacketConn, address string) func() error {
		return func() (err error) {
			*c, err = net.ListenPacket("udp4", address)
			return err
		}
	}
	if err := to.Do(open(&in, to.Address.Addr().String()+":5000")); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := b.Sender.Do(open(&out, b.Sender.Address.Addr().String()+":0")); err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	dst := &net.UDPAddr{IP: to.Address.Addr().AsSlice(), Port: 5000}
	got := make(chan byte, 2*n)
	go func() {
		defer close(got)
		buf := make([]byte, 100)
		for {
			k, _, err := in.ReadFrom(buf)
			if err != nil {
				return
			}
			if buf[0] != round {
				continue
			}
			if k == 3 { // the end
				return
			}
			got <- buf[1]
		}
	}()
	for i := range n {
		if _, err := out.WriteTo([]byte{round, byte(i)}, dst); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			time.Sleep(time.Millisecond) // a burst would overflow a shaped port
		}
	}
	var came []byte
	end := time.NewTicker(50 * time.Millisecond)
	defer end.Stop()
	limit := time.After(time.Minute)
	for {
		select {
		case <-limit:
			t.Fatalf("the end did not come; %d of %d did", len(came), n)
		case x, ok := <-got:
			if !ok {
				return came
			}
			came = append(came, x)
		case <-end.C:
			out.WriteTo([]byte{round, 0, 0}, dst)
		}
	}
}

func TestWires(t *testing.T) {
	b, err := Open(t.Context(), Options{Receivers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	h := b.Receivers[0]
	const n = 400
	disorder := func(got []byte) (k int) {
		for i := 1; i < len(got); i++ {
			if int8(got[i]-got[i-1]) < 0 {
				k++
			}
		}
		return k
	}
	for i, c := range []struct {
		name     string
		w        Wire
		min, max int
		disorder bool
	}{
		{"good", Wire{}, n, n, false},
		{"half lost", Wire{Loss: 0.5}, n / 4, n * 3 / 4, false},
		{"bursts", Wire{Burst: 30, Every: 100}, n - 4*35, n - 3*25, false},
		{"delay", Wire{Delay: 20 * time.Millisecond}, n, n, false},
		{"twice and in disorder", Wire{Jitter: 5 * time.Millisecond, Duplicate: 1}, 2*n - n/10, 2 * n, true},
		{"good again", Wire{}, n, n, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := h.Wire(t.Context(), c.w); err != nil {
				t.Fatal(err)
			}
			sendThrough(t, b, h, byte(2*i), 1) // the neighbours find each other
			got := sendThrough(t, b, h, byte(2*i+1), n)
			if len(got) < c.min || len(got) > c.max {
				t.Errorf("%d of %d came, want %d to %d", len(got), n, c.min, c.max)
			}
			if d := disorder(got); (d > 0) != c.disorder {
				t.Errorf("%d came before an earlier one, want disorder %v", d, c.disorder)
			}
		})
	}
	if sent, err := b.Sender.Sent(); err != nil || sent < 5*n*44 {
		t.Errorf("the sender sent %d bytes, %v", sent, err)
	}
}

// packetSockets is how many sockets of this process read frames.
func packetSockets(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil &&
			domain == unix.AF_PACKET {
			n++
		}
	}
	return n
}

// A wire that is replaced lets go of its sockets, and only then: a frame that is written later
// would go to another file.
func TestWireLetsGo(t *testing.T) {
	b, err := Open(t.Context(), Options{Receivers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	h := b.Receivers[0]
	for round := range byte(3) {
		if err := h.Wire(t.Context(), Wire{Jitter: time.Millisecond, Duplicate: 0.5}); err != nil {
			t.Fatal(err)
		}
		if n := packetSockets(t); n < 2 {
			t.Errorf("%d sockets carry frames, want 2", n)
		}
		sendThrough(t, b, h, round, 50)
		if err := h.Wire(t.Context(), Wire{}); err != nil {
			t.Fatal(err)
		}
		for packetSockets(t) > 0 {
			if t.Context().Err() != nil {
				t.Fatal("the sockets stay open")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
