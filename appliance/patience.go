package appliance

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"griddle/appliance/quota"
)

// How long a client may take. Of each graceBytes, or of what AtLeast asks for in place of them, it may take grace of its own time: an
// installing machine whose disk is slow pauses, but not for that long. What it was fast at before buys it nothing.
const (
	grace      = 60 * time.Second
	lowRate    = 4 << 10 // bytes per second
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
	// Requests at once of one HTTP/2 connection.
	maxConcurrent = 100
)

// newHTTPServer makes a server whose handlers contain panics and do not wait for slow clients for ever.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           patience(contain(h, log)),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxConcurrent},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// contain turns a panic of a handler into a logged 500.
func contain(h http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { // how a handler hangs up on purpose
				panic(p)
			}
			log.Error("a request broke its handler", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			http.Error(w, "the appliance could not do it; its log says why", http.StatusInternalServerError)
		}()
		h.ServeHTTP(w, r)
	})
}

// patience gives each read of a body and each write of a reply a deadline, in place of one for the whole request: an
// image takes as long as it takes, but a client that trickles is let go.
func patience(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		// The deadline of the connection's request before this one may still stand. Until the first byte of the reply
		// there is none: HTTP/2 ends a stream when one passes, in the middle of a long upload too.
		c.SetWriteDeadline(time.Time{})
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &patientBody{ReadCloser: r.Body, control: c, pace: pace{rate: lowRate}}
			c.SetReadDeadline(time.Now().Add(grace))
		}
		h.ServeHTTP(&patientWriter{ResponseWriter: w, control: c, pace: pace{rate: lowRate}}, r)
		c.SetWriteDeadline(time.Now().Add(grace)) // for what is still in buffers, and a reply without a body
	})
}

// pace is how far a client has come since it last moved as many bytes as rate moves in a grace. Only its own time counts: what the
// server takes between two steps is not the client's doing.
type pace struct {
	rate  int64 // bytes per second
	spent time.Duration
	bytes int64
}

// deadline is when the step that begins now must be over.
func (p *pace) deadline(now time.Time) time.Time { return now.Add(grace - p.spent) }

// moved ends a step.
func (p *pace) moved(n int64, took time.Duration) {
	p.bytes += n
	p.spent += took
	if p.bytes >= p.rate*int64(grace/time.Second) {
		p.bytes, p.spent = 0, 0
	}
}

type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	pace    pace
}

func (b *patientBody) Read(p []byte) (int, error) {
	start := time.Now()
	b.control.SetReadDeadline(b.pace.deadline(start))
	n, err := b.ReadCloser.Read(p)
	b.pace.moved(int64(n), time.Since(start))
	if errors.Is(err, io.EOF) {
		// While the reply is made the connection is watched for its end, which must not run into this deadline. After
		// any other error the deadline stays, so that net/http does not drain for ever what the handler left.
		b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	pace    pace
}

// Unwrap lets http.ResponseController through.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// AtLeast asks more of the client, where its slowness costs memory.
func (w *patientWriter) AtLeast(bytesPerSecond int64) { w.pace.rate = max(w.pace.rate, bytesPerSecond) }

func (w *patientWriter) Write(p []byte) (int, error) {
	start := w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.pace.moved(int64(n), time.Since(start))
	return n, err
}

// begin sets the deadline of a step.
func (w *patientWriter) begin() time.Time {
	start := time.Now()
	w.control.SetWriteDeadline(w.pace.deadline(start))
	return start
}

// ReadFrom keeps sendfile(2): net/http uses it for a limited reader of a file. A step is what even the lowest rate
// moves within a grace.
func (w *patientWriter) ReadFrom(src io.Reader) (int64, error) {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	var total int64
	for limited.N > 0 {
		step := min(limited.N, int64(grace/time.Second)*lowRate)
		start := w.begin()
		n, err := to.ReadFrom(&io.LimitedReader{R: limited.R, N: step})
		limited.N -= n
		total += n
		w.pace.moved(n, time.Since(start))
		if err != nil || n < step {
			return total, err
		}
	}
	return total, nil
}

// crowdListener refuses connections when the room is taken: one client cannot take them all, and strangers together leave some to
// machines that are known.
type crowdListener struct {
	net.Listener
	room  *quota.Quota
	known func(address string) bool
}

func (l *crowdListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := quota.Key(c.RemoteAddr().String())
		held, err := l.room.Take(address, l.known(address), 0)
		if err != nil {
			c.Close()
			continue
		}
		return &crowdConn{Conn: c, leave: held.Release}, nil
	}
}

type crowdConn struct {
	net.Conn
	leave func()
}

func (c *crowdConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// ReadFrom keeps sendfile(2), which the embedded interface would hide.
func (c *crowdConn) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
