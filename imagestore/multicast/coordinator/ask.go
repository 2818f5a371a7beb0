package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
)

// Asker is the machine that asks: what the control plane knows of it besides its question.
type Asker struct {
	Machine string // its name
	// Expected is how many machines want this stream about now, the asker included; 0 if that is not known. A machine
	// alone gets HTTP at once.
	Expected int
	// Patience is how long the machines of Coming may take until they ask; 0 if it is not known who comes. A session
	// waits for them.
	Patience time.Duration
	Coming   []string // the names of the other machines that will ask for the same
	// Relay says that an operator made this machine a relay: it gets an order to hold a session.
	Relay bool
}

// Ask decides which way the asker gets an encoding. An error means that the encoding is not here (blob.ErrNotExist)
// or cannot be read; if only multicast is not possible, the Answer has no session and says why.
func (c *Coordinator) Ask(ctx context.Context, who Asker, ask multicast.Ask) (multicast.Answer, error) {
	if _, err := blob.ParseDigest(string(ask.Encoding)); err != nil {
		return multicast.Answer{}, err
	}
	byHTTP := func(format string, args ...any) (multicast.Answer, error) {
		why := fmt.Sprintf(format, args...)
		c.o.Log.Info("stream by HTTP", "machine", who.Machine, "encoding", string(ask.Encoding), "reason", why)
		return multicast.Answer{Sources: c.o.Sources, Why: why}, nil
	}
	if ask.Size < c.o.Min && !who.Relay {
		return byHTTP("%d bytes are too few for a session", ask.Size)
	}
	if c.o.Off {
		return byHTTP("multicast is switched off in the server's configuration")
	}
	nets := multicast.Wired(ask.Networks)
	if len(nets) == 0 {
		return byHTTP("this machine has only wireless networks, which send multicast at their slowest rate")
	}
	if who.Relay {
		return c.orderRelay(ctx, who, ask, nets)
	}
	if a, ok, err := c.join(who, ask, nets); ok || err != nil {
		return a, err
	}
	link, ok := c.link(nets)
	near := link.name()
	if !ok {
		near = nets[0].Prefix.Masked().String() + " by " + nets[0].Gateway.String()
	}
	if who.Expected == 1 && !c.anotherAsked(target{ask.Encoding, near}) {
		return byHTTP("no other machine wants it now")
	}
	if !ok {
		if ask.NoRelay {
			return byHTTP("its network is behind a router, and this machine does not relay")
		}
		if c.preparing(who.Machine, ask.Encoding, nets) {
			return multicast.Answer{Sources: c.o.Sources, Why: aboutToRelay, After: time.Second}, nil
		}
		// That network is behind a router: the machine fetches the encoding for all machines there.
		return c.orderRelay(ctx, who, ask, nets)
	}
	if n := c.sessionsOn(link.Interface.Name); n >= c.o.Sessions {
		return byHTTP("%d sessions run on %s already", n, link.Interface.Name)
	}
	err := c.begin(ctx, link, ask.Encoding, who)
	if errors.Is(err, errStarting) {
		return multicast.Answer{Sources: c.o.Sources, Why: "the server is reading the image", After: time.Second}, nil
	}
	if err != nil {
		if errors.Is(err, blob.ErrNotExist) {
			return multicast.Answer{}, err
		}
		c.o.Log.Warn("starting a multicast session failed", "encoding", string(ask.Encoding), "error", err)
		return byHTTP("the server could not start a session; its log says why")
	}
	if a, ok, err := c.join(who, ask, nets); ok || err != nil {
		return a, err
	}
	return byHTTP("the session ended before this machine could join it")
}

// link is the first of this host's links that the machine is on.
func (c *Coordinator) link(nets []multicast.Network) (Link, bool) {
	for _, l := range c.o.Links {
		if slices.ContainsFunc(nets, func(n multicast.Network) bool {
			return n.Prefix.Masked() == l.Address.Masked()
		}) {
			return l, true
		}
	}
	return Link{}, false
}

// anotherAsked notes that a machine gets w alone, and says whether another one did within the last minute: two are
// enough for a session.
func (c *Coordinator) anotherAsked(w target) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	for k, t := range c.alone {
		if now.Sub(t) > time.Minute {
			delete(c.alone, k)
		}
	}
	_, ok := c.alone[w]
	c.alone[w] = now
	return ok
}

func (c *Coordinator) sessionsOn(link string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		if s.target.link == link && s.local != nil {
			n++
		}
	}
	return n
}

// Bounds on what machines can use up: the receiver numbers of a session that one machine gets, one each time it
// joins; and the sessions of all relays together.
const (
	receiversEach = 64
	maxRelays     = 256
)

// join admits the asker to a session of the encoding on one of its networks, if there is one. Relays come first: they
// exist to take load off this host.
func (c *Coordinator) join(who Asker, ask multicast.Ask, nets []multicast.Network) (multicast.Answer, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *session
	for _, s := range c.sessions {
		if s.target.encoding != ask.Encoding || s.next == 0 {
			continue
		}
		switch {
		case s.relay != nil && s.relay.ready() && s.relay.machine != who.Machine &&
			slices.ContainsFunc(nets, s.relay.near):
			found = s
		case s.local != nil && found == nil:
			if l, ok := c.link(nets); ok && l.Interface.Name == s.target.link {
				found = s
			}
		}
	}
	if found == nil {
		return multicast.Answer{}, false, nil
	}
	own := 0
	for _, name := range found.names {
		if name == who.Machine {
			own++
		}
	}
	if own >= receiversEach {
		return multicast.Answer{Sources: c.o.Sources,
			Why: fmt.Sprintf("this machine has joined the session %d times already", own)}, true, nil
	}
	out := found.info
	out.Receiver = found.next
	var err error
	if out.ReceiverKey, err = multicast.ReceiverKey(found.secret, out.ID, out.Receiver); err != nil {
		return multicast.Answer{}, false, err
	}
	found.names[out.Receiver] = who.Machine
	found.asked(who)
	found.next++ // after 65535 receivers it is 0, and the session admits no more
	c.o.Log.Info("stream by multicast", "machine", who.Machine, "session", out.ID.String(),
		"encoding", string(out.Encoding), "group", out.Group.String(), "receiver", out.Receiver)
	return multicast.Answer{Session: &out, Sources: out.Sources}, true, nil
}
