// Package sender multicasts one encoding to any number of receivers.
//
// New opens the sockets of a session, and Run sends until the session is over. Start, Hold, Cap and Stop are an operator's orders,
// Status is for lists.
//
//	reports --> receivers: who is there, what each lacks, how much it loses --> rate: how fast
//	                 |
//	                 v
//	            schedule: which symbol is next --> outgoing: sealed datagrams --> the group
//	                 ^
//	                 |
//	            lifecycle: gathering, running, repairing, lingering, held, closed
//
// A session gathers receivers, sends each block's own symbols once, repairs what is lost with parity, and lingers for receivers that
// come late. It always ends: no receiver can keep it open, and no receiver can slow down the others. A receiver that loses far more
// than most is told to leave, and gets the rest by HTTP.
//
// The schedule, the receivers, the rate and the lifecycle are pure: no sockets and no clock. The tests simulate whole sessions with
// them in no time. This package has more than 20 files with its tests for that reason: each part has its own test, and the
// simulations drive all parts together.
//
// Sources: RFC 5740 (NORM) sections 5.1 and 5.4; RFC 6363 (FEC framework) for parity over a running stream.
package sender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
	"griddle/imagestore/multicast/parity"
)

// Options say what is sent, and where.
type Options struct {
	ID       multicast.ID     // of this one sender: with the same Secret, another one's ID is another one
	Secret   multicast.Key    // of the session's keys
	Layout   multicast.Layout // zero means DefaultLayout
	Size     int64            // bytes of the encoding
	Encoding blob.Digest      // for the log
	Source   io.ReaderAt      // the encoding; Run is the only one that reads, one read at a time
	// Verified says how many bytes from 0 on may be sent by now: a relay's grow. Nil means all.
	Verified func() int64

	Group     netip.AddrPort // where data goes to
	Interface *net.Interface // that it leaves by
	Address   netip.Addr     // of that interface, where data comes from
	TTL       int            // routers that it may pass, and one; zero means 1

	Budget *multicast.Budget // of the interface; nil means one of DefaultRate for this session
	Rate   int64             // payload bytes a second that this session never exceeds; zero means the budget's

	Gather   time.Duration // how long it waits for more receivers from the first on; zero means 15 s
	Machines int           // how many it does not wait for more than; zero means that it always waits
	Linger   time.Duration // how long it waits for who comes late when nobody asks for more; zero means 30 s
	Log      *slog.Logger  // nil means none
}

func (o *Options) validate() error {
	if o.Layout == (multicast.Layout{}) {
		o.Layout = multicast.DefaultLayout()
	}
	if o.Gather <= 0 {
		o.Gather = defaultGather
	}
	if o.Linger <= 0 {
		o.Linger = defaultLinger
	}
	if o.Budget == nil {
		o.Budget = multicast.NewBudget(0)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Verified == nil {
		o.Verified = func() int64 { return o.Size }
	}
	o.Log = o.Log.With("session", o.ID.String(), "encoding", string(o.Encoding))
	errs := []error{o.Layout.Validate()}
	if o.Size < 1 || o.Size > multicast.MaxSize {
		errs = append(errs, fmt.Errorf("%w: %d bytes", multicast.ErrSession, o.Size))
	}
	if o.Source == nil {
		errs = append(errs, errors.New("there is no source"))
	}
	if !o.Group.Addr().Is4() || !o.Group.Addr().IsMulticast() || o.Group.Port() == 0 {
		errs = append(errs, fmt.Errorf("%w: %v is no IPv4 multicast group", multicast.ErrSession, o.Group))
	}
	if !o.Address.Is4() || o.Address.IsMulticast() || o.Address.IsUnspecified() {
		errs = append(errs, fmt.Errorf("%w: %v is no sender's address", multicast.ErrSession, o.Address))
	}
	if o.TTL < 0 || o.TTL > 255 {
		errs = append(errs, fmt.Errorf("a TTL of %d", o.TTL))
	}
	switch frame := o.Layout.Symbol + datagram.Overhead + 28; {
	case o.Interface == nil:
		errs = append(errs, errors.New("there is no interface"))
	case frame > o.Interface.MTU:
		errs = append(errs, fmt.Errorf("packets of %d bytes do not fit into the frames of %s, which hold %d", frame, o.Interface.Name, o.Interface.MTU))
	}
	return errors.Join(errs...)
}

// Sender multicasts one encoding, once, to whoever reports that it is there. Its methods may be called from any number of
// goroutines. Its memory is 12 MB of parity for the blocks in work and 6 to 10 bytes for each block of the encoding, and 3 KB for each receiver.
type Sender struct {
	o     Options
	group *datagram.Key
	sock  *socket
	own   *multicast.Budget // of this session alone
	begin time.Time
	wake  chan struct{}

	mu      sync.Mutex
	seq     uint32
	keys    map[uint16]*datagram.Key
	strange int // reports of unknown receivers since the last tick
	plan    *schedule
	crowd   *crowd
	course  course
	wait    time.Duration // until the state ends; 0 if that is not known
	cap     int64
	sent    [ways]int64 // payload bytes
	stop    bool

	codes  map[int]*parity.Code // by k; these three are Run's
	blocks []encoded            // that parity is sent of, the one used last at the end
	buf    []byte               // for a block
}

// New opens a sender's sockets; Run sends. An ID must never have been a sender's before.
func New(o Options) (*Sender, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("starting a multicast session: %w", err)
	}
	key, err := multicast.GroupKey(o.Secret, o.ID)
	if err != nil {
		return nil, fmt.Errorf("starting a multicast session: %w", err)
	}
	group, err := datagram.NewKey(key, uint64(o.ID))
	if err != nil {
		return nil, fmt.Errorf("starting a multicast session: %w", err)
	}
	sock, err := openSocket(o)
	if err != nil {
		return nil, fmt.Errorf("starting a multicast session: %w", err)
	}
	s := &Sender{o: o, group: group, sock: sock, begin: time.Now(), wake: make(chan struct{}, 1), keys: map[uint16]*datagram.Key{}, cap: o.Rate,
		codes: map[int]*parity.Code{}, buf: make([]byte, o.Layout.Block())}
	s.crowd = newCrowd(o.Layout)
	s.plan = newSchedule(o.Layout, o.Size, func() float64 { return s.crowd.worst / (1 - s.crowd.worst) })
	s.course = course{gather: o.Gather, machines: o.Machines, linger: o.Linger, state: datagram.Gathering}
	s.own = multicast.NewBudget(o.Rate)
	s.limit()
	return s, nil
}

