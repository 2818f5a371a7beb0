// Package coordinator decides which way each machine gets an encoding, and runs the multicast sessions of this host.
//
// New makes a Coordinator. Machines call Ask, and relays call Report. List, Start, Hold, Cap and Stop are for operators.
//
//	Ask --> a session of this host, or of a relay nearby    where other machines want the same encoding
//	    --> an order to relay                               on a network behind a router
//	    --> HTTP                                            alone, on wireless networks, or for small encodings
//
// State is in memory only. After a restart its sessions are gone: machines notice that within multicast.Silence, go on by HTTP, and ask
// again. What one machine can hold is bounded: 64 receivers of a session, and one session as a relay of an encoding.
//
// Sources: RFC 1112 section 6.4 and RFC 4541 section 2.1.2 for the choice of groups.
package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"griddle/imagestore/multicast"
)

// Coordinator says which way each machine gets its stream, and runs the sessions of this host. Machines ask; nobody starts it.
//
// State is in memory alone: when the host starts anew its sessions are gone, the machines notice within Silence, go on by HTTP and
// ask again. All methods may be called from any number of goroutines.
type Coordinator struct {
	o      Options
	hashes hashCache
	flight singleflight.Group

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	sessions map[multicast.ID]*session
	asked    map[want]time.Time // when a machine on a link last got HTTP for an encoding because it was alone
}

// Close ends every session, tells their receivers so, and waits for that.
func (c *Coordinator) Close() error {
	c.stop()
	c.wg.Wait()
	return nil
}

// New makes one. Close ends it.
func New(o Options) (*Coordinator, error) {
	if o.Open == nil || o.Port == 0 {
		return nil, errors.New("making a multicast coordinator: Open and Port are needed")
	}
	if !o.Groups.Addr().Is4() || !o.Groups.Addr().IsMulticast() || o.Groups.Bits() < 4 || o.Groups.Bits() > 24 {
		return nil, fmt.Errorf("making a multicast coordinator: %v is no network of at least 256 IPv4 groups", o.Groups)
	}
	if b := o.Groups.Masked().Addr().As4(); o.Groups.Bits() == 24 && b[1]&0x7f == 0 && b[2] == 0 {
		return nil, fmt.Errorf("making a multicast coordinator: the groups of %v look to a switch like 224.0.0.0/24, which it floods (RFC 4541 section 2.1.2)", o.Groups)
	}
	if o.Gather <= 0 {
		o.Gather = 10 * time.Second
	}
	if o.Sessions <= 0 {
		o.Sessions = 4
	}
	if o.Min <= 0 {
		o.Min = 8 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	return &Coordinator{o: o, ctx: ctx, stop: stop, sessions: map[multicast.ID]*session{}, asked: map[want]time.Time{}}, nil
}
