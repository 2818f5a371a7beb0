package sender

import (
	"time"

	"griddle/imagestore/multicast"
	"griddle/imagestore/multicast/datagram"
)

const (
	defaultGather = 15 * time.Second
	defaultLinger = 30 * time.Second
	// nobody is how much longer than its gathering a session waits for the first receiver: it was asked for, and sets itself up.
	nobody = 10 * time.Second
	// allDone is how long a session lingers when no receiver is left that misses anything.
	allDone = 2 * time.Second

	// stalled is how long a relay waits for bytes that it may send.
	stalled = time.Minute
)

// course is where a session stands, and when that ends. Each state ends, whatever receivers do. It is pure.
type course struct {
	gather   time.Duration
	machines int
	linger   time.Duration

	state  datagram.State
	forced bool          // an operator started it
	ended  string        // why it is over
	began  time.Duration // when it began to send; 0 if it did not
	until  time.Duration // when a hold ends
	held   datagram.State
	last   time.Duration // when something was asked for or sent
}

// needs is what the state depends upon.
type needs struct {
	counts
	first    time.Duration // when the first receiver was ready; 0 if none is
	sentOnce bool
	idle     bool // there is nothing to send
}

// step goes on to the state of now, and says how long that lasts if nothing happens; 0 if that is not known.
func (c *course) step(now time.Duration, n needs) time.Duration {
	if !n.idle {
		c.last = now
	}
	if c.state == datagram.Held && now >= c.until {
		c.state, c.last = c.held, now
	}
	switch c.state {
	case datagram.Held:
		return c.until - now
	case datagram.Gathering:
		return c.collect(now, n)
	case datagram.Running:
		if n.sentOnce {
			c.state = datagram.Repairing
		} else if now-c.last >= stalled {
			c.close("its bytes do not come")
		}
	case datagram.Repairing, datagram.Lingering:
		quiet := c.linger
		if n.waiting+n.lost == 0 {
			quiet = min(quiet, allDone)
		}
		switch left := c.last + quiet - now; {
		case !n.idle:
			c.state = datagram.Repairing
		case left <= 0:
			c.close("nobody asks for anything")
		case n.waiting == 0 || now-c.last >= time.Second:
			c.state = datagram.Lingering
			return left
		}
	}
	return 0
}

// collect starts when all machines are there or the time is over, and there is somebody to start for.
func (c *course) collect(now time.Duration, n needs) time.Duration {
	end := c.gather + nobody
	if n.first > 0 {
		end = n.first + c.gather
	}
	full := c.machines > 0 && n.ready >= c.machines
	switch {
	case c.forced && n.ready > 0, full, now >= end && n.ready > 1:
		c.state, c.began, c.last = datagram.Running, now, now
	case now < end:
		return end - now
	case n.ready == 1:
		c.close("one receiver alone is served by HTTP")
	default:
		c.close("nobody came")
	}
	return 0
}

func (c *course) close(why string) { c.state, c.ended = datagram.Closed, why }

// hold keeps the session from sending for d, and lets it go on if that is 0.
func (c *course) hold(now, d time.Duration) {
	switch {
	case c.state == datagram.Closed:
	case d <= 0:
		if c.state == datagram.Held {
			c.until = now
		}
	case c.state == datagram.Held:
		c.until = now + min(d, multicast.MaxHold)
	default:
		c.held, c.state, c.until = c.state, datagram.Held, now+min(d, multicast.MaxHold)
	}
}
