package receiver

import (
	"context"
	"fmt"
	"net"
	"sync"

	"griddle/imagestore/multicast"
)

// Outcome is how a session ended for one receiver.
type Outcome int

// The outcomes. After each but Complete the rest comes by HTTP.
const (
	Complete Outcome = iota + 1 // every block came
	Ended                       // the session is over
	Demoted                     // the sender made this receiver leave, because it holds up the others
	Unheard                     // nothing came for multicast.UnheardAfter: multicast is not delivered here
	Silent                      // nothing came for multicast.Silence
	Polluted                    // three blocks had wrong bytes: a machine in the group sends them on purpose
)

func (o Outcome) String() string {
	if o >= Complete && o <= Polluted {
		return [...]string{
			"complete", "the session ended", "this machine could not keep up with the others",
			"multicast is not delivered here", "the sender fell silent", "a machine in the group sends wrong bytes",
		}[o-Complete]
	}
	return fmt.Sprintf("outcome %d", int(o))
}

// pollutedBlocks is how many blocks may have wrong bytes before the group is left.
const pollutedBlocks = 3

// Join receives s on the interface ifi until every block came, or the session is over for this receiver. It fetches
// by HTTP the blocks that the session does not bring: those with wrong bytes, and those that the sender does not send
// any more. h is the list of s.
func (d *Download) Join(
	ctx context.Context, s multicast.Session, h multicast.Hashes, ifi *net.Interface,
) (Outcome, error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	if s.Layout != d.o.Layout || s.Size != d.o.Size || s.Encoding != d.o.Encoding {
		return 0, fmt.Errorf("joining session %v: %w: it sends another encoding, or another layout of it", s.ID,
			multicast.ErrSession)
	}
	m, err := newMembership(d, s, h)
	if err == nil {
		err = m.open(ifi)
	}
	if err != nil {
		return 0, fmt.Errorf("joining session %v: %w", s.ID, err)
	}
	defer m.sock.close()
	d.mu.Lock()
	d.hashes = h
	d.mu.Unlock()
	d.tell(func(p *Progress) { p.Way, p.Why = "waiting", "" })

	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { m.fillFallback(ctx) })
	wg.Go(func() { m.readVerdicts(ctx) })
	return m.run(ctx)
}
