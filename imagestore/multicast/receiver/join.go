package receiver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

// Outcome is how a session ended for one receiver.
type Outcome int

// The outcomes. After each but Complete the rest comes by HTTP.
const (
	Complete Outcome = iota + 1 // every block is there
	Ended                       // the session is over
	Demoted                     // the sender told this receiver to leave: it holds up the others
	Unheard                     // nothing came within Unheard of joining: multicast is not delivered here
	Silent                      // nothing came for Silence
	Polluted                    // three blocks had wrong bytes: somebody in the group means harm
)

func (o Outcome) String() string {
	if o >= Complete && o <= Polluted {
		return [...]string{"complete", "the session ended", "this machine could not keep up with the others", "multicast is not delivered here",
			"the sender fell silent", "somebody in the group sends wrong bytes"}[o-Complete]
	}
	return fmt.Sprintf("outcome %d", int(o))
}

// pollutedBlocks is how many blocks may have wrong bytes before the group is left.
const pollutedBlocks = 3

// Join receives s on the interface ifi until every block is there or the session is over for this receiver. Blocks that the session
// does not bring it fetches by HTTP on the way: those whose bytes were wrong, and those that nobody sends any more of.
func (d *Download) Join(ctx context.Context, s multicast.Session, h multicast.Hashes, ifi *net.Interface) (Outcome, error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	if s.Layout != d.o.Layout || s.Size != d.o.Size || s.Encoding != d.o.Encoding {
		return 0, fmt.Errorf("joining session %v: %w: it is of other bytes", s.ID, multicast.ErrSession)
	}
	m, err := d.member(s, h, ifi)
	if err != nil {
		return 0, fmt.Errorf("joining session %v: %w", s.ID, err)
	}
	defer m.close()
	d.mu.Lock()
	d.hashes = h
	d.mu.Unlock()
	d.tell(func(p *Progress) { p.Way, p.Why = "waiting", "" })

	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { m.mend(ctx) })
	wg.Go(func() { m.hear(ctx) })
	return m.run(ctx)
}

// membership is one receiver in one session.
type membership struct {
	d     *Download
	s     multicast.Session
	ifi   *net.Interface
	group *datagram.Key
	own   *datagram.Key
	in    *ipv4.PacketConn
	raw   *unpolled
	out   *net.UDPConn

	mu       sync.Mutex
	c        *collector
	heard    time.Time     // the last good datagram of the group
	quiet    time.Duration // that was listened for in vain since then
	hi       uint32        // highest seq
	lo       uint32        // the first seq
	seen     [seqWindow / 64]uint64
	received uint32
	pos      int
	status   datagram.Status
	ended    Outcome
	byHTTP   map[int]bool    // blocks that are left to HTTP
	stuck    map[int]*asking // closed blocks that were asked for
	came     [2]int64        // bytes of blocks, and of parity, since show told of them
	moved    bool            // something did
	reports  uint32          // seq of reports
	verdict  uint32          // highest seq of a verdict
}

// asking is what became of asking for a block.
type asking struct {
	symbols int
	since   time.Time // they grew last
	asked   int       // reports since then
}

// seqWindow is how far back a datagram is known to be a repetition.
const seqWindow = 1 << 14

func (d *Download) member(s multicast.Session, h multicast.Hashes, ifi *net.Interface) (*membership, error) {
	m := &membership{d: d, s: s, ifi: ifi, byHTTP: map[int]bool{}, stuck: map[int]*asking{}}
	var err error
	// The code's tables are made before anybody is told that this receiver is ready: they take longer than a session can wait.
	if m.c, err = newCollector(s, h); err != nil {
		return nil, err
	}
	if m.group, err = datagram.NewKey(s.Key, uint64(s.ID)); err != nil {
		return nil, err
	}
	if m.own, err = datagram.NewKey(s.ReceiverKey, uint64(s.ID)); err != nil {
		return nil, err
	}
	if m.out, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.Sender)); err != nil {
		return nil, err
	}
	if m.raw, err = listenGroup(s.Group); err == nil {
		m.in = ipv4.NewPacketConn(m.raw)
		err = m.in.JoinGroup(ifi, &net.UDPAddr{IP: s.Group.Addr().AsSlice()})
	}
	if err != nil {
		m.close()
		return nil, fmt.Errorf("joining group %v on %s: %w", s.Group.Addr(), ifi.Name, err)
	}

	return m, nil
}

