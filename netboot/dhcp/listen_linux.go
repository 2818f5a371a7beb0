package dhcp

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens a UDP socket at port on the interface iface that may broadcast and gets nothing from other interfaces.
// shared leaves the port to other programs too: broadcasts then reach all of them, so that a proxy can run beside a
// DHCP server of the same host that shares the port as well (dnsmasq does with bind-interfaces). Such a socket is bound
// to 255.255.255.255 and gets broadcasts only: bound to the interface it would otherwise be preferred by the kernel, and
// take the renewals, which are unicast, from that server.
//
// Where this process may (CAP_NET_ADMIN) the socket holds a megabyte of packets that nobody has read yet: the kernel's default is
// full after some 270, and a room of machines that is switched on at once sends more within a second.
func Listen(ctx context.Context, iface string, port int, shared bool) (*net.UDPConn, error) {
	host := netip.IPv4Unspecified()
	if shared {
		host = broadcastAddr()
	}
	return listen(ctx, iface, netip.AddrPortFrom(host, uint16(port)), shared)
}

// ListenUnicast opens a second socket beside one of Listen that is shared, for what relay agents send to addr, our own
// address. It takes all unicast packets, also the renewals that a DHCP server of the same host waits for.
func ListenUnicast(ctx context.Context, iface string, addr netip.AddrPort) (*net.UDPConn, error) {
	return listen(ctx, iface, addr, true)
}

func listen(ctx context.Context, iface string, addr netip.AddrPort, shared bool) (*net.UDPConn, error) {
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
			// Only root may; others have the default buffer.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
			// Each packet then says how many the kernel dropped before it for want of room.
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1); err != nil {
				return
			}
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
	c, err := lc.ListenPacket(ctx, "udp4", addr.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// dropped reads from a packet's control messages how many packets its socket has lost since it was opened; false where
// there were none (socket(7), SO_RXQ_OVFL).
func dropped(control []byte) (uint32, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_RXQ_OVFL && len(m.Data) >= 4 {
			return binary.NativeEndian.Uint32(m.Data), true
		}
	}
	return 0, false
}
