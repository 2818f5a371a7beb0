package sender

import (
	"context"
	"math"
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

const (
	tickInterval = 100 * time.Millisecond
	// budgetWait is how long a sender waits for its budget before it looks for heartbeats and orders again.
	budgetWait = 100 * time.Millisecond
	// lastHeartbeats is how far heartbeats are apart just after the last data: they tell receivers that nothing
	// follows it.
	lastHeartbeats = 25 * time.Millisecond
	// unreachable is how long the network may refuse datagrams.
	unreachable = time.Minute
	// maxSeq leaves room for End datagrams: no seq is used twice.
	maxSeq = math.MaxUint32 - 1000
)

// nextAction is what Run does next.
type nextAction struct {
	closed bool
	work   bool
	beat   time.Duration // when the next heartbeat is due
}

// send sends until the session is closed or cannot go on.
func (s *Sender) send(ctx context.Context) error {
	var tick, data, beat time.Duration
	timer := time.NewTimer(0)
	defer timer.Stop()
	out := newOutgoing(s)
	for ctx.Err() == nil {
		now := s.now()
		g := s.update(now, data, beat, &tick)
		if g.closed {
			return nil
		}
		if now >= g.beat {
			beat = now
			if err := out.announce(datagram.Heartbeat); err != nil && ctx.Err() == nil {
				s.o.Log.Debug("sending a heartbeat failed", "err", err)
			}
			continue
		}
		if !g.work {
			timer.Reset(min(g.beat, tick) - now)
			select {
			case <-timer.C:
			case <-s.wake:
			case <-ctx.Done():
			}
			continue
		}
		n, err := out.batch(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			data = s.now()
		}
	}
	return nil
}

// update takes in what happened since the last call, and decides what Run does next.
func (s *Sender) update(now, data, beat time.Duration, tick *time.Duration) nextAction {
	verified := s.o.Verified()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now >= *tick {
		*tick = now + tickInterval
		s.unknown = 0
		for _, m := range s.receivers.evaluate(now, s.seq, s.schedule) {
			s.o.Log.Info("receiver is left to HTTP", "receiver", m.number, "why", m.demoted)
		}
		s.schedule.sweep(s.seq - min(s.seq, 65536))
		s.applyLimits()
	}
	work := s.hasWork(verified)
	was := s.lifecycle.state
	s.wait = s.lifecycle.step(now, conditions{s.receivers.counts, s.receivers.firstReady, s.schedule.sentOnce(), !work})
	switch {
	case s.stop:
		s.lifecycle.close("it was stopped")
	case s.seq >= maxSeq:
		s.lifecycle.close("it ran out of sequence numbers")
	}
	state := s.lifecycle.state
	if state != was {
		s.receivers.resetWindows()
		s.o.Log.Info("multicast session is "+state.String(), "receivers", s.receivers.counts.heard)
	}
	sending := state == datagram.Running || state == datagram.Repairing
	g := nextAction{closed: state == datagram.Closed, work: work && sending,
		beat: max(data, beat) + multicast.HeartbeatInterval}
	switch {
	case sending && !g.work && now-data < time.Second:
		g.beat = max(data, beat) + lastHeartbeats
	case g.work:
		g.beat = min(beat+4*multicast.HeartbeatInterval, g.beat)
	}
	return g
}

// hasWork says whether there is something to send.
func (s *Sender) hasWork(verified int64) bool {
	p := s.schedule
	if len(p.urgent)+len(p.deferred) > 0 || p.repeating || p.mayContinue(verified) {
		return true
	}
	_, ok := s.receivers.findWanted(p, p.repeatFrom)
	return ok
}
