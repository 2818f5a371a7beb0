// Package httpserver is an HTTP server that outlives slow clients, many clients and handlers that panic.
//
// Call New with the handler, and serve what Limit returns for a listener:
//
//	srv := httpserver.New(mux, log)
//	err := srv.Serve(httpserver.Limit(listener, connections, known))
//
// A request has no deadline as a whole, because an image takes as long as it takes. Each read of a body and each
// write of a reply has one instead: a client that moves less than 4 KiB per second over 60 seconds of its own time is
// cut off. A handler asks for more where a slow client costs memory: its http.ResponseWriter has
// AtLeast(bytesPerSecond int64).
package httpserver

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
	// Requests at once of one HTTP/2 connection.
	maxConcurrent = 100
)

// New makes a server for h. A panic of h is logged and answered with status 500.
func New(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           paced(contain(h, log)),
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
			log.Error("a request crashed its handler", "method", r.Method, "path", r.URL.Path, "panic", p,
				"stack", string(debug.Stack()))
			http.Error(w, "the server could not do it; its log says why", http.StatusInternalServerError)
		}()
		h.ServeHTTP(w, r)
	})
}
