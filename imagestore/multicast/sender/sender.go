// Package sender multicasts one encoding to any number of receivers.
//
// New opens the sockets of a session, and Run sends until the session is over. Start, Hold, Cap and Stop are an
// operator's orders, Status is for lists.
//
//	reports --> receivers: who is there, what each lacks, how much it loses --> rate: how fast
//	                 |
//	                 v
//	            schedule: which symbol is next --> outgoing: sealed datagrams --> the group
//	                 ^
//	                 |
//	            lifecycle: gathering, running, repairing, lingering, held, closed
//
// A session gathers receivers, sends each block's own symbols once, repairs what is lost with parity, and lingers for
// receivers that come late. It always ends: no receiver can keep it open, and no receiver can slow down the others. A
// receiver that loses far more than most must leave, and gets the rest by HTTP.
//
// The schedule, the receivers, the rate and the lifecycle are pure: no sockets and no clock. The tests simulate whole
// sessions with them in no time.
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

// Options say what to send, and where. ID, Secret, Size, Source, Group, Interface and Address must be given.
type Options struct {
	ID       multicast.ID     // of this sender alone: two senders of one Secret never have the same
	Secret   multicast.Key    // of the session's keys
	Layout   multicast.Layout // zero means DefaultLayout
	Size     int64            // bytes of the encoding
	Encoding blob.Digest      // for the log
	Source   io.ReaderAt      // the encoding; only Run reads it, one read at a time
	// Verified is how many bytes from 0 on may be sent by now: a relay's number grows. Nil means all.
	Verified func() int64

	Group     netip.AddrPort // where data goes to
	Interface *net.Interface // that it leaves by
	Address   netip.Addr     // of that interface, where data comes from
	TTL       int            // time to live of the datagrams, 1 to 255; zero means 1: they do not leave the network

	Budget *multicast.Budget // of the interface; nil means one of DefaultRate for this session
	Rate   int64             // payload bytes a second that this session never exceeds; zero means the budget's

	Gather   time.Duration // how long it waits for more receivers from the first on; zero means 15 s
	Machines int           // how many receivers do not wait for more; zero means that they always wait
	Linger   time.Duration // how long it waits for late receivers when none asks for more; zero means 30 s
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
		errs = append(errs, errors.New("no source is given"))
	}
	if !o.Group.Addr().Is4() || !o.Group.Addr().IsMulticast() || o.Group.Port() == 0 {
		errs = append(errs,
			fmt.Errorf("%w: %v is not an IPv4 multicast group with a port", multicast.ErrSession, o.Group))
	}
	if !o.Address.Is4() || o.Address.IsMulticast() || o.Address.IsUnspecified() {
		errs = append(errs, fmt.Errorf("%w: %v is not an IPv4 address to send from", multicast.ErrSession, o.Address))
	}
	if o.TTL < 0 || o.TTL > 255 {
		errs = append(errs, fmt.Errorf("a TTL of %d is not between 0 and 255", o.TTL))
	}
	switch frame := o.Layout.Symbol + datagram.Overhead + 28; {
	case o.Interface == nil:
		errs = append(errs, errors.New("no interface is given"))
	case frame > o.Interface.MTU:
		errs = append(errs, fmt.Errorf("packets of %d bytes do not fit into the frames of %s, which hold %d", frame,
			o.Interface.Name, o.Interface.MTU))
	}
	return errors.Join(errs...)
}

// Sender multicasts one encoding, once, to all receivers that report. Its methods may be called from any number of
// goroutines. Its memory is 12 MB of parity for the latest blocks, 6 to 10 bytes for each block of the encoding, and
// 3 KB for each receiver.
type Sender struct {
	o         Options
	group     *datagram.Key
	sock      *socket
	ownBudget *multicast.Budget // of this session alone
	began     time.Time
	wake      chan struct{}

	mu        sync.Mutex
	seq       uint32
	keys      map[uint16]*datagram.Key
	unknown   int // reports of unknown receivers since the last tick
	schedule  *schedule
	receivers *receivers
	lifecycle lifecycle
	wait      time.Duration // until the state ends; 0 if that is not known
	maxRate   int64
	sent      [reasons]int64 // payload bytes
	stop      bool

	codes    map[int]*parity.Code // by k; this and the next two belong to Run
	parities []encoded            // parity of the latest blocks, the one used last at the end
	buf      []byte               // for a block
}

