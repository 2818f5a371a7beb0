package netboot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

var errNoIPv6 = errors.New("no IPv6")

// solicitationConn is a raw ICMPv6 socket on one interface.
type solicitationConn struct {
	ifi  *net.Interface
	conn *ipv6.PacketConn
}

// listenSolicitations needs CAP_NET_RAW. Without IPv6 on the interface the error is errNoIPv6.
func listenSolicitations(ctx context.Context, ifi *net.Interface) (*solicitationConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		cerr := raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), ifi.Name) })
		return errors.Join(cerr, err)
	}}
	c, err := lc.ListenPacket(ctx, "ip6:ipv6-icmp", "::")
	if err != nil {
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil, errNoIPv6
		}
		return nil, fmt.Errorf("opening an ICMPv6 socket: %w", err)
	}
	conn := ipv6.NewPacketConn(c)
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
	err = errors.Join(conn.SetICMPFilter(&filter), conn.SetControlMessage(ipv6.FlagHopLimit, true))
	if err == nil {
		if jerr := conn.JoinGroup(ifi, &net.UDPAddr{IP: net.IPv6linklocalallrouters}); jerr != nil {
			err = errNoIPv6 // the interface has it switched off
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &solicitationConn{ifi: ifi, conn: conn}, nil
}

func (s *solicitationConn) serve(ctx context.Context, r *routes, log *slog.Logger) error {
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	defer stop()
	buf := make([]byte, 2048)
	for {
		n, cm, peer, err := s.conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("reading router solicitations: %w", err)
			}
			log.Debug("reading router solicitations", "err", err)
			continue
		}
		ip, ok := peer.(*net.IPAddr)
		if !ok || cm == nil || cm.HopLimit != 255 { // RFC 4861 section 6.1: 255 proves that it was not routed here
			r.malformed.Add(1)
			log.Debug("dropped a router solicitation or advertisement that came from another network", "from", peer)
			continue
		}
		from, _ := netip.AddrFromSlice(ip.IP)
		if namesRouter(buf[:n]) {
			if r.routerHeard() {
				log.Info("the network has an IPv6 router: griddle answers no more router solicitations", "router", from)
			}
			continue
		}
		mac, ok := parseSolicitation(buf[:n], from)
		switch {
		case !ok:
			r.malformed.Add(1)
			log.Debug("dropped a router solicitation that names no Ethernet address, or an advertisement of no router",
				"from", from)
		case r.solicited(mac, from, time.Now()):
			s.advertise(from, r, log)
		default:
			log.Debug("no answer to a router solicitation: its machine does not boot from the network, "+
				"or the network has a router", "from", from)
		}
	}
}

func (s *solicitationConn) advertise(to netip.Addr, r *routes, log *slog.Logger) {
	dst := &net.IPAddr{IP: to.AsSlice(), Zone: s.ifi.Name}
	cm := &ipv6.ControlMessage{HopLimit: 255, IfIndex: s.ifi.Index}
	if _, err := s.conn.WriteTo(advertisement(s.ifi.HardwareAddr), cm, dst); err != nil {
		log.Debug("answering a router solicitation", "to", to, "err", err)
		return
	}
	r.answered.Add(1)
}
