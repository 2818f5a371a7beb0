package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/sender"
)

// target is an encoding on a link.
type target struct {
	encoding blob.Digest
	link     string
}

// session is a session that runs, here or on a relay.
type session struct {
	info    multicast.Session // without a receiver and its key
	target  target
	secret  multicast.Key
	next    uint16 // the next receiver's number
	names   map[uint16]string
	started time.Time
	coming  []string       // the machines that will ask for it, as far as the last one that asked knew
	patient bool           // it waits for them
	local   *sender.Sender // nil on a relay
	relay   *relayed
}

// startTime is how long an answer waits for a session to start. Hashing a large encoding that is not in the page
// cache takes longer.
const startTime = 5 * time.Second

var errStarting = errors.New("the session is about to start")

// begin starts a session of encoding on link, unless another call did so meanwhile. It waits for the machines that the
// asker knows to come.
func (c *Coordinator) begin(ctx context.Context, link Link, encoding blob.Digest, who Asker) error {
	w := target{encoding, link.Interface.Name}
	begun := c.flight.DoChan(w.link+" "+string(encoding), func() (any, error) {
		if c.running(w) {
			return nil, nil
		}
		return nil, c.send(c.ctx, link, w, who) // it goes on for the next asker if this one does not wait
	})
	late := time.NewTimer(startTime)
	defer late.Stop()
	select {
	case r := <-begun:
		return r.Err
	case <-late.C:
		return errStarting
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Coordinator) running(w target) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		if s.target == w && s.local != nil {
			return true
		}
	}
	return false
}

// asked takes in that who joined the session, and what it knows of others.
func (s *session) asked(who Asker) {
	if who.Patience > 0 {
		s.coming = who.Coming
	}
	if s.patient {
		s.local.Await(s.awaited())
	}
}

// awaited is how many machines the session waits for: those that asked, and those that will.
func (s *session) awaited() int {
	all := map[string]bool{}
	for _, name := range s.names {
		all[name] = true
	}
	for _, name := range s.coming {
		all[name] = true
	}
	return len(all)
}

// send starts a sender on this host.
func (c *Coordinator) send(ctx context.Context, link Link, w target, who Asker) error {
	src, err := c.o.Open(ctx, w.encoding)
	if err != nil {
		return fmt.Errorf("opening encoding %s: %w", w.encoding, err)
	}
	s := &session{target: w, secret: multicast.NewSecret(), next: 1, names: map[uint16]string{}, started: c.o.Now(),
		patient: len(who.Coming) > 0}
	gather := c.o.Gather
	if s.patient {
		gather = max(gather, who.Patience)
	}
	if s.info, err = c.describe(w.encoding, src, s.secret); err != nil {
		src.Close()
		return err
	}
	s.local, err = sender.New(sender.Options{
		ID: s.info.ID, Secret: s.secret, Layout: s.info.Layout, Size: s.info.Size, Encoding: w.encoding, Source: src,
		Group: s.info.Group, Interface: link.Interface, Address: link.Address.Addr(), TTL: c.o.TTL,
		Budget: link.Budget, Gather: gather, Machines: c.o.Machines, Log: c.o.Log,
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
		return errors.New("the server is stopping")
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

// describe makes a new session of encoding, without its sender.
func (c *Coordinator) describe(encoding blob.Digest, src Encoding, secret multicast.Key) (multicast.Session, error) {
	l := multicast.DefaultLayout()
	hashes, err := c.hashes.of(encoding, src, l)
	if err != nil {
		return multicast.Session{}, err
	}
	info := multicast.Session{ID: multicast.NewID(), Encoding: encoding, Size: src.Size(), Layout: l, Hashes: hashes,
		Sources: c.o.Sources}
	if info.Key, err = multicast.GroupKey(secret, info.ID); err != nil {
		return multicast.Session{}, err
	}
	info.Group = c.group(info.ID)
	return info, nil
}

// group chooses a session's group. Switches forward by its low 23 bits (RFC 1112 section 6.4), so those differ from
// the other sessions'.
func (c *Coordinator) group(id multicast.ID) netip.AddrPort {
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
