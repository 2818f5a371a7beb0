package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
)

// relayed is a session that a relay holds.
type relayed struct {
	machine string
	nets    []multicast.Network
	heard   time.Time
	now     func() time.Time
	status  multicast.SessionStatus
	command multicast.RelayCommand
}

// ready says whether machines may be sent to the relay.
func (r *relayed) ready() bool {
	return !r.heard.IsZero() && r.now().Sub(r.heard) < 6*multicast.RelayInterval && !r.status.Over()
}

// near says whether a machine on n reaches the relay without a router. Two sites may use one prefix, so the gateway
// must be the same too.
func (r *relayed) near(n multicast.Network) bool {
	for _, m := range r.nets {
		if m.Prefix.Masked() == n.Prefix.Masked() && m.Gateway == n.Gateway {
			return true
		}
	}
	return false
}

const aboutToRelay = "a neighbour is about to relay it"

// orderTime is how long a machine may take from the order to relay to its first report.
const orderTime = 15 * time.Second

// preparing says whether another machine on one of nets was ordered to relay the encoding and is not ready yet.
func (c *Coordinator) preparing(machine string, encoding blob.Digest, nets []multicast.Network) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.preparingLocked(machine, encoding, nets)
}

func (c *Coordinator) preparingLocked(machine string, encoding blob.Digest, nets []multicast.Network) bool {
	for _, s := range c.sessions {
		if s.relay != nil && s.target.encoding == encoding && s.relay.heard.IsZero() && s.relay.machine != machine &&
			c.o.Now().Sub(s.started) < orderTime && slices.ContainsFunc(nets, s.relay.near) {
			return true
		}
	}
	return false
}

// orderRelay makes a session that the asker must hold.
func (c *Coordinator) orderRelay(
	ctx context.Context, who Asker, ask multicast.Ask, nets []multicast.Network,
) (multicast.Answer, error) {
	src, err := c.o.Open(ctx, ask.Encoding)
	if err != nil {
		return multicast.Answer{}, fmt.Errorf("opening encoding %s: %w", ask.Encoding, err)
	}
	defer src.Close()
	s := &session{target: target{encoding: ask.Encoding}, secret: multicast.NewSecret(), next: 1,
		names: map[uint16]string{}, started: c.o.Now()}
	if s.info, err = c.describe(ask.Encoding, src, s.secret); err != nil {
		return multicast.Answer{}, err
	}
	s.relay = &relayed{machine: who.Machine, nets: nets, now: c.o.Now}
	c.mu.Lock()
	for id, old := range c.sessions { // an order that was not carried out, or a relay that started again
		if old.relay != nil && (old.relay.machine == who.Machine && old.target == s.target ||
			c.o.Now().Sub(old.started) > time.Minute && !old.relay.ready()) {
			delete(c.sessions, id)
		}
	}
	// Two machines that ask at the same moment both get here.
	second := !who.Relay && c.preparingLocked(who.Machine, ask.Encoding, nets)
	relays := 0
	for _, old := range c.sessions {
		if old.relay != nil {
			relays++
		}
	}
	full := relays >= maxRelays
	if !second && !full {
		c.sessions[s.info.ID] = s
	}
	c.mu.Unlock()
	if full {
		why := fmt.Sprintf("%d machines relay already, which is the most", relays)
		return multicast.Answer{Sources: c.o.Sources, Why: why}, nil
	}
	if second {
		return multicast.Answer{Sources: c.o.Sources, Why: aboutToRelay, After: time.Second}, nil
	}
	c.o.Log.Info("relay ordered", "machine", who.Machine, "session", s.info.ID.String(),
		"encoding", string(ask.Encoding), "group", s.info.Group.String())
	order := &multicast.RelayOrder{
		Session: s.info, Secret: s.secret, TTL: c.o.TTL, Rate: c.o.Rate,
		Gather: c.o.Gather, Machines: c.o.Machines, Private: c.o.Private,
	}
	return multicast.Answer{Relay: order, Sources: c.o.Sources}, nil
}

// Report takes in the report of the relay on machine, and returns its orders. multicast.ErrNoSession ends the relay's
// session: it is over, or this host started again.
func (c *Coordinator) Report(machine string, r multicast.RelayReport) (multicast.RelayCommand, error) {
	a := r.Sender.Addr()
	if !a.Is4() || a.IsMulticast() || a.IsUnspecified() || r.Sender.Port() == 0 || len(r.Sources) > 4 {
		return multicast.RelayCommand{},
			fmt.Errorf("reporting a relay: %v is not a sender's IPv4 address with a port, "+
				"or it names more than 4 sources", r.Sender)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[r.Session]
	if s == nil || s.relay == nil || s.relay.machine != machine {
		return multicast.RelayCommand{}, fmt.Errorf("%w: %v", multicast.ErrNoSession, r.Session)
	}
	s.info.Sender = r.Sender
	if c.o.Private {
		r.Sources = nil
	}
	s.info.Sources = append(append([]string{}, r.Sources...), c.o.Sources...)
	s.relay.status, s.relay.heard = r.Status, c.o.Now()
	out := s.relay.command
	s.relay.command = multicast.RelayCommand{}
	if r.Status.Over() {
		delete(c.sessions, r.Session)
	}
	return out, nil
}
