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

// relayed is a session that a relay holds.
type relayed struct {
	machine string
	nets    []multicast.Network
	heard   time.Time
	now     func() time.Time
	status  multicast.SessionStatus
	command multicast.RelayCommand
}

// ready says whether machines may be sent there.
func (r *relayed) ready() bool {
	return !r.heard.IsZero() && r.now().Sub(r.heard) < 6*multicast.RelayInterval && !r.status.Over()
}

// near says whether a machine on n reaches the relay without a router. Two sites may use one prefix, so the gateway must be
// the same too.
func (r *relayed) near(n multicast.Network) bool {
	for _, m := range r.nets {
		if m.Prefix.Masked() == n.Prefix.Masked() && m.Gateway == n.Gateway {
			return true
		}
	}
	return false
}

const aboutToRelay = "a neighbour is about to relay it"

// orderTime is how long a machine that was ordered to relay may take until it says that it listens.
const orderTime = 15 * time.Second

// preparing says whether another machine on one of nets was ordered to relay the encoding and is not ready yet.
func (c *Coordinator) preparing(machine string, encoding blob.Digest, nets []multicast.Network) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.preparingLocked(machine, encoding, nets)
}

func (c *Coordinator) preparingLocked(machine string, encoding blob.Digest, nets []multicast.Network) bool {
	for _, s := range c.sessions {
		if s.relay != nil && s.want.encoding == encoding && s.relay.heard.IsZero() && s.relay.machine != machine &&
			c.o.Now().Sub(s.started) < orderTime && slices.ContainsFunc(nets, s.relay.near) {
			return true
		}
	}
	return false
}

// order makes the session that the asker is to hold.
func (c *Coordinator) order(ctx context.Context, who Asker, ask multicast.Ask, nets []multicast.Network) (multicast.Answer, error) {
	src, err := c.o.Open(ctx, ask.Encoding)
	if err != nil {
		return multicast.Answer{}, fmt.Errorf("opening encoding %s: %w", ask.Encoding, err)
	}
	defer src.Close()
	s := &session{want: want{encoding: ask.Encoding}, secret: multicast.NewSecret(), next: 1, names: map[uint16]string{}, started: c.o.Now()}
	if s.info, err = c.describe(ask.Encoding, src, s.secret); err != nil {
		return multicast.Answer{}, err
	}
	s.relay = &relayed{machine: who.Machine, nets: nets, now: c.o.Now}
	c.mu.Lock()
	for id, old := range c.sessions { // an order that was never taken up, or a relay that began anew
		if old.relay != nil && (old.relay.machine == who.Machine && old.want == s.want || c.o.Now().Sub(old.started) > time.Minute && !old.relay.ready()) {
			delete(c.sessions, id)
		}
	}
	// Two that asked at the same moment both got this far.
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
		return multicast.Answer{Sources: c.o.Sources, Why: fmt.Sprintf("%d relays were ordered already", relays)}, nil
	}
	if second {
		return multicast.Answer{Sources: c.o.Sources, Why: aboutToRelay, After: time.Second}, nil
	}
	c.o.Log.Info("relay ordered", "machine", who.Machine, "session", s.info.ID.String(), "encoding", string(ask.Encoding), "group", s.info.Group.String())
	return multicast.Answer{Relay: &multicast.RelayOrder{Session: s.info, Secret: s.secret, TTL: c.o.TTL, Rate: c.o.Rate, Gather: c.o.Gather, Machines: c.o.Machines, Private: c.o.Private}, Sources: c.o.Sources}, nil
}

// Report takes in what the relay on machine says of its session, and returns what it is to do. ErrNoSession ends the relay's
// sender: this host began anew, or the session is over.
func (c *Coordinator) Report(machine string, r multicast.RelayReport) (multicast.RelayCommand, error) {
	a := r.Sender.Addr()
	if !a.Is4() || a.IsMulticast() || a.IsUnspecified() || r.Sender.Port() == 0 || len(r.Sources) > 4 {
		return multicast.RelayCommand{}, errors.New("reporting a relay: its address is none")
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
