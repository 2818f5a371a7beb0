package metrics

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// Count counts the requests of a port, "http" or "https", that h answers. The route of a request is the pattern of the
// http.ServeMux that served it.
func (m *Metrics) Count(port string, h http.Handler) http.Handler {
	bytes, seconds, current := m.bytes.WithLabelValues(port), m.seconds.WithLabelValues(port),
		m.current.WithLabelValues(port)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun, out := time.Now(), &counted{ResponseWriter: w, code: http.StatusOK}
		current.Inc()
		defer func() { // of one that hung up in the middle too
			current.Dec()
			seconds.Observe(time.Since(begun).Seconds())
			bytes.Add(float64(out.bytes))
			route := r.Pattern
			if route == "" {
				route = "none"
			}
			m.requests.WithLabelValues(port, route, strconv.Itoa(out.code)).Inc()
		}()
		h.ServeHTTP(out, r)
	})
}

// counted notes what is written.
type counted struct {
	http.ResponseWriter
	code  int
	wrote bool
	bytes int64
}

// Unwrap lets http.ResponseController through.
func (w *counted) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *counted) WriteHeader(code int) {
	if !w.wrote && code >= 200 { // others are not the answer yet
		w.wrote, w.code = true, code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *counted) Write(p []byte) (int, error) {
	w.wrote = true
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps sendfile(2), as package httpserver does.
func (w *counted) ReadFrom(src io.Reader) (int64, error) {
	w.wrote = true
	n, err := io.Copy(w.ResponseWriter, src)
	w.bytes += n
	return n, err
}
