package sender

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/parity"
	"griddle/imagestore/multicast/testbed"
)

// wire is a test bed with the sender as host 1 and receivers as hosts 2 and on.
type wire struct {
	t   *testing.T
	bed *testbed.Bed
}

func newWire(t *testing.T, receivers int) *wire {
	t.Helper()
	bed, err := testbed.Open(t.Context(), testbed.Options{Receivers: receivers})
	if err != nil {
		t.Fatalf("%v: run make deps", err)
	}
	t.Cleanup(func() {
		if err := bed.Close(); err != nil {
			t.Error(err)
		}
	})
	return &wire{t, bed}
}

// lose has host i lose a share of what comes in.
func (w *wire) lose(i int, share float64) {
	w.t.Helper()
	if err := w.bed.Receivers[i-2].Wire(w.t.Context(), testbed.Wire{Loss: share}); err != nil {
		w.t.Fatal(err)
	}
}

// within runs f on host i: sockets that it opens belong there for ever.
func (w *wire) within(i int, f func(ifi *net.Interface) error) {
	w.t.Helper()
	h := w.bed.Sender
	if i > 1 {
		h = w.bed.Receivers[i-2]
	}
	if err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return f(ifi)
	}); err != nil {
		w.t.Fatal(err)
	}
}

const testGroup = "239.255.7.7:7007"

// sender opens a sender on host 1.
func (w *wire) sender(data []byte, change func(*Options)) (*Sender, multicast.Session) {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	o := Options{ID: multicast.NewID(), Secret: multicast.NewSecret(), Layout: multicast.DefaultLayout(),
		Size: int64(len(data)), Source: bytes.NewReader(data),
		Group: netip.MustParseAddrPort(testGroup), Address: w.bed.Sender.Address.Addr(),
		Budget: multicast.NewBudget(20e6), Log: log, Linger: 300 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	var s *Sender
	w.within(1, func(ifi *net.Interface) (err error) {
		o.Interface = ifi
		s, err = New(o)
		return err
	})
	key, err := multicast.GroupKey(o.Secret, o.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return s, multicast.Session{ID: o.ID, Size: o.Size, Layout: o.Layout, Group: o.Group, Sender: s.Address(), Key: key}
}

// listener is a receiver that keeps everything in memory, and does what the sender's tests need.
type listener struct {
	t       *testing.T
	s       multicast.Session
	n       uint16
	group   *datagram.Key
	own     *datagram.Key
	data    *net.UDPConn
	reports *net.UDPConn
	codes   map[int]*parity.Code
	blocks  []*parity.Block
	whole   []bool
	left    int
	out     []byte
	h       datagram.Header // of the next report
	verdict bool
	states  []datagram.State // that were told, without repetitions
	nagging func(h *datagram.Header, missing []datagram.Missing) []datagram.Missing
	half    chan struct{} // closed when half of the blocks were sent
	told    bool
}

// listen joins the group on host i as receiver n.
func (w *wire) listen(i int, n uint16, s multicast.Session, secret multicast.Key) *listener {
	w.t.Helper()
	l := &listener{t: w.t, s: s, n: n, codes: map[int]*parity.Code{}, left: s.Layout.Blocks(s.Size),
		out: make([]byte, s.Size), half: make(chan struct{})}
	l.blocks, l.whole = make([]*parity.Block, l.left), make([]bool, l.left)
	// The tables of the code take their time, and whoever says that it is ready has them.
	for _, i := range []int{0, l.left - 1} {
		k := s.Layout.BlockK(s.Size, i)
		c, err := parity.New(k, s.Layout.R, s.Layout.Symbol)
		if err != nil {
			w.t.Fatal(err)
		}
		l.codes[k] = c
	}
	key, err := multicast.ReceiverKey(secret, s.ID, n)
	if err != nil {
		w.t.Fatal(err)
	}
	if l.own, err = datagram.NewKey(key, uint64(s.ID)); err != nil {
		w.t.Fatal(err)
	}
	if l.group, err = datagram.NewKey(s.Key, uint64(s.ID)); err != nil {
		w.t.Fatal(err)
	}
	w.within(i, func(ifi *net.Interface) (err error) {
		if l.data, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(s.Group)); err != nil {
			return err
		}
		if err := ipv4.NewPacketConn(l.data).JoinGroup(ifi, &net.UDPAddr{IP: s.Group.Addr().AsSlice()}); err != nil {
			return err
		}
		if err := l.data.SetReadBuffer(4 << 20); err != nil {
			return err
		}
		l.reports, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.Sender))
		return err
	})
	return l
}