// listenGroup opens a socket that gets what is sent to the group and nothing else, and holds eight megabytes of it.
func listenGroup(group netip.AddrPort) (*unpolled, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
				return
			}
			// Groups that other sockets of this host joined are not ours (ip(7)).
			if err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
				return
			}
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) != nil {
				// Without CAP_NET_ADMIN it is as much as the system allows.
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
			}
		})
		return errors.Join(cerr, err)
	}}
	c, err := lc.ListenPacket(context.Background(), "udp4", group.String())
	if err != nil {
		return nil, err
	}
	return unpoll(c.(*net.UDPConn))
}

func (m *membership) close() {
	if m.raw != nil {
		m.raw.Close() // leaves the group
	}
	m.out.Close()
}

// napAfter is how long the socket may fill while nobody looks, when so many datagrams came at once after the last nap: a handful at a
// time costs most of the processor's time, and the socket holds about 3600 of them.
func napAfter(n int) time.Duration {
	switch {
	case n > 1000:
		return time.Millisecond
	case n > 400:
		return 4 * time.Millisecond
	}
	return 16 * time.Millisecond
}

// run reads the group.
func (m *membership) run(ctx context.Context) (Outcome, error) {
	const batch = 128
	msgs := make([]ipv4.Message, batch)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, m.s.Layout.Symbol+datagram.Overhead+1)}
	}
	scratch := make([]byte, 0, m.s.Layout.Symbol+datagram.Overhead)
	next := time.Now().Add(multicast.ReportInterval)
	rejoined, drained := false, 0
	for {
		if err := ctx.Err(); err != nil {
			m.report(datagram.Leaving)
			return 0, err
		}
		n, err := m.in.ReadBatch(msgs, unix.MSG_DONTWAIT)
		now := time.Now()
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return 0, fmt.Errorf("receiving session %v: %w", m.s.ID, err)
		}
		n = max(n, 0)
		for i := range n {
			if from, ok := msgs[i].Addr.(*net.UDPAddr); ok && from.AddrPort().Port() == m.s.Sender.Port() && from.AddrPort().Addr().Unmap() == m.s.Sender.Addr() {
				scratch = m.take(scratch, msgs[i].Buffers[0][:msgs[i].N], now)
			}
		}
		m.show()
		if out := m.over(); out != 0 {
			m.leave(out)
			return out, nil
		}
		if quiet, heard := m.silence(); quiet > multicast.Silence/2 && !rejoined && heard {
			// A switch whose querier is gone forgets members after a while; it learns of new ones.
			_ = m.in.LeaveGroup(m.ifi, &net.UDPAddr{IP: m.s.Group.Addr().AsSlice()})
			_ = m.in.JoinGroup(m.ifi, &net.UDPAddr{IP: m.s.Group.Addr().AsSlice()})
			rejoined = true
		} else if quiet < multicast.Silence/4 {
			rejoined = false
		}
		if !now.Before(next) {
			next = now.Add(m.report(0))
		}
		if drained += n; n < batch {
			rest := max(0, min(napAfter(drained), time.Until(next)))
			time.Sleep(rest)
			m.listened(rest)
			drained = 0
		}
	}
}

// listened adds to the time for which nothing was heard. Time in which nobody listened is not silence: a machine that computes, or stands
// still, for seconds has the sender's words in its socket.
func (m *membership) listened(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quiet += d
}

// silence is for how long nothing was heard, and whether anything ever was.
func (m *membership) silence() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quiet, !m.heard.IsZero()
}

