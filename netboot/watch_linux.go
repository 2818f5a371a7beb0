package netboot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"griddle/netboot/dhcp"
	"griddle/netboot/lease"
)

// pauseReason is why new machines get no lease now.
type pauseReason string

func (h pauseReason) Error() string { return string(h) }

// pausedError is why new machines get no lease now, nil if they do.
func (s *Server) pausedError() error {
	if why := s.paused.Load(); why != nil {
		return *why
	}
	if !s.config().StepDown {
		return nil
	}
	if sure := s.others.present(time.Now(), true); len(sure) > 0 {
		return pauseReason("stepped down: another DHCP server (" + join(sure) + ") leases addresses here")
	}
	return nil
}

// pause ends leases to new machines, and says why: at once, and then every minute. said is when that was last.
func (s *Server) pause(kind notice, why string, said *time.Time) {
	h := pauseReason(why)
	before := s.paused.Swap(&h)
	s.notices.set(kind, why+"; until then this server gives no addresses to new machines", time.Time{}, 0)
	if now := time.Now(); before == nil || *before != h || now.Sub(*said) >= tellEvery {
		*said = now
		level := slog.LevelWarn
		if kind == noticeOther {
			level = slog.LevelError
		}
		s.log.Log(context.Background(), level, "DHCP waits", "interface", s.conf.Interface, "why", why)
	}
}

// watchServers looks for other DHCP servers until ctx ends, and before the first lease makes sure that there are none.
func (s *Server) watchServers(ctx context.Context, d *device) error {
	if s.paused.Load() != nil {
		s.begin(ctx, d)
	}
	if ctx.Err() != nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.watch.Serve(ctx, s.heardServer) })
	g.Go(func() error { return s.askServers(ctx, d) })
	return g.Wait()
}

// begin waits until the link is up and no other server answers there, and then ends the hold. A machine that asks for
// an address meanwhile shows that the link passes packets on, so nothing has to settle: on a direct cable it is the
// machine itself that brings the link up, and its firmware gives up after a minute.
func (s *Server) begin(ctx context.Context, d *device) {
	var said time.Time
	found := false
	for ctx.Err() == nil {
		change := s.links.change()
		why, kind, wait := s.linkTrouble(), noticeLink, time.Second
		if why == "" {
			if !found {
				s.pause(noticeLink,
					"the link of "+d.ifi.Name+" has just come up; looking for other DHCP servers first", &said)
			}
			select {
			case <-s.forwards: // of before the link was up
			default:
			}
			c := s.config()
			others, err := d.watch.Probe(ctx, c.ProbeTime, c.SettleTime, s.forwards)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil: // the link is down again, most likely
				why = err.Error()
			case len(others) > 0:
				why, kind, wait = (&OtherServerError{d.ifi.Name, others}).Error(), noticeOther,
					min(tellEvery, c.WatchEvery)
				change, found = nil, true
			default:
				s.log.Info("no other DHCP server answers: leasing addresses", "interface", d.ifi.Name)
				s.notices.clear(noticeLink)
				s.notices.clear(noticeOther)
				s.paused.Store(nil)
				return
			}
		}
		s.pause(kind, why, &said)
		select {
		case <-ctx.Done():
		case <-change:
		case <-time.After(wait):
		}
	}
}

// linkTrouble says why nothing that is sent reaches the network, "" if it does.
func (s *Server) linkTrouble() string {
	ifi, err := net.InterfaceByName(s.conf.Interface)
	if err != nil {
		return fmt.Sprintf("the interface %s is gone", s.conf.Interface)
	}
	return linkTrouble(ifi, os.DirFS("/sys"))
}

// askServers asks for other servers until ctx ends: soon after the start and whenever the link comes up, then every
// WatchEvery, and every minute while one is present. What passes by without a question of ours is asked after as well.
func (s *Server) askServers(ctx context.Context, d *device) error {
	up := true
	present := false
	var last time.Time
	next := time.Now().Add(min(firstWatch, s.config().WatchEvery))
	for {
		change := s.links.change()
		now := time.Now()
		if was := up; s.linkTrouble() != "" {
			up = false
		} else if up = true; !was {
			next = now // the cable may end in another network now
		}
		if up && !now.Before(next) {
			s.askRound(ctx, d)
			last, next = now, s.nextAsk(now)
		}
		if some := len(s.others.present(now, false)) > 0; some != present {
			if present = some; !some {
				s.log.Info("no other DHCP server is heard any more", "minutes", heardFor.Minutes())
			}
		}
		wait := pollLinks
		if up {
			wait = time.Until(next)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-change:
		case <-s.suspected:
			if again := last.Add(askAgain); again.Before(next) {
				next = again
			}
		case <-time.After(wait):
		}
	}
}

const (
	askAgain = 10 * time.Second // between rounds, whatever passes by
	askPause = time.Second      // within a round
	askRound = 4                // two questions, each sent twice
)

func (s *Server) nextAsk(now time.Time) time.Time {
	every := s.config().WatchEvery
	if len(s.others.present(now, false)) > 0 {
		every = min(every, tellEvery)
	}
	return now.Add(every)
}

func (s *Server) askRound(ctx context.Context, d *device) {
	for range askRound {
		if err := d.watch.Ask(); err != nil {
			s.log.Debug("asking for other DHCP servers", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(askPause):
		}
	}
}

// heardServer is called for each packet of another server.
func (s *Server) heardServer(h dhcp.Heard) {
	now := time.Now()
	say := s.others.heard(h, now)
	who := join(s.others.present(now, false))
	text := fmt.Sprintf("another DHCP server answers on %s: %s; stop it, or use proxy mode", s.conf.Interface, who)
	if err := s.pausedError(); err != nil {
		text += "; until then this server gives no addresses to new machines"
	}
	s.notices.set(noticeOther, text, now, heardFor)
	if say {
		s.log.Error(text, "servers", who)
	}
	if !h.Asked && !slices.Contains(s.others.present(now, true), h.Server) {
		select {
		case s.suspected <- struct{}{}:
		default:
		}
	}
}

// leasesTrouble makes a notice of why the pool refused a machine.
func (s *Server) leasesTrouble(err error) {
	var h pauseReason
	switch now := time.Now(); {
	case err == nil, errors.As(err, &h): // that has a notice of its own
	case errors.Is(err, lease.ErrFull):
		s.notices.set(noticePool, fmt.Sprintf("machines get no addresses: %v; "+
			"make dhcp.pool larger or dhcp.lease shorter", err), now, 2*tellEvery)
	default:
		s.notices.set(noticeLeases, fmt.Sprintf("machines get no addresses: %v", err), now, 2*tellEvery)
	}
}
