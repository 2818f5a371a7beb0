package multicast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"griddle/imagestore/blob"
)

// Link is a network that this host may multicast on.
type Link struct {
	Interface *net.Interface
	Address   netip.Prefix // of this host on it, with the length of the network's prefix
	Budget    *Budget      // of all sessions on it
}

// Encoding is a blob as a sender reads it.
type Encoding interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

func (l Link) name() string {
	if l.Interface == nil {
		return ""
	}
	return l.Interface.Name
}

// CoordinatorOptions are what a Coordinator needs. Links, Groups, Port and Open must be given.
type CoordinatorOptions struct {
	Off    bool // HTTP for everybody
	Links  []Link
	Groups netip.Prefix // of IPv4 multicast addresses, at most 16 bits of prefix free or more; each session has its own group
	Port   uint16       // of all groups
	TTL    int          // of what is sent; 0 means 1: it does not leave the network

	Gather   time.Duration // how long a session waits for more machines, from the first that is ready; 0 means 10 s
	Machines int           // how many do not wait for more; 0 means no number
	Rate     int64         // payload bytes per second that a relay sends at most; 0 means DefaultRate
	Sessions int           // at once on a link; 0 means 4. Who would need one more gets HTTP
	Min      int64         // bytes of an encoding below which HTTP does; 0 means 8 MB

	Open    func(ctx context.Context, d blob.Digest) (Encoding, error)
	Sources []string         // base URLs that every encoding can be had from
	Private bool             // they take a token: relays give their neighbours nothing by HTTP, which asks for none
	Log     *slog.Logger     // nil logs nothing
	Now     func() time.Time // nil means time.Now
}

// Asker is who asks: what the control plane knows of it besides what it says itself.
type Asker struct {
	Machine string // its name
	// Expected is how many machines want this stream about now, as far as is known, the asker included; 0 where nothing is
	// known. One alone gets HTTP at once.
	Expected int
	// Relay says that it was told to relay: it is ordered to hold a session of its own.
	Relay bool
}

// Coordinator says which way each machine gets its stream, and runs the sessions of this host. Machines ask; nobody starts it.
//
// State is in memory alone: when the host starts anew its sessions are gone, the machines notice within Silence, go on by HTTP and
// ask again. All methods may be called from any number of goroutines.
type Coordinator struct {
	o      CoordinatorOptions
	hashes hashCache
	flight singleflight.Group

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	sessions map[ID]*session
	asked    map[want]time.Time // when a machine on a link last got HTTP for an encoding because it was alone
}

// want is one encoding on one link.
type want struct {
	encoding blob.Digest
	link     string
}

// session is one that runs, here or on a relay.
type session struct {
	info    Session // without a receiver and its key
	want    want
	secret  Key
	next    uint16 // the next receiver's number
	names   map[uint16]string
	started time.Time
	local   *Sender // nil on a relay
	relay   *relayed
}

