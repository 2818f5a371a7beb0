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

// ServeHTTP serves the encoding and the list of its hashes as blobs, with ranges. A response waits for bytes that
// have not come yet.
func (s *Spool) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = newDeadlineWriter(w)
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

// deadlineWriter closes a connection whose other side reads nothing. Time in which a response waits for bytes does
// not count.
type deadlineWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// takeTime is how long a neighbour may read nothing of a response.
const takeTime = 30 * time.Second

func newDeadlineWriter(w http.ResponseWriter) deadlineWriter {
	i := deadlineWriter{w, http.NewResponseController(w)}
	i.extend() // for a response without a body
	return i
}

func (i deadlineWriter) extend() { _ = i.control.SetWriteDeadline(time.Now().Add(takeTime)) }

func (i deadlineWriter) Write(b []byte) (int, error) {
	i.extend()
	return i.ResponseWriter.Write(b)
}

// neighbours is how many connections a relay has at once; other neighbours use the origin.
const neighbours = 256

// serveNeighbours serves the spool by HTTP until ctx ends.
func (s *Spool) serveNeighbours(ctx context.Context, g *errgroup.Group, l net.Listener) {
	l = netutil.LimitListener(l, neighbours)
	web := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10}
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
