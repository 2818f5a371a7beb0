package appliance

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// How long a client may take. It must move some bytes each grace, and lowRate of them per second on the whole; an
// installing machine whose disk is slow pauses, but not for that long.
const (
	grace         = 60 * time.Second
	lowRate       = 4 << 10 // bytes per second
	headerTime    = 10 * time.Second
	idleTime      = 2 * time.Minute
	maxHeader     = 32 << 10
	maxPerAddress = 256 // connections of one client
)

// newHTTPServer makes a server whose handlers contain panics and do not wait for slow clients for ever.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           patience(contain(h, log)),
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
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
		start := time.Now()
		// The deadline of the connection's request before this one may still stand. Until the first byte of the reply
		// there is none: HTTP/2 ends a stream when one passes, in the middle of a long upload too.
		c.SetWriteDeadline(time.Time{})
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &patientBody{ReadCloser: r.Body, control: c, pace: pace{start: start}}
			c.SetReadDeadline(start.Add(grace))
		}
		h.ServeHTTP(&patientWriter{ResponseWriter: w, control: c, pace: pace{start: start}}, r)
		c.SetWriteDeadline(time.Now().Add(grace)) // for what is still in buffers, and a reply without a body
	})
}

// pace is how far a transfer has come.
type pace struct {
	start time.Time
	bytes int64
}

// deadline of the next step: a grace from now, but not later than the low rate allows.
func (p *pace) deadline(now time.Time) time.Time {
	if now.Sub(p.start) > grace+time.Duration(p.bytes/lowRate)*time.Second {
		return now
	}
	return now.Add(grace)
}

type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	pace    pace
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.control.SetReadDeadline(b.pace.deadline(time.Now()))
	n, err := b.ReadCloser.Read(p)
	b.pace.bytes += int64(n)
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

func (w *patientWriter) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.pace.bytes += int64(n)
	return n, err
}

// begin starts the clock with the first byte: what the handler waited before that is not the client's doing.
func (w *patientWriter) begin() {
	if w.pace.bytes == 0 {
		w.pace.start = time.Now()
	}
	w.control.SetWriteDeadline(w.pace.deadline(time.Now()))
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
		step := min(limited.N, grace.Milliseconds()/1000*lowRate)
		w.begin()
		n, err := to.ReadFrom(&io.LimitedReader{R: limited.R, N: step})
		limited.N -= n
		total += n
		w.pace.bytes += n
		if err != nil || n < step {
			return total, err
		}
	}
	return total, nil
}

// crowdListener refuses a client's connections beyond maxPerAddress, so that one client cannot take them all.
type crowdListener struct {
	net.Listener
	mu    sync.Mutex
	count map[string]int
}

func newCrowdListener(l net.Listener) *crowdListener {
	return &crowdListener{Listener: l, count: map[string]int{}}
}

func (l *crowdListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		l.mu.Lock()
		full := l.count[host] >= maxPerAddress
		if !full {
			l.count[host]++
		}
		l.mu.Unlock()
		if full {
			c.Close()
			continue
		}
		return &crowdConn{Conn: c, leave: sync.OnceFunc(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.count[host]--; l.count[host] == 0 {
				delete(l.count, host)
			}
		})}, nil
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