// NewCoordinator makes one. Close ends it.
func NewCoordinator(o CoordinatorOptions) (*Coordinator, error) {
	if o.Open == nil || o.Port == 0 {
		return nil, errors.New("making a multicast coordinator: Open and Port are needed")
	}
	if !o.Groups.Addr().Is4() || !o.Groups.Addr().IsMulticast() || o.Groups.Bits() < 4 || o.Groups.Bits() > 24 {
		return nil, fmt.Errorf("making a multicast coordinator: %v is no network of at least 256 IPv4 groups", o.Groups)
	}
	if b := o.Groups.Masked().Addr().As4(); o.Groups.Bits() == 24 && b[1]&0x7f == 0 && b[2] == 0 {
		return nil, fmt.Errorf("making a multicast coordinator: the groups of %v look to a switch like 224.0.0.0/24, which it floods (RFC 4541 section 2.1.2)", o.Groups)
	}
	if o.Gather <= 0 {
		o.Gather = 10 * time.Second
	}
	if o.Sessions <= 0 {
		o.Sessions = 4
	}
	if o.Min <= 0 {
		o.Min = 8 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Coordinator{o: o, ctx: ctx, stop: stop, sessions: map[ID]*session{}, asked: map[want]time.Time{}}, nil
}

// Close ends every session, tells their receivers so, and waits for that.
func (c *Coordinator) Close() error {
	c.stop()
	c.wg.Wait()
	return nil
}

// Ask says which way the asker is to get an encoding. An error means that the encoding cannot be had here at all; everything else
// that stands against multicast is an Answer without a session that says why.
func (c *Coordinator) Ask(ctx context.Context, who Asker, ask Ask) (Answer, error) {
	if _, err := blob.ParseDigest(string(ask.Encoding)); err != nil {
		return Answer{}, err
	}
	byHTTP := func(format string, args ...any) (Answer, error) {
		why := fmt.Sprintf(format, args...)
		c.o.Log.Info("stream by HTTP", "machine", who.Machine, "encoding", string(ask.Encoding), "reason", why)
		return Answer{Sources: c.o.Sources, Why: why}, nil
	}
	if ask.Size < c.o.Min && !who.Relay {
		return byHTTP("%d bytes are too few to gather for", ask.Size)
	}
	if c.o.Off {
		return byHTTP("multicast is switched off at the appliance")
	}
	nets := Wired(ask.Networks)
	if len(nets) == 0 {
		return byHTTP("this machine has wireless networks alone, which carry multicast at their slowest rate")
	}
	if who.Relay {
		return c.order(ctx, who, ask, nets)
	}
	if a, ok, err := c.join(who, ask, nets); ok || err != nil {
		return a, err
	}
	link, ok := c.link(nets)
	near := link.name()
	if !ok {
		near = nets[0].Prefix.Masked().String() + " by " + nets[0].Gateway.String()
	}
	if who.Expected == 1 && !c.others(want{ask.Encoding, near}) {
		return byHTTP("no other machine wants it now")
	}
	if !ok {
		if c.preparing(who.Machine, ask.Encoding, nets) {
			return Answer{Sources: c.o.Sources, Why: aboutToRelay, After: time.Second}, nil
		}
		// Nobody reaches that network but through a router: the machine fetches it for all that are there.
		return c.order(ctx, who, ask, nets)
	}
	if n := c.on(link.Interface.Name); n >= c.o.Sessions {
		return byHTTP("%d sessions run on %s already", n, link.Interface.Name)
	}
	err := c.begin(ctx, link, ask.Encoding)
	if errors.Is(err, errBeginning) {
		return Answer{Sources: c.o.Sources, Why: "the appliance reads the image", After: time.Second}, nil
	}
	if err != nil {
		if errors.Is(err, blob.ErrNotExist) {
			return Answer{}, err
		}
		c.o.Log.Warn("no multicast session", "encoding", string(ask.Encoding), "error", err)
		return byHTTP("the appliance could not begin a session; its log says why")
	}
	if a, ok, err := c.join(who, ask, nets); ok || err != nil {
		return a, err
	}
	return byHTTP("the session ended before this machine could join it")
}

// link is the first of ours that the machine has an address on.
func (c *Coordinator) link(nets []Network) (Link, bool) {
	for _, l := range c.o.Links {
		if slices.ContainsFunc(nets, func(n Network) bool { return n.Prefix.Masked() == l.Address.Masked() }) {
			return l, true
		}
	}
	return Link{}, false
}

// others notes that one machine gets it alone, and says whether another did a short while ago: then the two are enough.
func (c *Coordinator) others(w want) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	for k, t := range c.asked {
		if now.Sub(t) > time.Minute {
			delete(c.asked, k)
		}
	}
	_, ok := c.asked[w]
	c.asked[w] = now
	return ok
}

func (c *Coordinator) on(link string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		if s.want.link == link && s.local != nil {
			n++
		}
	}
	return n
}

// What one machine can use up: receivers' numbers of a session, of which each time it joins takes one; and sessions of relays, over all.
const (
	receiversEach = 64
	maxRelays     = 256
)

// join admits the asker to a session of what it wants on one of its networks, if there is one. A relay comes first: whoever set
// it up wants this host spared.
func (c *Coordinator) join(who Asker, ask Ask, nets []Network) (Answer, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *session
	for _, s := range c.sessions {
		if s.want.encoding != ask.Encoding || s.next == 0 {
			continue
		}
		switch {
		case s.relay != nil && s.relay.ready() && s.relay.machine != who.Machine && slices.ContainsFunc(nets, s.relay.near):
			found = s
		case s.local != nil && found == nil:
			if l, ok := c.link(nets); ok && l.Interface.Name == s.want.link {
				found = s
			}
		}
	}
	if found == nil {
		return Answer{}, false, nil
	}
	own := 0
	for _, name := range found.names {
		if name == who.Machine {
			own++
		}
	}
	if own >= receiversEach {
		return Answer{Sources: c.o.Sources, Why: fmt.Sprintf("this machine has joined the session %d times already", own)}, true, nil
	}
	out := found.info
	out.Receiver = found.next
	var err error
	if out.ReceiverKey, err = ReceiverKey(found.secret, out.ID, out.Receiver); err != nil {
		return Answer{}, false, err
	}
	found.names[out.Receiver] = who.Machine
	found.next++ // 65535 machines later it is 0, and the session takes no more
	c.o.Log.Info("stream by multicast", "machine", who.Machine, "session", out.ID.String(), "encoding", string(out.Encoding), "group", out.Group.String(), "receiver", out.Receiver)
	return Answer{Session: &out, Sources: out.Sources}, true, nil
}