// run receives until the end, a verdict, or ctx ends.
func (l *listener) run(ctx context.Context) error {
	defer l.data.Close()
	defer l.reports.Close()
	go func() {
		b := make([]byte, 2048)
		for {
			n, err := l.reports.Read(b)
			if err != nil {
				return
			}
			if h, _, err := l.own.Open(nil, b[:n]); err == nil && h.Type == datagram.Verdict {
				l.data.SetReadDeadline(time.Now())
				l.verdict = true
				return
			}
		}
	}()
	go func() {
		<-ctx.Done()
		l.data.SetReadDeadline(time.Now())
	}()
	b, scratch := make([]byte, 2048), make([]byte, 0, 2048)
	next, pos := time.Now(), uint32(0)
	for {
		if now := time.Now(); now.After(next) {
			next = now.Add(multicast.ReportInterval)
			l.report(pos)
		}
		n, err := l.data.Read(b)
		if err != nil {
			return errors.Join(err, ctx.Err())
		}
		h, payload, err := l.group.Open(scratch, b[:n])
		if err != nil {
			continue
		}
		l.h.Pos, pos = max(l.h.Pos, h.Seq), max(pos, h.Pos)
		l.h.Time++
		if !l.told && int(pos) >= len(l.whole)/2 {
			l.told = true
			close(l.half)
		}
		if h.Type == datagram.Data {
			if err := l.take(h, payload); err != nil {
				return err
			}
			continue
		}
		st, err := datagram.ParseStatus(payload)
		if err != nil {
			return err
		}
		if len(l.states) == 0 || l.states[len(l.states)-1] != st.State {
			l.states = append(l.states, st.State)
		}
		if h.Type == datagram.End {
			return nil
		}
	}
}

func (l *listener) take(h datagram.Header, payload []byte) error {
	i := int(h.Block)
	if l.whole[i] {
		return nil
	}
	if l.blocks[i] == nil {
		k := l.s.Layout.BlockK(l.s.Size, i)
		var err error
		if l.blocks[i], err = l.codes[k].Block(l.s.Layout.BlockSize(l.s.Size, i)); err != nil {
			return err
		}
	}
	if _, err := l.blocks[i].Add(int(h.ESI), payload); err != nil || l.blocks[i].Missing() > 0 {
		return err
	}
	b, err := l.blocks[i].Bytes()
	if err != nil {
		return err
	}
	copy(l.out[int64(i)*l.s.Layout.Block():], b)
	l.blocks[i], l.whole[i] = nil, true
	if l.left--; l.left == 0 {
		l.report(0)
	}
	return nil
}

func (l *listener) report(pos uint32) {
	var missing []datagram.Missing
	for b := range pos {
		if l.whole[b] {
			continue
		}
		m := datagram.Missing{First: b, Blocks: 1, Symbols: datagram.All}
		if l.blocks[b] != nil {
			m.Symbols = uint16(l.blocks[b].Missing())
		}
		missing = append(missing, m)
	}
	h := l.h
	h.Type, h.ESI, h.Flags = datagram.Report, l.n, datagram.Ready
	if l.left == 0 {
		h.Flags |= datagram.Done
	}
	if l.nagging != nil {
		missing = l.nagging(&h, missing)
	}
	l.h.Seq++
	h.Seq = l.h.Seq
	l.reports.Write(l.own.Seal(nil, h, datagram.AppendMissing(nil, missing))) // lost ones are part of it
}

func randomBytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

// A session over real sockets: two lossy receivers from the start, one that comes late, and everybody ends with the
// same bytes.
func TestSenderOnWire(t *testing.T) {
	w := newWire(t, 3)
	data := randomBytes(12<<20+777, 1)
	var o Options
	s, session := w.sender(data, func(p *Options) { p.Machines, p.Linger = 2, 5*time.Second; o = *p })
	w.lose(2, 0.05)
	w.lose(3, 0.02)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	var all []*listener
	results := make(chan error, 3)
	start := func(i int) {
		l := w.listen(i, uint16(i), session, o.Secret)
		all = append(all, l)
		go func() { results <- l.run(ctx) }()
	}
	start(2)
	start(3)
	half := all[0].half
	select {
	case <-half:
		start(4)
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	for range all {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, l := range all {
		if !bytes.Equal(l.out, data) {
			t.Errorf("receiver %d has other bytes, %d blocks are missing", l.n, l.left)
		}
		if !slices.Contains(l.states, datagram.Closed) {
			t.Errorf("receiver %d heard %v, and no end", l.n, l.states)
		}
	}
	st := s.Status()
	t.Logf("%+v", st)
	if !st.Over() || st.Percent() != 100 || len(st.Receivers) != 3 || st.Again == 0 || st.Parity == 0 {
		t.Errorf("the session ended as %+v", st)
	}
}

// An interface that was made again since the coordinator looked it up has another index and the same name.
func TestSenderFindsItsInterfaceByName(t *testing.T) {
	o := Options{Interface: &net.Interface{Name: "lo", Index: 4711}, Address: netip.MustParseAddr("127.0.0.1"),
		Group: netip.MustParseAddrPort("239.255.0.1:7469")}
	s, err := openSocket(o)
	if err != nil {
		t.Fatal(err)
	}
	s.conn.Close()
}
