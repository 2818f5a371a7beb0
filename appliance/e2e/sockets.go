package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// sockets are unix sockets that a program is to connect to. We listen and it connects, rather than the other way
// round, so that neither has to guess when the other is ready.
type sockets []net.Listener

func listen(paths ...string) (sockets, error) {
	var s sockets
	for _, p := range paths {
		_ = os.Remove(p)
		l, err := net.Listen("unix", p)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("listening at a socket: %w", err)
		}
		s = append(s, l)
	}
	return s, nil
}

// accept waits for one connection at each socket, until ctx or the program ends.
func (s sockets) accept(ctx context.Context, p *process) ([]net.Conn, error) {
	var conns []net.Conn
	for _, l := range s {
		type result struct {
			conn net.Conn
			err  error
		}
		accepted := make(chan result, 1)
		go func() {
			c, err := l.Accept()
			accepted <- result{c, err}
		}()
		select {
		case a := <-accepted:
			if a.err != nil {
				return nil, fmt.Errorf("accepting a connection: %w", a.err)
			}
			conns = append(conns, a.conn)
		case <-p.done:
			return nil, errors.New(p.name + " ended at once: " + p.Output.Tail(5))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return conns, nil
}

func (s sockets) close() {
	for _, l := range s {
		_ = l.Close()
	}
}