// beginTime is how long an answer waits for a session to begin: hashing a large encoding that nobody read lately takes longer.
const beginTime = 5 * time.Second

var errBeginning = errors.New("the session is about to begin")

// begin makes a session of encoding on link, unless another call did in the meantime.
func (c *Coordinator) begin(ctx context.Context, link Link, encoding blob.Digest) error {
	w := want{encoding, link.Interface.Name}
	begun := c.flight.DoChan(w.link+" "+string(encoding), func() (any, error) {
		if c.running(w) {
			return nil, nil
		}
		return nil, c.send(c.ctx, link, w) // for whoever asks next, if this asker does not wait
	})
	late := time.NewTimer(beginTime)
	defer late.Stop()
	select {
	case r := <-begun:
		return r.Err
	case <-late.C:
		return errBeginning
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Coordinator) running(w want) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		if s.want == w && s.local != nil {
			return true
		}
	}
	return false
}

// send starts a sender of this host.
func (c *Coordinator) send(ctx context.Context, link Link, w want) error {
	src, err := c.o.Open(ctx, w.encoding)
	if err != nil {
		return fmt.Errorf("opening encoding %s: %w", w.encoding, err)
	}
	s := &session{want: w, secret: NewSecret(), next: 1, names: map[uint16]string{}, started: c.o.Now()}
	if s.info, err = c.describe(w.encoding, src, s.secret); err != nil {
		src.Close()
		return err
	}
	s.local, err = NewSender(SenderOptions{
		ID: s.info.ID, Secret: s.secret, Layout: s.info.Layout, Size: s.info.Size, Encoding: w.encoding, Source: src,
		Group: s.info.Group, Interface: link.Interface, Address: link.Address.Addr(), TTL: c.o.TTL,
		Budget: link.Budget, Gather: c.o.Gather, Machines: c.o.Machines, Log: c.o.Log,
	})
	if err != nil {
		src.Close()
		return err
	}
	s.info.Sender = s.local.Address()
	c.mu.Lock()
	if c.ctx.Err() != nil {
		c.mu.Unlock()
		src.Close()
		return errors.New("the appliance is stopping")
	}
	c.sessions[s.info.ID] = s
	c.wg.Add(1)
	c.mu.Unlock()
	go func() {
		defer c.wg.Done()
		defer src.Close()
		err := s.local.Run(c.ctx)
		c.mu.Lock()
		delete(c.sessions, s.info.ID)
		c.mu.Unlock()
		if err != nil && c.ctx.Err() == nil {
			c.o.Log.Error("multicast session failed", "session", s.info.ID.String(), "error", err)
		}
	}()
	return nil
}

// describe is what receivers learn of a new session of encoding, but for its sender.
func (c *Coordinator) describe(encoding blob.Digest, src Encoding, secret Key) (Session, error) {
	l := DefaultLayout()
	hashes, err := c.hashes.of(encoding, src, l)
	if err != nil {
		return Session{}, err
	}
	info := Session{ID: NewID(), Encoding: encoding, Size: src.Size(), Layout: l, Hashes: hashes, Sources: c.o.Sources}
	if info.Key, err = GroupKey(secret, info.ID); err != nil {
		return Session{}, err
	}
	info.Group = c.group(info.ID)
	return info, nil
}

// group picks a session's group. Switches forward by the low 23 bits of it (RFC 1112 section 6.4), so those are what must differ
// from the other sessions'.
func (c *Coordinator) group(id ID) netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := map[uint32]bool{}
	low := func(a netip.Addr) uint32 { b := a.As4(); return uint32(b[1]&0x7f)<<16 | uint32(b[2])<<8 | uint32(b[3]) }
	for _, s := range c.sessions {
		taken[low(s.info.Group.Addr())] = true
	}
	base, host := c.o.Groups.Masked().Addr().As4(), uint32(1)<<(32-c.o.Groups.Bits())
	for n, end := uint32(id), uint32(id)+min(host, 1<<16); ; n++ {
		v := uint32(base[0])<<24 | uint32(base[1])<<16 | uint32(base[2])<<8 | uint32(base[3])
		v |= n % host
		a := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		if low(a) >= 256 && n%host != 0 && n%host != host-1 && !taken[low(a)] || n == end {
			return netip.AddrPortFrom(a, c.o.Port)
		}
	}
}