// New opens a sender's sockets; Run sends. It fails if o is not valid, with all mistakes at once, or if the address
// cannot be used.
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
	s := &Sender{o: o, group: group, sock: sock, began: time.Now(), wake: make(chan struct{}, 1),
		keys: map[uint16]*datagram.Key{}, maxRate: o.Rate,
		codes: map[int]*parity.Code{}, buf: make([]byte, o.Layout.Block())}
	s.receivers = newReceivers(o.Layout)
	ahead := func() float64 { return s.receivers.worstLoss / (1 - s.receivers.worstLoss) }
	s.schedule = newSchedule(o.Layout, o.Size, ahead)
	s.lifecycle = lifecycle{gather: o.Gather, machines: o.Machines, linger: o.Linger, state: datagram.Gathering}
	s.ownBudget = multicast.NewBudget(o.Rate)
	s.applyLimits()
	return s, nil
}

// Address is where data comes from, and where receivers send their reports.
func (s *Sender) Address() netip.AddrPort { return s.sock.address }

// now is the time since the session was opened.
func (s *Sender) now() time.Duration { return time.Since(s.began) }

// Start ends the gathering as soon as one receiver is ready.
func (s *Sender) Start() { s.order(func() { s.lifecycle.forced = true }) }

// Await says how many machines will come: when each of them is ready or has left, the session does not wait for more.
func (s *Sender) Await(machines int) { s.order(func() { s.lifecycle.awaited = machines }) }

// Hold pauses the session for d, at most multicast.MaxHold; 0 resumes it.
func (s *Sender) Hold(d time.Duration) { s.order(func() { s.lifecycle.hold(s.now(), d) }) }

// Cap limits the session to rate payload bytes a second; 0 means no limit but its budget's.
func (s *Sender) Cap(rate int64) { s.order(func() { s.maxRate = max(rate, 0) }) }

// Stop ends the session, and its receivers get the rest by HTTP.
func (s *Sender) Stop() { s.order(func() { s.stop = true }) }

func (s *Sender) order(what func()) {
	s.mu.Lock()
	what()
	s.mu.Unlock()
	s.wakeRun()
}

// wakeRun has Run look for work.
func (s *Sender) wakeRun() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// applyLimits sets the session's rate to what the operator, the budget and the network allow.
func (s *Sender) applyLimits() {
	ceiling := s.o.Budget.Rate()
	if s.maxRate > 0 {
		ceiling = min(ceiling, s.maxRate)
	}
	s.receivers.rate.ceiling = float64(max(ceiling, multicast.MinRate))
	if r := s.receivers.rate.rate; r == 0 || r > s.receivers.rate.ceiling {
		s.receivers.rate.rate = s.receivers.rate.ceiling
	}
	s.ownBudget.SetRate(int64(s.receivers.rate.rate))
}

// Run sends until the session is over or ctx ends. It always ends, and tells the receivers. It is called once. It
// fails if the source cannot be read, or if the network refuses datagrams for a minute.
func (s *Sender) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.o.Log.Info("multicast session opened", "group", s.o.Group.String(), "interface", s.o.Interface.Name,
		"bytes", s.o.Size)
	var listening sync.WaitGroup
	listening.Go(func() { s.listen(ctx) })
	err := s.send(ctx)
	s.mu.Lock()
	if s.lifecycle.state != datagram.Closed {
		s.lifecycle.close("it was stopped")
	}
	why := s.lifecycle.why
	s.mu.Unlock()
	s.sendEnd()
	cancel()
	s.sock.conn.Close()
	listening.Wait()
	st := s.Status()
	s.o.Log.Info("multicast session closed", "why", why, "sent", st.Sent, "parity", st.Parity, "again", st.Again,
		"receivers", len(st.Receivers))
	if err != nil {
		return fmt.Errorf("sending multicast session %v: %w", s.o.ID, err)
	}
	return nil
}