// Address is where data comes from and reports go to.
func (s *Sender) Address() netip.AddrPort { return s.sock.address }

// now is the session's clock.
func (s *Sender) now() time.Duration { return time.Since(s.begin) }

// Start ends the gathering, as soon as one receiver is ready.
func (s *Sender) Start() { s.order(func() { s.course.forced = true }) }

// Hold keeps the session from sending for d, at most an hour, or lets it go on if d is 0.
func (s *Sender) Hold(d time.Duration) { s.order(func() { s.course.hold(s.now(), d) }) }

// Cap sets the most payload bytes a second that this session sends; 0 means what its budget has.
func (s *Sender) Cap(rate int64) { s.order(func() { s.cap = max(rate, 0) }) }

// Stop ends the session: receivers are told, and have the rest by HTTP.
func (s *Sender) Stop() { s.order(func() { s.stop = true }) }

func (s *Sender) order(what func()) {
	s.mu.Lock()
	what()
	s.mu.Unlock()
	s.rouse()
}

// rouse has Run look again.
func (s *Sender) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// limit makes the session's rate what operator, budget and the network allow.
func (s *Sender) limit() {
	ceiling := s.o.Budget.Rate()
	if s.cap > 0 {
		ceiling = min(ceiling, s.cap)
	}
	s.crowd.rate.ceiling = float64(max(ceiling, multicast.MinRate))
	if r := s.crowd.rate.rate; r == 0 || r > s.crowd.rate.ceiling {
		s.crowd.rate.rate = s.crowd.rate.ceiling
	}
	s.own.SetRate(int64(s.crowd.rate.rate))
}

// Run sends until the session is over, and always ends; whichever way it ends, receivers are told so. It is called once.
func (s *Sender) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.o.Log.Info("multicast session opened", "group", s.o.Group.String(), "interface", s.o.Interface.Name, "bytes", s.o.Size)
	var listening sync.WaitGroup
	listening.Go(func() { s.listen(ctx) })
	err := s.send(ctx)
	s.mu.Lock()
	if s.course.state != datagram.Closed {
		s.course.close("it was stopped")
	}
	why := s.course.ended
	s.mu.Unlock()
	s.farewell()
	cancel()
	s.sock.conn.Close()
	listening.Wait()
	st := s.Status()
	s.o.Log.Info("multicast session closed", "why", why, "sent", st.Sent, "parity", st.Parity, "again", st.Again, "receivers", len(st.Receivers))
	if err != nil {
		return fmt.Errorf("sending multicast session %v: %w", s.o.ID, err)
	}
	return nil
}