// over says whether the session is, for this receiver.
func (m *membership) over() Outcome {
	left, _ := m.d.stock.missing()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case left == 0:
		return Complete
	case m.ended != 0:
		return m.ended
	case m.c.bad >= pollutedBlocks:
		return Polluted
	case m.heard.IsZero() && m.quiet > multicast.UnheardAfter:
		return Unheard
	case !m.heard.IsZero() && m.quiet > multicast.Silence:
		return Silent
	}
	return 0
}

// take takes in one datagram from the sender's address. Whatever is wrong with it, it is dropped.
func (m *membership) take(scratch, b []byte, now time.Time) []byte {
	h, payload, err := m.group.Open(scratch, b)
	if err != nil {
		return scratch
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.fresh(h.Seq) {
		return payload[:0]
	}
	m.heard, m.quiet = now, 0
	if h.Seq == m.hi {
		m.pos = max(m.pos, min(int(h.Pos), m.c.blocks()))
	}
	switch h.Type {
	case datagram.Data:
		if h.Seq == m.hi {
			m.sends()
		}
		m.data(h, payload, now)
	case datagram.Heartbeat, datagram.End:
		st, err := datagram.ParseStatus(payload)
		if err != nil || h.Seq != m.hi {
			break
		}
		m.status = st
		if h.Type == datagram.End || st.State == datagram.Closed {
			m.ended = Ended
		}
		m.d.tell(func(p *Progress) {
			p.State, p.Receivers, p.Wait = st.State, int(st.Receivers), time.Duration(st.Wait)*time.Millisecond
			if st.State == datagram.Gathering || st.State == datagram.Held {
				p.Way = "waiting"
			}
		})
	}
	return payload[:0]
}

// sends notes that the session goes on, which a sender that has work says once a second only: until then it would look as if it
// lingered and did not do what is asked for.
func (m *membership) sends() {
	switch m.status.State {
	case datagram.Gathering, datagram.Held:
		m.status.State = datagram.Running
	case datagram.Lingering:
		m.status.State = datagram.Repairing
	}
}

// fresh counts a seq, and says whether it is heard for the first time.
func (m *membership) fresh(seq uint32) bool {
	switch {
	case seq == 0:
		return false
	case m.hi == 0:
		m.lo, m.hi = seq, seq
	case seq > m.hi:
		if seq-m.hi >= seqWindow {
			clear(m.seen[:])
		} else {
			for s := m.hi + 1; s != seq+1; s++ {
				m.seen[s%seqWindow/64] &^= 1 << (s % 64)
			}
		}
		m.hi = seq
	case m.hi-seq >= seqWindow, m.seen[seq%seqWindow/64]>>(seq%64)&1 != 0:
		return false
	}
	m.lo = min(m.lo, seq)
	m.seen[seq%seqWindow/64] |= 1 << (seq % 64)
	m.received++
	return true
}

func (m *membership) data(h datagram.Header, payload []byte, now time.Time) {
	i := int(h.Block)
	if h.Block >= uint32(m.c.blocks()) || m.byHTTP[i] || !m.d.stock.wants(i) {
		return
	}
	whole, used, err := m.c.symbol(i, int(h.ESI), payload)
	if err != nil {
		if errors.Is(err, errPolluted) {
			m.byHTTP[i] = true
		}
		return
	}
	if !used {
		return
	}
	if whole != nil {
		delete(m.stuck, i)
		if m.d.stock.put(i, whole) {
			m.came[0] += int64(len(whole))
		}
	}
	if int(h.ESI) >= m.s.Layout.BlockK(m.s.Size, i) {
		m.came[1] += int64(len(payload))
	}
	m.moved = true
}

// show tells of what a batch brought.
func (m *membership) show() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.moved {
		return
	}
	whole, repair := m.came[0], m.came[1]
	m.came, m.moved = [2]int64{}, false
	loss := max(0, 1-float64(m.received)/float64(m.hi-m.lo+1))
	m.d.tell(func(p *Progress) {
		p.Way, p.State, p.Loss = "multicast", datagram.Running, loss
		p.Multicast += whole
		p.Repair += repair
	})
}

