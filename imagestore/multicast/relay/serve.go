package relay

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"griddle/imagestore/blob"
)

// ServeHTTP serves the encoding and the list of its hashes as blobs, ranges too. What has not come yet is waited for.
func (s *Spool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = newImpatient(w)
	switch r.URL.Path {
	case blob.Path + "/" + string(s.encoding):
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", strconv.Quote(string(s.encoding)))
		http.ServeContent(w, r, "", time.Time{}, s.Reader(r.Context()))
	case blob.Path + "/" + string(s.digest):
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(s.hashes)
	default:
		http.NotFound(w, r)
	}
}

// impatient breaks a connection off whose other side takes nothing. What a response waits for on this side does not count.
type impatient struct {
	http.ResponseWriter
	control *http.ResponseController
}

// takeTime is how long a neighbour may take nothing of a response.
const takeTime = 30 * time.Second

func newImpatient(w http.ResponseWriter) impatient {
	i := impatient{w, http.NewResponseController(w)}
	i.extend() // for a response without a body
	return i
}

func (i impatient) extend() { _ = i.control.SetWriteDeadline(time.Now().Add(takeTime)) }

func (i impatient) Write(b []byte) (int, error) {
	i.extend()
	return i.ResponseWriter.Write(b)
}

// neighbours is how many connections a relay has at once; whoever finds no room asks the origin.
const neighbours = 256

// serveNeighbours gives what the spool has by HTTP, to everybody who asks, until ctx ends.
func (s *Spool) serveNeighbours(ctx context.Context, g *errgroup.Group, l net.Listener) {
	l = netutil.LimitListener(l, neighbours)
	web := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	g.Go(func() error {
		if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return web.Close()
	})
}
