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

// Listen opens a UDP socket at port on the interface iface. It may broadcast and receives nothing from other
// interfaces. If shared is true, other programs can use the port too: broadcasts then reach all of them, so that a
// proxy can run next to a DHCP server on the same host that also shares the port (dnsmasq does with bind-interfaces). A
// shared socket is bound to 255.255.255.255 and receives only broadcasts. Without that the kernel would prefer it,
// because it is bound to the interface, and it would take the unicast renewals from the other server.
//
// If the process has CAP_NET_ADMIN, the socket buffers a megabyte of packets: the kernel's default is full after about
// 270, and a room of machines that are switched on together sends more within a second.
func Listen(ctx context.Context, iface string, port int, shared bool) (*net.UDPConn, error) {
	host := netip.IPv4Unspecified()
	if shared {
		host = broadcastAddr()
	}
	return listen(ctx, iface, netip.AddrPortFrom(host, uint16(port)), shared)
}

// ListenUnicast opens a second socket next to a shared one of Listen, for packets that relay agents send to addr, this
// server's address. It takes all unicast packets, also the renewals that a DHCP server on the same host waits for.
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
