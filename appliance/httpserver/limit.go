package httpserver

import (
	"io"
	"net"

	"griddle/appliance/quota"
)

// Limit returns l with a limit on its connections: it closes a new one at once if connections is full. known reports
// whether an address, as quota.Key names it, may use the reserve, so that strangers leave room to known machines.
func Limit(l net.Listener, connections *quota.Quota, known func(address string) bool) net.Listener {
	return &limited{Listener: l, room: connections, known: known}
}

type limited struct {
	net.Listener
	room  *quota.Quota
	known func(address string) bool
}

func (l *limited) Accept() (net.Conn, error) {
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
		return &counted{Conn: c, leave: held.Release}, nil
	}
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}

// ReadFrom keeps sendfile(2), which the embedded interface would hide.
func (c *counted) ReadFrom(r io.Reader) (int64, error) {
	if to, ok := c.Conn.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
