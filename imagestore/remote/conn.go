package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"griddle/imagestore"
	"griddle/imagestore/blob"
)

// ServeConn serves a store, with everything that Handler guards, to the other end of one connection: HTTP/2
// without TLS, so that several requests can run at once. It returns when the other end closes or ctx ends.
func ServeConn(ctx context.Context, s *imagestore.Store, conn net.Conn) error {
	l := &oneConn{conn: conn, closed: make(chan struct{})}
	srv := &http.Server{
		Handler:     Handler(s, func(*http.Request) error { return nil }),
		Protocols:   h2c(),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState: func(_ net.Conn, st http.ConnState) {
			if st == http.StateClosed {
				l.Close()
			}
		},
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return context.Cause(ctx)
}

// OpenConn returns the store that ServeConn serves at the other end. Closing conn ends it.
func OpenConn(conn net.Conn) *imagestore.Store {
	l := &oneConn{conn: conn, closed: make(chan struct{})}
	transport := &http.Transport{Protocols: h2c(), DialContext: l.dial}
	client := &http.Client{Transport: &blob.Idle{Base: transport,
		Limits: func(r *http.Request) (answer, body time.Duration) {
			answer, body = idleLimits(time.Minute)(r)
			return 10 * answer, body // the program that makes the connection may be asking for a password
		}}}
	const base = "http://store.invalid" // no name is looked up: there is one connection
	return imagestore.OpenParts(&blob.HTTP{Base: base, Client: client, Private: true},
		&remoteCatalog{base: base, client: client}, "", "")
}

func h2c() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}

// oneConn is a listener that accepts once.
type oneConn struct {
	mu     sync.Mutex
	conn   net.Conn // nil when it was taken
	once   sync.Once
	closed chan struct{}
}

func (l *oneConn) take() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, errors.New("the connection to the store is closed")
	}
	c := l.conn
	l.conn = nil
	return c, nil
}

// dial gives out the connection once. Requests that come before the first answer want one of their own: they wait, and
// the transport has them share the one when it is set up.
func (l *oneConn) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := l.take()
	if err == nil {
		return &noticed{c, l}, nil
	}
	select {
	case <-l.closed:
		return nil, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// noticed is the connection of a dial, which ends all others.
type noticed struct {
	net.Conn
	l *oneConn
}

func (n *noticed) Close() error {
	n.l.Close()
	return n.Conn.Close()
}

// Accept implements net.Listener: the second call waits for Close.
func (l *oneConn) Accept() (net.Conn, error) {
	if c, err := l.take(); err == nil {
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *oneConn) Addr() net.Addr { return stdio{} }

// NewConn makes one connection of two pipes, such as the standard input and output of a process. It has no
// deadlines.
func NewConn(r io.ReadCloser, w io.WriteCloser) net.Conn { return &pipes{r, w} }

type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

func (p *pipes) Close() error                     { return errors.Join(p.WriteCloser.Close(), p.ReadCloser.Close()) }
func (p *pipes) LocalAddr() net.Addr              { return stdio{} }
func (p *pipes) RemoteAddr() net.Addr             { return stdio{} }
func (p *pipes) SetDeadline(time.Time) error      { return nil }
func (p *pipes) SetReadDeadline(time.Time) error  { return nil }
func (p *pipes) SetWriteDeadline(time.Time) error { return nil }

// stdio is the address of both ends.
type stdio struct{}

func (stdio) Network() string { return "pipe" }
func (stdio) String() string  { return "stdio" }
