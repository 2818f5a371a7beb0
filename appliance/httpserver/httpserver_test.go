package httpserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"griddle/appliance/quota"
)

// pipes is a listener of in-memory connections, so that a bubble's clock rules their deadlines.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// TestSlowClients is about clients that take a server's time: each is let go, and none is who merely takes long.
func TestSlowClients(t *testing.T) {
	for _, c := range []struct {
		name   string
		client func(c net.Conn) error // nil when it was served to its end
		served bool
	}{
		{"half a header", func(c net.Conn) error {
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n")
			_, err := io.ReadAll(c)
			return errors.Join(err, io.ErrUnexpectedEOF)
		}, false},
		{"a body that trickles", func(c net.Conn) error {
			fmt.Fprint(c, "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
			for range 1000 {
				if _, err := c.Write([]byte("x")); err != nil {
					return err
				}
				time.Sleep(20 * time.Second)
			}
			return nil
		}, false},
		{"a reader that stops", func(c net.Conn) error {
			fmt.Fprint(c, "GET /write HTTP/1.1\r\nHost: a\r\n\r\n")
			time.Sleep(10 * time.Minute)
			got, err := io.ReadAll(c)
			if len(got) < 10<<20 && err == nil {
				err = io.ErrUnexpectedEOF
			}
			return err
		}, false},
		{"a reader that pauses", func(c net.Conn) error {
			fmt.Fprint(c, "GET /write HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			b := make([]byte, 1<<20)
			for n := 0; n < 10<<20; {
				m, err := io.ReadFull(c, b)
				n += m
				if err != nil && n < 10<<20 {
					return err
				}
				time.Sleep(30 * time.Second)
			}
			return nil
		}, true},
		{"a long wait for news", func(c net.Conn) error {
			fmt.Fprint(c, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
			got, err := io.ReadAll(c)
			if !bytes.Contains(got, []byte("news")) {
				err = errors.Join(err, io.ErrUnexpectedEOF)
			}
			return err
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mux := http.NewServeMux()
				mux.HandleFunc("/read", func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
				mux.HandleFunc("/write", func(w http.ResponseWriter, _ *http.Request) {
					io.Copy(w, io.LimitReader(strings.NewReader(strings.Repeat("x", 10<<20)), 10<<20))
				})
				mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
					io.ReadAll(r.Body)
					select {
					case <-time.After(5 * time.Minute):
						io.WriteString(w, "news")
					case <-r.Context().Done():
					}
				})
				l := newPipes()
				srv := New(mux, slog.New(slog.DiscardHandler))
				go srv.Serve(l)
				conn := l.dial()
				if err := c.client(conn); (err == nil) != c.served {
					t.Errorf("the client got %v, want served %v", err, c.served)
				}
				conn.Close()
				srv.Close()
				synctest.Wait()
			})
		})
	}
}

// TestLongRequestsOverHTTP2 has the same limits where a deadline that passes ends the stream at once, not only the
// next write.
func TestLongRequestsOverHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /wait", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(5 * time.Minute)
			io.WriteString(w, "news")
		})
		mux.HandleFunc("PUT /blob", func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		})
		mux.HandleFunc("POST /quiet", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(5 * time.Minute)
			w.WriteHeader(http.StatusNoContent)
		})
		var h2 http.Protocols
		h2.SetUnencryptedHTTP2(true)
		l := newPipes()
		srv := New(mux, slog.New(slog.DiscardHandler))
		srv.Protocols = &h2
		go srv.Serve(l)
		tr := &http.Transport{Protocols: &h2,
			DialContext: func(context.Context, string, string) (net.Conn, error) { return l.dial(), nil }}
		for _, c := range []struct{ method, path, want string }{
			{"GET", "/wait", "news"},
			{"PUT", "/blob", "20971520 <nil>"},
			{"POST", "/quiet", ""},
		} {
			var body io.Reader
			if c.method == "PUT" {
				slow, w := io.Pipe()
				defer slow.Close()
				go func() {
					for range 20 {
						w.Write(make([]byte, 1<<20))
						time.Sleep(30 * time.Second)
					}
					w.Close()
				}()
				body = slow
			}
			req, err := http.NewRequestWithContext(t.Context(), c.method, "http://appliance"+c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Errorf("%s %s = %v", c.method, c.path, err)
				continue
			}
			got, err := io.ReadAll(resp.Body)
			if err != nil || string(got) != c.want || resp.ProtoMajor != 2 {
				t.Errorf("%s %s = %s %q, %v, want %q", c.method, c.path, resp.Proto, got, err, c.want)
			}
			resp.Body.Close()
		}
		tr.CloseIdleConnections()
		srv.Close()
		synctest.Wait()
	})
}

func TestPanicIsContained(t *testing.T) {
	var logged bytes.Buffer
	h := contain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("oops")
	}), slog.New(slog.NewTextHandler(&logged, nil)))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/x", nil))
	if rec.Code != http.StatusInternalServerError || !strings.Contains(logged.String(), "oops") ||
		strings.Contains(rec.Body.String(), "oops") {
		t.Errorf("a handler that panics gives %d %q and logs %q", rec.Code, rec.Body, logged.String())
	}
}

func TestLimit(t *testing.T) {
	inner, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const most = 256
	conns := quota.New(quota.Options{What: "connections", Total: quota.Amount{Slots: 2 * most},
		Each: quota.Amount{Slots: most}})
	l := Limit(inner, conns, func(string) bool { return false })
	defer l.Close()
	accepted := make(chan net.Conn, most+1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var mine []net.Conn
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		mine = append(mine, c)
		return c
	}
	var theirs []net.Conn
	for range most {
		dial()
		theirs = append(theirs, <-accepted)
	}
	if n, err := dial().Read(make([]byte, 1)); err == nil || n != 0 {
		t.Error("one connection too many was not closed")
	}
	theirs[0].Close()
	theirs[0].Close()
	dial()
	theirs = append(theirs, <-accepted)
	for _, c := range append(mine, theirs...) {
		c.Close()
	}
}

// TestReaderThatWasFast takes much quickly and then next to nothing: what it took before does not keep it.
func TestReaderThatWasFast(t *testing.T) {
	for _, c := range []struct {
		name   string
		rate   int64 // bytes per second
		pause  time.Duration
		served bool
	}{
		{"no less than a stream must be read", 80 << 10, time.Second, true},
		{"a few bytes a minute", 1 << 10, 30 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 64 << 20
				ended := make(chan error, 1)
				mux := http.NewServeMux()
				mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
					w.(interface{ AtLeast(int64) }).AtLeast(64 << 10)
					_, err := io.Copy(w, io.LimitReader(zeros{}, size))
					ended <- err
				})
				l := newPipes()
				srv := New(mux, slog.New(slog.DiscardHandler))
				go srv.Serve(l)
				conn := l.dial()
				fmt.Fprint(conn, "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				if _, err := io.CopyN(io.Discard, conn, size-8<<20); err != nil {
					t.Fatal(err)
				}
				var err error
				for err == nil {
					time.Sleep(c.pause)
					_, err = io.CopyN(io.Discard, conn, c.rate*int64(c.pause/time.Second))
				}
				if werr := <-ended; (werr == nil) != c.served {
					t.Errorf("the server ended with %v, want it served %v", werr, c.served)
				}
				conn.Close()
				srv.Close()
				synctest.Wait()
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
