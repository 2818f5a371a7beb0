package sender

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// onLoopback is a sender that needs no network.
func onLoopback(t testing.TB, data []byte, change func(*Options)) (*Sender, Options) {
	t.Helper()
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{ID: multicast.NewID(), Secret: multicast.NewSecret(), Size: int64(len(data)),
		Source: bytes.NewReader(data), Group: netip.MustParseAddrPort(testGroup),
		Address: netip.MustParseAddr("127.0.0.1"), Interface: lo, Linger: time.Second}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

// reporter seals receiver n's reports.
func reporter(t testing.TB, o Options, n uint16) func(h datagram.Header, missing ...datagram.Missing) []byte {
	t.Helper()
	key, err := multicast.ReceiverKey(o.Secret, o.ID, n)
	if err != nil {
		t.Fatal(err)
	}
	k, err := datagram.NewKey(key, uint64(o.ID))
	if err != nil {
		t.Fatal(err)
	}
	return func(h datagram.Header, missing ...datagram.Missing) []byte {
		h.Type, h.ESI = datagram.Report, n
		return k.Seal(nil, h, datagram.AppendMissing(nil, missing))
	}
}

// Operators' orders, as receivers hear them.
func TestOrders(t *testing.T) {
	w := newWire(t, 1)
	data := randomBytes(6<<20, 2)
	for _, c := range []struct {
		name   string
		before func(*Sender)
		at     func(s *Sender, cancel func()) // when half was sent
		heard  []datagram.State               // among others, in this order
		done   bool
		why    string
	}{
		{name: "started by hand", before: (*Sender).Start, heard: []datagram.State{datagram.Closed}, done: true,
			why: "no receiver asks for more"},
		{name: "held and resumed", before: (*Sender).Start, at: func(s *Sender, _ func()) {
			s.Hold(time.Hour)
			time.AfterFunc(300*time.Millisecond, func() { s.Hold(0) })
		}, heard: []datagram.State{datagram.Held, datagram.Closed}, done: true, why: "no receiver asks for more"},
		{name: "a hold ends by itself", before: (*Sender).Start,
			at:    func(s *Sender, _ func()) { s.Hold(300 * time.Millisecond) },
			heard: []datagram.State{datagram.Held, datagram.Closed}, done: true, why: "no receiver asks for more"},
		{name: "stopped", before: (*Sender).Start, at: func(s *Sender, _ func()) { s.Stop() },
			heard: []datagram.State{datagram.Closed}, why: "it was stopped"},
		{name: "the program ends", before: (*Sender).Start, at: func(_ *Sender, cancel func()) { cancel() },
			heard: []datagram.State{datagram.Closed}, why: "it was stopped"},
		{name: "capped", before: func(s *Sender) { s.Cap(4 << 20); s.Start() },
			heard: []datagram.State{datagram.Closed}, done: true, why: "no receiver asks for more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &wire{t, w.bed}
			var o Options
			s, session := w.sender(data, func(p *Options) { p.Gather = time.Minute; o = *p })
			c.before(s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			sending, stop := context.WithCancel(ctx)
			defer stop()
			ended := make(chan error)
			go func() { ended <- s.Run(sending) }()
			l := w.listen(2, 7, session, o.Secret)
			half := l.half
			result := make(chan error)
			go func() { result <- l.run(ctx) }()
			if c.at != nil {
				select {
				case <-half:
					c.at(s, stop)
				case <-ctx.Done():
					t.Fatal(ctx.Err())
				}
			}
			if err := errors.Join(<-result, <-ended); err != nil {
				t.Fatal(err)
			}
			i := 0
			for _, st := range l.states {
				if i < len(c.heard) && st == c.heard[i] {
					i++
				}
			}
			if i < len(c.heard) {
				t.Errorf("the receiver hears %v, want %v", l.states, c.heard)
			}
			if got := bytes.Equal(l.out, data); got != c.done {
				t.Errorf("the bytes are there: %v, want %v; %d blocks are missing", got, c.done, l.left)
			}
			if st := s.Status(); st.Why != c.why {
				t.Errorf("it is over because %q, want %q", st.Why, c.why)
			}
		})
	}
}

// A receiver that loses what the other one gets is told to leave, and the other one is done.
func TestVerdict(t *testing.T) {
	w := newWire(t, 2)
	w.lose(3, 0.7)
	data := randomBytes(24<<20, 3)
	var o Options
	s, session := w.sender(data, func(p *Options) { p.Machines, p.Rate = 2, 8e6; o = *p })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended, good, bad := make(chan error), make(chan error), make(chan error)
	a, b := w.listen(2, 2, session, o.Secret), w.listen(3, 3, session, o.Secret)
	go func() { ended <- s.Run(ctx) }()
	go func() { good <- a.run(ctx) }()
	go func() { bad <- b.run(ctx) }()
	<-bad
	if err := errors.Join(<-good, <-ended); err != nil {
		t.Error(err)
	}
	if !b.verdict || a.verdict || !bytes.Equal(a.out, data) {
		t.Errorf("told to leave are the good one %v, the bad one %v", a.verdict, b.verdict)
	}
	for _, r := range s.Status().Receivers {
		if want := map[uint16]string{2: "done", 3: "demoted"}[r.Number]; r.State != want {
			t.Errorf("receiver %d is %s (%s), want %s", r.Number, r.State, r.Why, want)
		}
	}
}

// Whatever comes to the port, of outsiders and of receivers: it counts for nothing unless it is a report of its own,
// and new.
func TestForgedReports(t *testing.T) {
	data := randomBytes(3<<20, 4)
	s, o := onLoopback(t, data, nil)
	defer s.sock.conn.Close()
	report := reporter(t, o, 5)
	good := report(datagram.Header{Seq: 3, Flags: datagram.Ready, Pos: 9, Time: 9})
	other := o
	other.Secret = multicast.NewSecret()
	verdict := reporter(t, o, 5)(datagram.Header{Seq: 9, Flags: datagram.Ready})
	verdict[1] = byte(datagram.Verdict)
	swapped := report(datagram.Header{Seq: 9, Flags: datagram.Ready})
	swapped[21]++ // another receiver's number
	var e reportBuffer
	r := rand.New(rand.NewPCG(1, 2))
	for _, b := range [][]byte{nil, good[:len(good)-1], append(good[:len(good):len(good)], 0),
		reporter(t, other, 5)(datagram.Header{Seq: 1, Flags: datagram.Ready}), verdict, swapped,
		s.group.Seal(nil, datagram.Header{Type: datagram.Report, Seq: 1, ESI: 5, Flags: datagram.Ready}, nil)} {
		s.handleReport(b, s.sock.group, &e)
	}
	for range 2000 {
		b := bytes.Clone(good)
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		s.handleReport(b, s.sock.group, &e)
	}
	if n := len(s.Status().Receivers); n > 0 || len(s.keys) > 0 {
		t.Errorf("%d receivers and %d keys came of nothing", n, len(s.keys))
	}
	s.unknown = 0
	s.handleReport(good, s.sock.group, &e)
	s.handleReport(report(datagram.Header{Seq: 2, Flags: datagram.Done, Pos: 9}), s.sock.group, &e) // replayed
	if st := s.Status().Receivers; len(st) != 1 || st[0].State != "receiving" {
		t.Errorf("the receivers are %+v, want one", st)
	}
}

// A session whose source breaks ends, and says why.
func TestBrokenSource(t *testing.T) {
	data := randomBytes(3<<20, 4)
	s, o := onLoopback(t, data, func(o *Options) { o.Size = 4 << 20; o.Machines = 1 })
	report := reporter(t, o, 1)
	s.handleReport(report(datagram.Header{Seq: 1, Flags: datagram.Ready}), s.sock.group, &reportBuffer{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Run(ctx); !errors.Is(err, io.ErrUnexpectedEOF) || !s.Status().Over() {
		t.Errorf("Run = %v, in %v, want %v", err, s.Status().State, io.ErrUnexpectedEOF)
	}
}

// A relay sends no more than it may.
func TestVerifiedPrefix(t *testing.T) {
	l := multicast.DefaultLayout()
	s := newSchedule(l, 3*l.Block()+5, func() float64 { return 0 })
	none := func(uint32) (uint32, bool) { return 0, false }
	seq := uint32(0)
	for _, c := range []struct {
		verified int64
		closed   uint32
	}{{0, 0}, {l.Block() - 1, 0}, {l.Block(), 1}, {3*l.Block() + 4, 3}, {3*l.Block() + 5, 4}} {
		for {
			sym, ok := s.pick(seq+1, c.verified, none)
			if !ok {
				break
			}
			if end := int64(sym.block+1) * l.Block(); min(end, s.size) > c.verified {
				t.Fatalf("with %d bytes verified, symbol %d of block %d is sent", c.verified, sym.esi, sym.block)
			}
			seq++
		}
		if s.closed() != c.closed {
			t.Errorf("with %d bytes verified, %d blocks are sent, want %d", c.verified, s.closed(), c.closed)
		}
	}
	if want := uint32(3*l.K + 1); seq != want {
		t.Errorf("%d symbols are sent, want %d", seq, want)
	}
}

func TestSenderOptions(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	small := *lo
	small.MTU = 1280
	_, err = New(Options{ID: 1, Secret: multicast.NewSecret(), Interface: &small,
		Address: netip.MustParseAddr("0.0.0.0"), Group: netip.MustParseAddrPort("10.0.0.1:1"), TTL: 300})
	if !errors.Is(err, multicast.ErrSession) {
		t.Fatalf("New = %v, want %v", err, multicast.ErrSession)
	}
	for _, want := range []string{"0 bytes", "no source", "10.0.0.1:1 is not", "0.0.0.0 is not", "TTL of 300",
		"1472 bytes do not fit"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// BenchmarkHear is a report from its bytes on, and the making of these, which takes as long as opening them.
func BenchmarkHear(b *testing.B) {
	s, o := onLoopback(b, make([]byte, 1), nil)
	defer s.sock.conn.Close()
	var reports [1000]func(datagram.Header, ...datagram.Missing) []byte
	for i := range reports {
		reports[i] = reporter(b, o, uint16(i))
		s.unknown = 0
		s.handleReport(reports[i](datagram.Header{Seq: 1}), s.sock.group, &reportBuffer{})
	}
	var e reportBuffer
	missing := []datagram.Missing{{First: 1, Blocks: 1, Symbols: 3}, {First: 3, Blocks: 1, Symbols: 9}}
	for i := 0; b.Loop(); i++ {
		s.handleReport(reports[i%1000](datagram.Header{Seq: uint32(2 + i/1000), Flags: datagram.Ready}, missing...),
			s.sock.group, &e)
	}
}
