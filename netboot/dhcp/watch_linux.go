package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The times of a probe. dnsmasq 2.90 sends its offer 3 s after the DISCOVER, because it pings the address first
// (PING_WAIT in its config.h); ISC dhcpd waits 1 s for the same reason (ping-timeout of dhcpd.conf(5)).
const (
	askEvery = time.Second
	moreTime = time.Second // for further servers, once one has answered
)

// Watch looks for other DHCP servers on one interface. If the interface is removed and created again, it needs another
// Watch. Call Close, or end Serve.
type Watch struct {
	iface string
	mine  netip.Addr
	conn  net.PacketConn

	mu sync.Mutex
	q  questions
}

// OpenWatch opens a packet socket that receives what DHCP servers send to clients on ifi, also unicast packets to an
// address that no machine has yet. It ignores packets from mine, this server's address. It needs CAP_NET_RAW.
func OpenWatch(ifi *net.Interface, mine netip.Addr) (*Watch, error) {
	filter, err := bpf.Assemble(fromServers())
	if err != nil {
		return nil, fmt.Errorf("watching for DHCP servers on %s: %w", ifi.Name, err)
	}
	raw, err := packet.Listen(ifi, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("watching for DHCP servers on %s: %w", ifi.Name, err)
	}
	// What we send ourselves does not come back. Kernels before 4.20 do not know the option, and then the filter and
	// the comparison with mine serve.
	if rc, err := raw.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
		})
	}
	w := &Watch{iface: ifi.Name, mine: mine, conn: nclient4.NewBroadcastUDPConn(raw, &net.UDPAddr{Port: ClientPort})}
	w.q = questions{own: ifi.HardwareAddr, all: map[dhcpv4.TransactionID]*question{}}
	return w, nil
}

// fromServers takes unfragmented UDP packets from port 67 to port 68. Without it this program would get a copy of every
// packet that images are sent with.
func fromServers() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1}, // protocol
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
		bpf.LoadAbsolute{Off: 6, Size: 2}, // flags and fragment offset
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 4},
		bpf.LoadMemShift{Off: 0}, // length of the IP header
		bpf.LoadIndirect{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: ServerPort<<16 | ClientPort, SkipTrue: 1},
		bpf.RetConstant{Val: 65536},
		bpf.RetConstant{Val: 0},
	}
}

// Ask broadcasts a DISCOVER as any machine does. It leases no address.
func (w *Watch) Ask() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, err := w.q.next(time.Now())
	if err == nil {
		_, err = w.conn.WriteTo(p.ToBytes(), net.UDPAddrFromAddrPort(netip.AddrPortFrom(broadcastAddr(), ServerPort)))
	}
	if err != nil {
		return fmt.Errorf("asking for DHCP servers on %s: %w", w.iface, err)
	}
	return nil
}

// Probe asks every second during wait and returns the servers that it heard; it ends one second after the first of
// them. Before that it asks in the same way during settle. A value from forwards, which may be nil, ends settle early:
// the link then forwards packets. Do not call Probe while Serve runs.
func (w *Watch) Probe(ctx context.Context, wait, settle time.Duration, forwards <-chan struct{}) ([]netip.Addr, error) {
	stop := context.AfterFunc(ctx, func() { w.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer w.conn.SetReadDeadline(time.Time{})
	var found []netip.Addr
	buf := make([]byte, 65536)
	ask := time.Now()
	end := ask.Add(settle + wait)
	for {
		now := time.Now()
		select {
		case <-forwards:
			forwards = nil
			if sooner := now.Add(wait); sooner.Before(end) {
				end = sooner
			}
		default:
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !now.Before(end):
			return found, nil
		case !now.Before(ask) && len(found) == 0:
			if err := w.Ask(); err != nil {
				return nil, err
			}
			ask = now.Add(askEvery)
		}
		until := end
		if len(found) == 0 && ask.Before(end) {
			until = ask
		}
		w.conn.SetReadDeadline(until)
		h, ok, err := w.read(buf)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("probing for DHCP servers on %s: %w", w.iface, err)
		}
		if ok && !slices.Contains(found, h.Server) {
			if found = append(found, h.Server); len(found) == 1 && now.Add(moreTime).Before(end) {
				end = now.Add(moreTime)
			}
		}
	}
}

// Serve calls heard for each offer and acknowledgement of another server until ctx ends, and closes the socket.
func (w *Watch) Serve(ctx context.Context, heard func(Heard)) error {
	stop := context.AfterFunc(ctx, func() { w.conn.Close() })
	defer stop()
	defer w.conn.Close()
	buf := make([]byte, 65536)
	for {
		h, ok, err := w.read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("watching for DHCP servers on %s: %w", w.iface, err)
		case errors.Is(err, unix.ENETDOWN):
			continue // said once, when the interface goes down; the socket works again when that is up
		case err != nil:
			return fmt.Errorf("watching for DHCP servers on %s: %w", w.iface, err)
		case ok:
			heard(h)
		}
	}
}

func (w *Watch) read(buf []byte) (Heard, bool, error) {
	n, _, err := w.conn.ReadFrom(buf)
	if err != nil {
		return Heard{}, false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.q.hear(buf[:n], w.mine, time.Now())
	return h, ok, nil
}

// Close closes the socket.
func (w *Watch) Close() error { return w.conn.Close() }
