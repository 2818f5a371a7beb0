package multicast_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/receiver"
	"griddle/imagestore/multicast/sender"
	"griddle/imagestore/multicast/testbed"
)

// until waits for something that a status says.
func (r *room) until(what string, ok func(multicast.SessionStatus) bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		st := r.sender.Status()
		if ok(st) {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("waiting for %s: the session is %+v", what, st)
		}
	}
}

// A machine that joins half-way has everything from the session, with a spool and without, and so have the others.
func TestLate(t *testing.T) {
	for _, spool := range []bool{true, false} {
		t.Run(fmt.Sprintf("spool=%v", spool), func(t *testing.T) {
			r := newRoom(t, 3, 20<<20)
			r.send(sender.Options{Machines: 2, Budget: multicast.NewBudget(12_000_000)})
			var wg sync.WaitGroup
			var first []got
			wg.Go(func() { first = r.all(r.bed.Receivers[:2], receiver.Options{}) })
			r.until("half of it", func(s multicast.SessionStatus) bool { return s.Percent() >= 50 })
			o := receiver.Options{Memory: 6 << 20}
			if spool {
				o.Spool = t.TempDir()
			}
			late := r.all(r.bed.Receivers[2:], o)
			wg.Wait()
			for i, g := range first {
				if g.outcome != receiver.Complete || g.p.HTTP > 0 {
					t.Errorf("receiver %d, which was there from the beginning: %v, %d bytes by HTTP", i+1,
						g.outcome, g.p.HTTP)
				}
			}
			if g := late[0]; g.p.Multicast < int64(len(r.data))/4 {
				t.Errorf("the late one got %d bytes by multicast", g.p.Multicast)
			} else if spool && (g.outcome != receiver.Complete || g.p.HTTP > 0) {
				t.Errorf("the late one, with a spool: %v, %d bytes by HTTP", g.outcome, g.p.HTTP)
			}
		})
	}
}

// A machine that joins when all the others are done has everything from the session too, which was about to end.
func TestLingering(t *testing.T) {
	r := newRoom(t, 3, 16<<20)
	r.send(sender.Options{Machines: 2, Budget: multicast.NewBudget(12_000_000)})
	r.all(r.bed.Receivers[:2], receiver.Options{})
	r.until("nobody asks", func(s multicast.SessionStatus) bool { return s.State == datagram.Lingering })
	if g := r.all(r.bed.Receivers[2:], receiver.Options{Spool: t.TempDir()})[0]; g.outcome != receiver.Complete ||
		g.p.HTTP > 0 {
		t.Errorf("%v, %d bytes by HTTP", g.outcome, g.p.HTTP)
	}
}

// A machine on a slow port is told to leave, and gets the rest by HTTP; the others do not notice.
func TestSlowPort(t *testing.T) {
	r := newRoom(t, 3, 24<<20)
	if err := r.bed.Receivers[2].Wire(t.Context(), testbed.Wire{Rate: 16_000_000}); err != nil {
		t.Fatal(err)
	}
	r.send(sender.Options{Machines: 3, Budget: multicast.NewBudget(10_000_000)})
	for i, g := range r.all(r.bed.Receivers, receiver.Options{}) {
		if want := (receiver.Complete); i < 2 && (g.outcome != want || g.p.HTTP > 0) {
			t.Errorf("receiver %d: %v, %d bytes by HTTP", i+1, g.outcome, g.p.HTTP)
		}
		if i == 2 && g.outcome != receiver.Demoted {
			t.Errorf("the slow one: %v, want it demoted", g.outcome)
		}
	}
}

// Where nothing is delivered HTTP brings everything, and it is said why.
func TestNotDelivered(t *testing.T) {
	r := newRoom(t, 2, 9<<20)
	r.send(sender.Options{Machines: 2})
	if err := r.bed.Receivers[0].Wire(t.Context(), testbed.Wire{Loss: 1}); err != nil {
		t.Fatal(err)
	}
	if g := r.all(r.bed.Receivers[:1], receiver.Options{})[0]; g.outcome != receiver.Unheard ||
		g.p.HTTP != int64(len(r.data)) {
		t.Errorf("%v, %d bytes by HTTP", g.outcome, g.p.HTTP)
	}
}

