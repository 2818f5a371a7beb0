package httpserver

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Of each grace times lowRate bytes, or of what AtLeast asks for in place of them, a client may take grace of its own
// time. An installing machine whose disk is slow pauses, but not for that long. What it was fast at
// before does not count.
const (
	grace   = 60 * time.Second
	lowRate = 4 << 10 // bytes per second
)

// paced gives each read of a body and each write of a reply a deadline, in place of one for the whole request: an
// image takes as long as it takes, but a client that trickles is let go.
func paced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		// The deadline of the connection's request before this one may still stand. Until the first byte of the reply
		// there is none: HTTP/2 ends a stream when one passes, in the middle of a long upload too.
		c.SetWriteDeadline(time.Time{})
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &pacedBody{ReadCloser: r.Body, control: c, pace: pace{rate: lowRate}}
			c.SetReadDeadline(time.Now().Add(grace))
		}
		h.ServeHTTP(&pacedWriter{ResponseWriter: w, control: c, pace: pace{rate: lowRate}}, r)
		c.SetWriteDeadline(time.Now().Add(grace)) // for what is still in buffers, and a reply without a body
	})
}

// pace is how far a client has come since it last moved as many bytes as rate moves in a grace. Only its own time
// counts: what the server takes between two steps is not the client's doing.
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

type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	pace    pace
}

func (b *pacedBody) Read(p []byte) (int, error) {
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

type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	pace    pace
}

// Unwrap lets http.ResponseController through.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// AtLeast asks more of the client, where its slowness costs memory.
func (w *pacedWriter) AtLeast(bytesPerSecond int64) { w.pace.rate = max(w.pace.rate, bytesPerSecond) }

func (w *pacedWriter) Write(p []byte) (int, error) {
	start := w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.pace.moved(int64(n), time.Since(start))
	return n, err
}

// begin sets the deadline of a step.
func (w *pacedWriter) begin() time.Time {
	start := time.Now()
	w.control.SetWriteDeadline(w.pace.deadline(start))
	return start
}

// ReadFrom keeps sendfile(2): net/http uses it for a limited reader of a file. A step is what even the lowest rate
// moves within a grace.
func (w *pacedWriter) ReadFrom(src io.Reader) (int64, error) {
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
