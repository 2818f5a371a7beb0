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

// Asker is who asks: what the control plane knows of it besides what it says itself.
type Asker struct {
	Machine string // its name
	// Expected is how many machines want this stream about now, as far as is known, the asker included; 0 where nothing is
	// known. One alone gets HTTP at once.
	Expected int
	// Relay says that it was told to relay: it is ordered to hold a session of its own.
	Relay bool
}

// Ask says which way the asker is to get an encoding. An error means that the encoding cannot be had here at all; everything else
// that stands against multicast is an Answer without a session that says why.
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
		return byHTTP("%d bytes are too few to gather for", ask.Size)
	}
	if c.o.Off {
		return byHTTP("multicast is switched off at the appliance")
	}
	nets := multicast.Wired(ask.Networks)
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
			return multicast.Answer{Sources: c.o.Sources, Why: aboutToRelay, After: time.Second}, nil
		}
		// Nobody reaches that network but through a router: the machine fetches it for all that are there.
		return c.order(ctx, who, ask, nets)
	}
	if n := c.on(link.Interface.Name); n >= c.o.Sessions {
		return byHTTP("%d sessions run on %s already", n, link.Interface.Name)
	}
	err := c.begin(ctx, link, ask.Encoding)
	if errors.Is(err, errBeginning) {
		return multicast.Answer{Sources: c.o.Sources, Why: "the appliance reads the image", After: time.Second}, nil
	}
	if err != nil {
		if errors.Is(err, blob.ErrNotExist) {
			return multicast.Answer{}, err
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
func (c *Coordinator) link(nets []multicast.Network) (Link, bool) {
	for _, l := range c.o.Links {
		if slices.ContainsFunc(nets, func(n multicast.Network) bool { return n.Prefix.Masked() == l.Address.Masked() }) {
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
func (c *Coordinator) join(who Asker, ask multicast.Ask, nets []multicast.Network) (multicast.Answer, bool, error) {
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
		return multicast.Answer{}, false, nil
	}
	own := 0
	for _, name := range found.names {
		if name == who.Machine {
			own++
		}
	}
	if own >= receiversEach {
		return multicast.Answer{Sources: c.o.Sources, Why: fmt.Sprintf("this machine has joined the session %d times already", own)}, true, nil
	}
	out := found.info
	out.Receiver = found.next
	var err error
	if out.ReceiverKey, err = multicast.ReceiverKey(found.secret, out.ID, out.Receiver); err != nil {
		return multicast.Answer{}, false, err
	}
	found.names[out.Receiver] = who.Machine
	found.next++ // 65535 machines later it is 0, and the session takes no more
	c.o.Log.Info("stream by multicast", "machine", who.Machine, "session", out.ID.String(), "encoding", string(out.Encoding), "group", out.Group.String(), "receiver", out.Receiver)
	return multicast.Answer{Session: &out, Sources: out.Sources}, true, nil
}
