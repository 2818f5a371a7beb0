package coordinator

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/sender"
)

// List returns every session, the oldest first.
func (c *Coordinator) List() []multicast.Listed {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []multicast.Listed{}
	for _, s := range c.sessions {
		l := multicast.Listed{ID: s.info.ID, Encoding: s.info.Encoding, Size: s.info.Size,
			Group: s.info.Group.String(), Link: s.target.link, Started: s.started, Names: map[uint16]string{}}
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
	slices.SortFunc(out, func(a, b multicast.Listed) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Start ends a session's gathering. The error wraps multicast.ErrNoSession, here and below, if there is no such
// session.
func (c *Coordinator) Start(id multicast.ID) error {
	return c.control(id, func(s *sender.Sender) { s.Start() }, func(r *multicast.RelayCommand) { r.Start = true })
}

// Hold pauses a session for d, at most multicast.MaxHold; 0 resumes it. Its receivers wait meanwhile.
func (c *Coordinator) Hold(id multicast.ID, d time.Duration) error {
	if d < 0 || d > multicast.MaxHold {
		return fmt.Errorf("holding session %v: %v is not between 0 and %v", id, d, multicast.MaxHold)
	}
	return c.control(id, func(s *sender.Sender) { s.Hold(d) }, func(r *multicast.RelayCommand) { r.Hold = &d })
}

// Cap limits a session to rate payload bytes per second, at least 16 KiB; 0 lifts the limit. The link's budget limits
// it too.
func (c *Coordinator) Cap(id multicast.ID, rate int64) error {
	if rate != 0 && rate < 16<<10 {
		return fmt.Errorf("capping session %v: %d bytes per second are less than 16 KiB", id, rate)
	}
	return c.control(id, func(s *sender.Sender) { s.Cap(rate) }, func(r *multicast.RelayCommand) { r.Cap = &rate })
}

// Stop ends a session. Its receivers continue by HTTP.
func (c *Coordinator) Stop(id multicast.ID) error {
	return c.control(id, func(s *sender.Sender) { s.Stop() }, func(r *multicast.RelayCommand) { r.Stop = true })
}

func (c *Coordinator) control(id multicast.ID, local func(*sender.Sender), remote func(*multicast.RelayCommand)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[id]
	switch {
	case s == nil:
		return fmt.Errorf("%w: %v", multicast.ErrNoSession, id)
	case s.local != nil:
		local(s.local)
	default:
		remote(&s.relay.command)
	}
	return nil
}
