// Package coordinator decides which way each machine gets an encoding, and runs the multicast sessions of this host.
//
// New makes a Coordinator. Machines call Ask, and relays call Report. List, Start, Hold, Cap and Stop are for
// operators.
//
//	Ask --> a session of this host, or of a relay nearby    where other machines want the same encoding
//	    --> an order to relay                               on a network behind a router
//	    --> HTTP                                            alone, on wireless networks, or for small encodings
//
// State is in memory only. After a restart its sessions are gone: machines notice that within multicast.Silence,
// continue by HTTP, and ask again. What one machine can hold is bounded: 64 receivers of a session, and one relayed
// session of an encoding; relays are 256 over all machines.
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

// Coordinator decides which way each machine gets its streams, and runs the sessions of this host. Its methods may be
// called from any number of goroutines.
//
// Sessions start when machines ask, and end by themselves.
type Coordinator struct {
	o      Options
	hashes hashCache
	flight singleflight.Group

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	sessions map[multicast.ID]*session
	alone    map[target]time.Time // when a machine on a link last got HTTP for an encoding because it was alone
}

// Close ends every session, tells the receivers, and waits until that is done.
func (c *Coordinator) Close() error {
	c.stop()
	c.wg.Wait()
	return nil
}

// New makes a Coordinator; Close ends it. It fails if o is not valid.
func New(o Options) (*Coordinator, error) {
	if o.Open == nil || o.Port == 0 {
		return nil, errors.New("making a multicast coordinator: Open and Port are needed")
	}
	if !o.Groups.Addr().Is4() || !o.Groups.Addr().IsMulticast() || o.Groups.Bits() < 4 || o.Groups.Bits() > 24 {
		return nil,
			fmt.Errorf("making a multicast coordinator: %v is not a network of at least 256 IPv4 multicast groups",
				o.Groups)
	}
	if b := o.Groups.Masked().Addr().As4(); o.Groups.Bits() == 24 && b[1]&0x7f == 0 && b[2] == 0 {
		return nil, fmt.Errorf("making a multicast coordinator: a switch takes the groups of %v for 224.0.0.0/24, and "+
			"floods them (RFC 4541 section 2.1.2); choose others", o.Groups)
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
	return &Coordinator{o: o, ctx: ctx, stop: stop, sessions: map[multicast.ID]*session{},
		alone: map[target]time.Time{}}, nil
}
