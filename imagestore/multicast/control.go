package multicast

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"griddle/imagestore/blob"
)

// Listed is a session as an operator sees it.
type Listed struct {
	ID       ID                `json:"id"`
	Encoding blob.Digest       `json:"encoding"`
	Size     int64             `json:"size"` // bytes
	Group    string            `json:"group"`
	Link     string            `json:"link,omitempty"`  // this host's interface, or
	Relay    string            `json:"relay,omitempty"` // the machine that holds it
	Started  time.Time         `json:"started"`
	Names    map[uint16]string `json:"names"` // the machine of each receiver's number
	Status   SessionStatus     `json:"status"`
}

// List returns every session, the oldest first.
func (c *Coordinator) List() []Listed {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []Listed{}
	for _, s := range c.sessions {
		l := Listed{ID: s.info.ID, Encoding: s.info.Encoding, Size: s.info.Size, Group: s.info.Group.String(), Link: s.want.link, Started: s.started, Names: map[uint16]string{}}
		for n, name := range s.names {
			l.Names[n] = name
		}
		if s.local != nil {
			l.Status = s.local.Status()
		} else {
			l.Relay, l.Status = s.relay.machine, s.relay.status
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Listed) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Start ends a session's gathering.
func (c *Coordinator) Start(id ID) error {
	return c.control(id, func(s *Sender) { s.Start() }, func(r *RelayCommand) { r.Start = true })
}

// Hold keeps a session from sending for d, or lets it go on where d is 0. Its receivers wait meanwhile.
func (c *Coordinator) Hold(id ID, d time.Duration) error {
	if d < 0 || d > MaxHold {
		return fmt.Errorf("holding session %v: %v is not between 0 and %v", id, d, MaxHold)
	}
	return c.control(id, func(s *Sender) { s.Hold(d) }, func(r *RelayCommand) { r.Hold = &d })
}

// MaxHold is the longest that machines are made to wait at once.
const MaxHold = time.Hour

// Cap limits a session to rate payload bytes per second; 0 lifts the limit. The link's budget stays above it.
func (c *Coordinator) Cap(id ID, rate int64) error {
	if rate != 0 && rate < 16<<10 {
		return fmt.Errorf("capping session %v: %d bytes per second are less than 16 kB", id, rate)
	}
	return c.control(id, func(s *Sender) { s.Cap(rate) }, func(r *RelayCommand) { r.Cap = &rate })
}

// Stop ends a session; its receivers go on by HTTP.
func (c *Coordinator) Stop(id ID) error {
	return c.control(id, func(s *Sender) { s.Stop() }, func(r *RelayCommand) { r.Stop = true })
}

func (c *Coordinator) control(id ID, local func(*Sender), remote func(*RelayCommand)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	switch {
	case s == nil:
		return fmt.Errorf("%w: %v", ErrNoSession, id)
	case s.local != nil:
		local(s.local)
	default:
		remote(&s.relay.command)
	}
	return nil
}
