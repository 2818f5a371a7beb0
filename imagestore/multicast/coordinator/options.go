package coordinator

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"griddle/imagestore/blob"
	"griddle/imagestore/multicast"
)

// Link is a network that this host may multicast on.
type Link struct {
	Interface *net.Interface
	Address   netip.Prefix      // of this host on it, with the length of the network's prefix
	Budget    *multicast.Budget // of all sessions on it
}

// Encoding is a blob as a sender reads it.
type Encoding interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

func (l Link) name() string {
	if l.Interface == nil {
		return ""
	}
	return l.Interface.Name
}

// Options are what a Coordinator needs. Links, Groups, Port and Open must be given.
type Options struct {
	Off    bool // HTTP for everybody
	Links  []Link
	Groups netip.Prefix // of IPv4 multicast addresses, at most 16 bits of prefix free or more; each session has its own group
	Port   uint16       // of all groups
	TTL    int          // of what is sent; 0 means 1: it does not leave the network

	Gather   time.Duration // how long a session waits for more machines, from the first that is ready; 0 means 10 s
	Machines int           // how many do not wait for more; 0 means no number
	Rate     int64         // payload bytes per second that a relay sends at most; 0 means DefaultRate
	Sessions int           // at once on a link; 0 means 4. Who would need one more gets HTTP
	Min      int64         // bytes of an encoding below which HTTP does; 0 means 8 MB

	Open    func(ctx context.Context, d blob.Digest) (Encoding, error)
	Sources []string         // base URLs that every encoding can be had from
	Private bool             // they take a token: relays give their neighbours nothing by HTTP, which asks for none
	Log     *slog.Logger     // nil logs nothing
	Now     func() time.Time // nil means time.Now
}