// The network goes away in the middle, for good for one receiver and for a while for another.
func TestNetworkGone(t *testing.T) {
	r := newRoom(t, 3, 20<<20)
	r.send(sender.Options{Machines: 3, Budget: multicast.NewBudget(8_000_000)})
	var wg sync.WaitGroup
	var all []got
	wg.Go(func() { all = r.all(r.bed.Receivers, receiver.Options{Spool: t.TempDir()}) })
	r.until("a third of it", func(s multicast.SessionStatus) bool { return s.Percent() >= 33 })
	for _, h := range r.bed.Receivers[:2] {
		if err := h.Wire(t.Context(), testbed.Wire{Loss: 1}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second) // the length of the outage, shorter than Silence
	if err := r.bed.Receivers[1].Wire(t.Context(), testbed.Wire{}); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if all[0].outcome != receiver.Silent || all[0].p.HTTP == 0 {
		t.Errorf("without a network: %v, %d bytes by HTTP", all[0].outcome, all[0].p.HTTP)
	}
	// An outage that a busy computer draws out past the sender's time-out leaves the receiver to HTTP; shorter ones
	// do not.
	if all[1].outcome != receiver.Complete && all[1].outcome != receiver.Demoted {
		t.Errorf("the receiver that came back: %v, want it complete by the session, or left to HTTP", all[1].outcome)
	}
	if all[2].outcome != receiver.Complete || all[2].p.HTTP > 0 {
		t.Errorf("the receiver beside them: %v, %d bytes by HTTP, want it complete by the session", all[2].outcome,
			all[2].p.HTTP)
	}
}

// A reader that stops reads nothing into memory without end, and holds up nobody.
func TestReaderStops(t *testing.T) {
	r := newRoom(t, 2, 40<<20)
	r.send(sender.Options{Machines: 2, Budget: multicast.NewBudget(30_000_000)})
	s := r.invite()
	d, err := receiver.New(receiver.Options{Encoding: s.Encoding, Size: s.Size, HTTP: []blob.Reader{r.http},
		Memory: 6 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		err := r.bed.Receivers[1].Do(func() error {
			ifi, err := net.InterfaceByName("eth0")
			if err == nil {
				_, err = d.Join(t.Context(), s, r.hashes, ifi)
			}
			return err
		})
		if err == nil {
			err = d.Fill(t.Context(), nil)
		}
		d.End(err)
	})
	r.all(r.bed.Receivers[:1], receiver.Options{}) // the other one is through before this one reads a byte
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if before.HeapInuse > 3*(40<<20)+64<<20 { // the encoding, what the other one got, and room for waste
		t.Errorf("%d MB are in use while nobody reads", before.HeapInuse>>20)
	}
	b, err := io.ReadAll(d)
	wg.Wait()
	if err != nil || !bytes.Equal(b, r.data) {
		t.Errorf("the one that stopped got %d bytes, %v", len(b), err)
	}
}

// Two sessions side by side, of two senders with one port number and a budget each, do not disturb each other.
func TestTwoSessions(t *testing.T) {
	for _, c := range []struct {
		name  string
		group string // of the second one; the first has 239.255.7.7
		from  int    // receiver that is a second appliance, or 0
	}{{"of one appliance", "239.255.7.8:7469", 0}, {"of two appliances that chose the same group", "239.255.7.7:7469",
		5}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, 5, 9<<20)
			r.send(sender.Options{Machines: 2, Budget: multicast.NewBudget(12_000_000)})
			data := content(9<<20 + 5)
			data[0] ^= 1
			o := r.another(t, data, netip.MustParseAddrPort(c.group))
			if c.from > 0 {
				o.from = r.bed.Receivers[c.from-1]
			}
			o.send(sender.Options{Machines: 2, Budget: multicast.NewBudget(12_000_000)})
			var wg sync.WaitGroup
			for i, x := range []*room{r, o} {
				wg.Go(func() {
					for _, g := range x.all(r.bed.Receivers[2*i:2*i+2], receiver.Options{}) {
						if g.outcome != receiver.Complete || g.p.HTTP > 0 {
							t.Errorf("session %d: %v, %d bytes by HTTP", i, g.outcome, g.p.HTTP)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// Sixty-four receivers with losses.
func TestManyReceivers(t *testing.T) {
	r := newRoom(t, 64, 3<<20)
	for _, h := range r.bed.Receivers {
		if err := h.Wire(t.Context(), testbed.Wire{Loss: 0.01}); err != nil {
			t.Fatal(err)
		}
	}
	r.send(sender.Options{Machines: 64, Gather: time.Minute, Budget: multicast.NewBudget(2_000_000)})
	before, err := r.bed.Sender.Sent()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range r.all(r.bed.Receivers, receiver.Options{}) {
		if g.outcome == receiver.Complete {
			n++
		}
	}
	after, err := r.bed.Sender.Sent()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of 64 by the session, which sent %.2f times the encoding", n, float64(after-before)/float64(len(r.data)))
	if n < 60 {
		t.Errorf("%d of 64 got everything from the session", n)
	}
}
