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

// Link is a network that this host may send multicast to.
type Link struct {
	Interface *net.Interface
	Address   netip.Prefix      // of this host on it, with the length of the network's prefix
	Budget    *multicast.Budget // of all sessions on it
}

// Encoding is a blob that a sender reads.
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

// Options are a Coordinator's. Links, Groups, Port and Open must be given.
type Options struct {
	Off    bool // every machine gets HTTP
	Links  []Link
	Groups netip.Prefix // of IPv4 multicast addresses, /4 to /24; each session has its own group
	Port   uint16       // of all groups
	TTL    int          // of what is sent; 0 means 1: it does not leave the network

	Gather   time.Duration // how long a session waits for more machines after the first is ready; 0 means 10 s
	Machines int           // how many machines do not wait for more; 0 means that they always wait
	Rate     int64         // payload bytes per second that a relay sends at most; 0 means DefaultRate
	Sessions int           // at once on a link; 0 means 4. Machines that need one more get HTTP
	Min      int64         // smaller encodings go by HTTP; bytes, 0 means 8 MB

	Open    func(ctx context.Context, d blob.Digest) (Encoding, error)
	Sources []string         // base URLs that have every encoding
	Private bool             // Sources require a token: relays, which ask for none, give nothing by HTTP
	Log     *slog.Logger     // nil logs nothing
	Now     func() time.Time // nil means time.Now
}