// report tells the sender what is missing, and returns when to do so again.
func (m *membership) report(flags uint8) time.Duration {
	left, next := m.d.stock.missing()
	m.mu.Lock()
	now := time.Now()
	list := m.c.missing(nil, next, m.pos, func(i int) bool { return !m.byHTTP[i] && m.d.stock.wants(i) })
	m.watch(list, now)
	m.reports++
	if left == 0 {
		flags |= datagram.Done
	}
	h := datagram.Header{Type: datagram.Report, Flags: flags | datagram.Ready, Seq: m.reports, Block: uint32(next), ESI: m.s.Receiver, Pos: m.hi, Time: m.received}
	last := m.pos >= m.c.blocks() && left <= 4
	idle := len(list) == 0 && (m.status.State == datagram.Lingering || m.status.State == datagram.Held)
	b := m.own.Seal(nil, h, datagram.AppendMissing(nil, list))
	m.mu.Unlock()
	// A sender that is gone refuses it (ICMP); that it is gone is noticed by its silence. A network that takes nothing must not hold
	// this up, for the same reason.
	m.out.SetWriteDeadline(now.Add(multicast.ReportInterval))
	_, _ = m.out.Write(b)
	every := multicast.ReportInterval
	switch {
	case last && len(list) > 0:
		every /= 5
	case idle:
		every *= 3
	}
	return every + rand.N(every/10)
}

// watch leaves to HTTP what was asked for in vain.
func (m *membership) watch(list []datagram.Missing, now time.Time) {
	for _, e := range list {
		for k := range min(int(e.Blocks), 64) {
			i := int(e.First) + k
			p := m.stuck[i]
			if p == nil {
				if len(m.stuck) > 4*workLimit+64 {
					continue
				}
				p = &asking{since: now}
				m.stuck[i] = p
			}
			if n := m.c.symbols(i); n != p.symbols {
				p.symbols, p.since, p.asked = n, now, 0
			}
			p.asked++
			patience := 20 * time.Second // whole blocks come when everything was sent once
			switch {
			case m.status.State == datagram.Lingering:
				patience = 500 * time.Millisecond // it has nothing to do, and does not do this
			case m.status.State == datagram.Gathering || m.status.State == datagram.Held || m.pos < m.c.blocks() && e.Symbols == datagram.All:
				p.since, p.asked = now, 0
			case e.Symbols != datagram.All:
				patience = 2 * time.Second
			}
			if p.asked >= 3 && now.Sub(p.since) > patience {
				m.byHTTP[i] = true
				m.c.drop(i)
				delete(m.stuck, i)
			}
		}
	}
}

// mend fetches by HTTP what was left to it.
func (m *membership) mend(ctx context.Context) {
	t := time.NewTicker(multicast.ReportInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		some := len(m.byHTTP) > 0
		m.mu.Unlock()
		if !some {
			continue
		}
		_ = m.d.Fill(ctx, func(i int) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.byHTTP[i]
		})
	}
}

// hear reads what the sender answers this receiver alone.
func (m *membership) hear(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { m.out.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, 2048)
	for ctx.Err() == nil {
		n, err := m.out.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Nobody listens there any more; the deadline that ends this comes with ctx.
			select {
			case <-ctx.Done():
			case <-time.After(multicast.ReportInterval):
			}
			continue
		}
		h, payload, err := m.own.Open(nil, b[:n])
		if err != nil || h.Type != datagram.Verdict || h.ESI != m.s.Receiver {
			continue
		}
		st, err := datagram.ParseStatus(payload)
		m.mu.Lock()
		if err == nil && h.Seq > m.verdict {
			m.verdict = h.Seq
			switch st.State {
			case datagram.Demoted:
				m.ended = Demoted
			case datagram.Closed:
				m.ended = Ended
			}
		}
		m.mu.Unlock()
	}
}

// leave says goodbye three times: one may be lost, and a sender waits for those that it did not hear it from.
func (m *membership) leave(out Outcome) {
	flags := datagram.Leaving
	if out == Complete {
		flags = datagram.Done
	}
	for range 3 {
		m.report(flags)
		time.Sleep(5 * time.Millisecond)
	}
}
