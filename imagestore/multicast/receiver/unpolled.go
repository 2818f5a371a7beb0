package receiver

import (
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// unpolled is a UDP socket that Go's network poller does not know. Each datagram that arrives wakes the poller, even
// if no goroutine waits for it: nine thousand times a second at 100 Mbit/s, a fifth of a receiver's processor time. A
// reader uses MSG_DONTWAIT, and tries again after a pause.
type unpolled struct {
	*net.UDPConn // closed; for the methods that ipv4.NewPacketConn asks for
	descriptor
}

// descriptor is the part of an open socket that is used. It implements syscall.RawConn, and never waits.
type descriptor struct {
	mu sync.RWMutex
	fd int // -1 when closed
}

// unpoll takes the socket of c over, and closes c.
func unpoll(c *net.UDPConn) (*unpolled, error) {
	u := &unpolled{UDPConn: c, descriptor: descriptor{fd: -1}}
	raw, err := c.SyscallConn()
	if err == nil {
		var derr error
		if err = raw.Control(func(fd uintptr) { u.fd, derr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err == nil {
			err = derr
		}
	}
	c.Close()
	if err != nil {
		return nil, fmt.Errorf("taking a socket from the poller: %w", err)
	}
	return u, nil
}

// SyscallConn implements syscall.Conn.
func (u *unpolled) SyscallConn() (syscall.RawConn, error) { return &u.descriptor, nil }

// Read is UDPConn's, which is closed.
func (u *unpolled) Read(b []byte) (int, error) { return u.UDPConn.Read(b) }

// Write is UDPConn's, which is closed.
func (u *unpolled) Write(b []byte) (int, error) { return u.UDPConn.Write(b) }

// Close closes the socket, which leaves its groups.
func (u *unpolled) Close() error { return u.descriptor.close() }

// Control implements syscall.RawConn.
func (d *descriptor) Control(f func(fd uintptr)) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(d.fd))
	return nil
}

// Read implements syscall.RawConn.
func (d *descriptor) Read(f func(fd uintptr) bool) error {
	return d.Control(func(fd uintptr) { f(fd) })
}

// Write implements syscall.RawConn.
func (d *descriptor) Write(f func(fd uintptr) bool) error { return d.Read(f) }

func (d *descriptor) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return net.ErrClosed
	}
	err := unix.Close(d.fd)
	d.fd = -1
	return err
}
