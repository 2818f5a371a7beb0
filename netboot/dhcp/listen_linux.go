package dhcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens a UDP socket at port on the interface iface that may broadcast and gets nothing from other interfaces.
// shared leaves the port to other programs too: broadcasts then reach all of them, so that a proxy can stand beside a
// DHCP server of the same host that shares the port as well (dnsmasq does with bind-interfaces). Such a socket is bound
// to 255.255.255.255 and gets broadcasts only: bound to the interface it would otherwise be preferred by the kernel, and
// take the renewals, which are unicast, from that server.
//
// Where this process may (CAP_NET_ADMIN) the socket holds a megabyte of packets that nobody has read yet: the kernel's default is
// full after some 270, and a room of machines that is switched on at once sends more within a second.
func Listen(ctx context.Context, iface string, port int, shared bool) (*net.UDPConn, error) {
	var lc net.ListenConfig
	lc.Control = func(_, _ string, raw syscall.RawConn) error {
		var err error
		cerr := raw.Control(func(fd uintptr) {
			if err = unix.BindToDevice(int(fd), iface); err != nil {
				err = fmt.Errorf("binding to interface %s: %w", iface, err)
				return
			}
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
				return
			}
			// Refused to whoever is not root; the default buffer serves then.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
			reuse := 0
			if shared {
				reuse = 1
			}
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, reuse); err != nil {
				return
			}
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, reuse)
		})
		if cerr != nil {
			return cerr
		}
		return err
	}
	host := "0.0.0.0"
	if shared {
		host = broadcastAddr().String()
	}
	c, err := lc.ListenPacket(ctx, "udp4", netip.AddrPortFrom(netip.MustParseAddr(host), uint16(port)).String())
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}
