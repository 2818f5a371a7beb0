package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"griddle/imagestore/multicast"
)

// socket is where a group's datagrams come in, and where reports leave.
type socket struct {
	ifi     *net.Interface
	group   *net.UDPAddr
	raw     *unpolled
	packets *ipv4.PacketConn // over raw
	reports *net.UDPConn     // to the sender, and its verdicts
}

// openSocket joins the group of s on the interface ifi.
func openSocket(s multicast.Session, ifi *net.Interface) (*socket, error) {
	k := &socket{ifi: ifi, group: &net.UDPAddr{IP: s.Group.Addr().AsSlice()}}
	var err error
	if k.reports, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.Sender)); err != nil {
		return nil, err
	}
	if k.raw, err = listenGroup(s.Group); err == nil {
		k.packets = ipv4.NewPacketConn(k.raw)
		err = k.packets.JoinGroup(ifi, k.group)
	}
	if err != nil {
		k.close()
		return nil, fmt.Errorf("joining group %v on %s: %w", s.Group.Addr(), ifi.Name, err)
	}
	return k, nil
}

// rejoin leaves the group and joins it again. A switch whose querier is gone forgets members after a while; it learns
// of new ones.
func (k *socket) rejoin() {
	_ = k.packets.LeaveGroup(k.ifi, k.group)
	_ = k.packets.JoinGroup(k.ifi, k.group)
}

func (k *socket) close() {
	if k.raw != nil {
		k.raw.Close() // leaves the group
	}
	k.reports.Close()
}

// listenGroup opens a socket that gets what is sent to the group and nothing else, and holds eight megabytes of it.
func listenGroup(group netip.AddrPort) (*unpolled, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
				return
			}
			// Groups that other sockets of this host joined are not ours (ip(7)).
			if err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
				return
			}
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) != nil {
				// Without CAP_NET_ADMIN it is as much as the system allows.
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
			}
		})
		return errors.Join(cerr, err)
	}}
	c, err := lc.ListenPacket(context.Background(), "udp4", group.String())
	if err != nil {
		return nil, err
	}
	return unpoll(c.(*net.UDPConn))
}
