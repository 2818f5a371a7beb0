package receiver

import (
	"time"

	"griddle/imagestore/multicast/datagram"
)

// Progress is how far a download is, and which way its bytes came.
type Progress struct {
	Way       string         // "waiting", "multicast", "relay" or "http"
	Multicast int64          // bytes of blocks that came by multicast
	Repair    int64          // bytes of parity among what came
	Relay     int64          // bytes that came from a neighbour by HTTP
	HTTP      int64          // bytes that came from other sources by HTTP
	State     datagram.State // of the session, as the sender announced it last
	Receivers int            // of the session
	Loss      float64        // of the session's datagrams, 0 to 1
	Wait      time.Duration  // until the session's state ends by itself; 0 if that is not known
	Why       string         // why it is not multicast, for display
}

// ByHTTP notes that the rest comes by HTTP, and why.
func (d *Download) ByHTTP(why string) {
	d.tell(func(p *Progress) { p.Why, p.Way = why, "http" })
}

// tell changes the progress and passes it on, at most four times a second, or at once if the way changes.
func (d *Download) tell(change func(*Progress)) {
	d.mu.Lock()
	before := d.progress.Way
	change(&d.progress)
	p, now := d.progress, time.Now()
	due := d.o.Tell != nil && (p.Way != before || now.Sub(d.told) >= 250*time.Millisecond)
	if due {
		d.told = now
	}
	d.mu.Unlock()
	if due {
		d.o.Tell(p)
	}
}

// tellEnd passes on the progress of the last quarter of a second.
func (d *Download) tellEnd() {
	d.mu.Lock()
	p := d.progress
	d.mu.Unlock()
	if d.o.Tell != nil {
		d.o.Tell(p)
	}
}

// Progress returns the current progress.
func (d *Download) Progress() Progress {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.progress
}
