package sender

import (
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

const (
	defaultGather = 15 * time.Second
	defaultLinger = 30 * time.Second
	// firstReceiverWait is how much longer than its gathering a session waits for the first receiver, which sets
	// itself up meanwhile.
	firstReceiverWait = 10 * time.Second
	// doneLinger is how long a session lingers when no receiver lacks anything.
	doneLinger = 2 * time.Second

	// stallAfter is how long a relay waits for bytes that it may send.
	stallAfter = time.Minute
)

// lifecycle is a session's state, and when it ends. Each state ends, whatever receivers do. It is pure.
type lifecycle struct {
	gather   time.Duration
	machines int
	awaited  int // machines that are known to come; 0 if that is not known
	linger   time.Duration

	state        datagram.State
	forced       bool          // an operator started it
	why          string        // why it is over
	began        time.Duration // when it began to send; 0 if it did not
	heldUntil    time.Duration // when a hold ends
	heldState    datagram.State
	lastActivity time.Duration // when something was asked for or sent
}

// conditions are what the state depends on.
type conditions struct {
	counts
	first    time.Duration // when the first receiver was ready; 0 if none is
	sentOnce bool
	idle     bool // there is nothing to send
}

// step goes on to the state of now, and returns how long it lasts if nothing happens; 0 if that is not known.
func (c *lifecycle) step(now time.Duration, n conditions) time.Duration {
	if !n.idle {
		c.lastActivity = now
	}
	if c.state == datagram.Held && now >= c.heldUntil {
		c.state, c.lastActivity = c.heldState, now
	}
	switch c.state {
	case datagram.Held:
		return c.heldUntil - now
	case datagram.Gathering:
		return c.gatherStep(now, n)
	case datagram.Running:
		if n.sentOnce {
			c.state = datagram.Repairing
		} else if now-c.lastActivity >= stallAfter {
			c.close("no more bytes of the encoding came")
		}
	case datagram.Repairing, datagram.Lingering:
		quiet := c.linger
		if n.waiting+n.lost == 0 {
			quiet = min(quiet, doneLinger)
		}
		switch left := c.lastActivity + quiet - now; {
		case !n.idle:
			c.state = datagram.Repairing
		case left <= 0:
			c.close("no receiver asks for more")
		case n.waiting == 0 || now-c.lastActivity >= time.Second:
			c.state = datagram.Lingering
			return left
		}
	}
	return 0
}

// gatherStep starts the session when enough machines are ready, or when the time is over or all came, and at least two
// are.
func (c *lifecycle) gatherStep(now time.Duration, n conditions) time.Duration {
	end := c.gather + firstReceiverWait
	if n.first > 0 {
		end = n.first + c.gather
	}
	full := c.machines > 0 && n.ready >= c.machines
	over := now >= end || c.awaited > 0 && n.ready+n.left+n.lost >= c.awaited
	switch {
	case c.forced && n.ready > 0, full, over && n.ready > 1:
		c.state, c.began, c.lastActivity = datagram.Running, now, now
	case !over:
		return end - now
	case n.ready == 1:
		c.close("only one receiver came, which uses HTTP")
	default:
		c.close("no receiver came")
	}
	return 0
}

func (c *lifecycle) close(why string) { c.state, c.why = datagram.Closed, why }

// hold pauses the session for d; 0 resumes it.
func (c *lifecycle) hold(now, d time.Duration) {
	switch {
	case c.state == datagram.Closed:
	case d <= 0:
		if c.state == datagram.Held {
			c.heldUntil = now
		}
	case c.state == datagram.Held:
		c.heldUntil = now + min(d, multicast.MaxHold)
	default:
		c.heldState, c.state, c.heldUntil = c.state, datagram.Held, now+min(d, multicast.MaxHold)
	}
}
