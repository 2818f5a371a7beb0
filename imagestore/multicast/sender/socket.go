package sender

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// batch is how many datagrams a system call sends or reads.
	batch = 32
	// sendBuffer is for a link that is slower than the rate: a tenth of a second at 100 Mbit/s.
	sendBuffer = 1 << 20
)

// socket is where a sender's data leaves and reports come in.
type socket struct {
	conn    *net.UDPConn
	packets *ipv4.PacketConn
	address netip.AddrPort
	group   net.Addr
}

func openSocket(o Options) (*socket, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: o.Address.AsSlice()})
	if err != nil {
		return nil, fmt.Errorf("opening a port on %v: %w", o.Address, err)
	}
	s := &socket{conn, ipv4.NewPacketConn(conn), netip.AddrPort{}, net.UDPAddrFromAddrPort(o.Group)}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s.address = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	if err := s.prepare(o); err != nil {
		conn.Close()
		return nil, fmt.Errorf("preparing the port %v: %w", s.address, err)
	}
	return s, nil
}

func (s *socket) prepare(o Options) error {
	// By its name: an interface that was deleted and created again has another index.
	ifi, err := net.InterfaceByName(o.Interface.Name)
	if err != nil {
		return err
	}
	if err := s.packets.SetMulticastInterface(ifi); err != nil {
		return err
	}
	if err := s.packets.SetMulticastTTL(max(o.TTL, 1)); err != nil {
		return err
	}
	// A relay may receive its own session.
	if err := s.packets.SetMulticastLoopback(true); err != nil {
		return err
	}
	if err := s.conn.SetWriteBuffer(sendBuffer); err != nil {
		return err
	}
	// A thousand receivers report at the same moment when a session ends.
	if err := s.conn.SetReadBuffer(1 << 20); err != nil {
		return err
	}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	// Never fragment, and ignore ICMP messages about it (ip(7), IP_MTU_DISCOVER).
	var opt error
	if err := raw.Control(func(fd uintptr) {
		opt = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	}); err != nil {
		return err
	}
	return opt
}
